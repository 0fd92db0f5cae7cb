"""Files of texts: one a line."""

from __future__ import annotations

from pathlib import Path

from cka_plugin.data.arrays import raw_examples
from cka_plugin.data.indexed import Indexed


def read_txt(path: Path) -> Indexed:
    """A text a line; empty lines are no texts."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return raw_examples([line for line in lines if line.strip()], str(path))
