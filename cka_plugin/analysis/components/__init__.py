"""Principal components of layers from Gram matrices, what is left without them, and the examples that make them.

It may know Gram matrices and parts of the examples.
"""
