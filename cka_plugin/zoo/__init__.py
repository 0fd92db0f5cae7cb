"""A zoo: many models over the same data, one a worker, each in a file of its own, with a manifest of what was asked.

It may know how one model is run and saved, and nothing of comparisons."""
