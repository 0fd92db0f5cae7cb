"""A model is lent: what it holds is remembered, what it writes is seen, and it comes back bit for bit as it was.

It knows modules and tensors of PyTorch, and nothing of layers, data or frameworks."""
