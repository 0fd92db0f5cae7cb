"""What the command says: results on standard output, and of an error one line on standard error."""

from __future__ import annotations

import os
import sys

from cka_plugin.wording import for_terminal


def say(text: object) -> None:
    """A result, or a sentence on one, on standard output; what is in its names is shown and does nothing there."""
    print(for_terminal(text, lines=True))


def fail(message: str, code: int = 2) -> None:
    """One line on standard error, and out."""
    rank = os.environ.get("RANK", "0") if "WORLD_SIZE" in os.environ else "0"
    where = "error" if rank == "0" else f"error on rank {rank}"
    print(f"{where}: {for_terminal(message)}", file=sys.stderr)
    sys.exit(code)
