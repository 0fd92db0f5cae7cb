"""In which order the modules of a model fire, found without data."""
