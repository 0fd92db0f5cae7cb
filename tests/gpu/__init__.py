"""What one GPU shows in one go, in at most 8 minutes: `python -m tests.gpu` (see `__main__`)."""
