"""The command `cka-plugin`, which mirrors the one-line calls.

Exit codes: 0 done; 1 a check found a regression; 2 what was asked cannot be done: one line says what and what to do.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import typer

from cka_plugin.cli import ablate, check, compare, errors, export, layers, probe, represent, show  # noqa: F401
from cka_plugin.cli.app import app
from cka_plugin.cli.messages import fail, in_words_of_the_command, one_line
from cka_plugin.engine.ranks import process_group, world
from cka_plugin.warnings import CKAWarning
from cka_plugin.wording import for_terminal

# click's own exception, which newer versions of typer carry inside
UsageProblem = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main() -> None:
    """Run the command, with errors as one line and the exit codes of the module's docstring."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        with process_group(), _first_rank_prints():
            code = app(standalone_mode=False)
    except typer.Abort:
        fail("interrupted", 130)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())  # type: ignore[attr-defined]
            sys.exit(2)
        if isinstance(error, UsageProblem):
            fail(error.format_message())  # type: ignore[attr-defined]
        if os.environ.get("CKA_PLUGIN_DEBUG"):
            raise
        fail(one_line(error))
    else:
        if code == 130:  # what newer versions of typer make of Ctrl-C
            fail("interrupted", 130)
        sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def _first_rank_prints() -> Iterator[None]:
    """Of many processes (torchrun) only the first writes to standard output."""
    if world()[0] == 0:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    prefix = "warning" if issubclass(category, CKAWarning) else f"warning ({category.__name__})"
    said = in_words_of_the_command(" ".join(str(message).split()))
    print(f"{prefix}: {for_terminal(said)}", file=sys.stderr)


if __name__ == "__main__":
    main()
