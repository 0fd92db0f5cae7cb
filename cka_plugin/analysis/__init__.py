"""Representations and arrays in, results out: no model is run, no file is read.

It may know the numbers (`core`) and how results become tables."""
