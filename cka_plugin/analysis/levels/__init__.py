"""Levels to hold a CKA against: chance, and pseudo-layers of inputs and labels; for two models, all of them at once.

matched, architecture, inputs_and_labels, few_examples    columns of the table of two models
of_pair, result, words                                    the table, and what it says

It may know Gram matrices, components, measures and representations.
"""
