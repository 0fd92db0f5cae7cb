"""A zoo: many models over the same data, one a worker, each in a file of its own, with a manifest of what was asked.

It may know how one model is run and saved, and how the similarity of whole models is added up, in tiles of a folder."""
