"""What several tests use: networks, references, made data."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the repository
