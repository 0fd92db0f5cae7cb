"""Intervals and tests of proportions and of models, against scipy where scipy has them.

Which test answers which question: two fixed models on the same examples, `paired`; two architectures with many seeds,
`welch` on their accuracies; many tests at once, `corrections`; models as the unit, `permutation`, `mantel` and
`model_groups`.
"""
