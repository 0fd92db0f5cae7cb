"""One model with hooks on its layers, which comes back as it was lent: pooling, memory formats, random states.

It may know adapters and the numbers; not data, not representations."""
