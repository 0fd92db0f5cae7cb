"""Levels to hold a CKA against: chance, and pseudo-layers of inputs and labels.

It may know Gram matrices.
"""
