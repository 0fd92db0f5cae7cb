"""Principal components of layers from Gram matrices, what is left without them, and the examples that make them."""
