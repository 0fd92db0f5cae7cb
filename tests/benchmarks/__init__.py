"""Benchmarks: never run as tests. `python -m tests.benchmarks.accuracy --rivals FOLDER` and so on; see RESULTS.md."""
