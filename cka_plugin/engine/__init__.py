"""Models over data: the run itself, its checkpoints, reading ahead, and the ranks that share it.

It may know models, data, hooks and representations; not what is made of them."""
