"""Pictures: arrays, names and results in, figures out.

It may know results of analyses; matplotlib is imported where it draws."""
