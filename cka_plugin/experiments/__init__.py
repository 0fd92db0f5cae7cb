"""What runs a model and keeps no representation: probes of its layers, and blocks replaced by their shortcuts.

It may know the engine and the analyses."""
