"""Intervals and tests of proportions and of models, against scipy where scipy has them."""
