"""Benchmarks: never run as tests. `python -m tests.benchmarks --rivals FOLDER`; see `__main__` and `results/`."""
