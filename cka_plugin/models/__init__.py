"""What was given as a model: names, files, modules, untrained copies.

It may know adapters, saved representations and how a model is lent."""
