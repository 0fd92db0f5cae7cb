"""The command `cka-plugin`, which mirrors the one-line calls.

Exit codes: 0 done; 1 a check found a regression; 2 what was asked cannot be done: one line says what and what to do.
Nothing here loads torch: the help comes at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import typer

from cka_plugin.cli.app import app
from cka_plugin.cli.messages import fail
from cka_plugin.warnings import CKAWarning
from cka_plugin.wording import for_terminal

# click's own exception, which newer versions of typer carry inside
UsageProblem = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main() -> None:
    """Run the command, with errors as one line and the exit codes of the module's docstring."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        with _ranks() if "RANK" in os.environ else contextlib.nullcontext():
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
        from cka_plugin.cli.words import one_line

        fail(one_line(error))
    else:
        if code == 130:  # what newer versions of typer make of Ctrl-C
            fail("interrupted", 130)
        sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def _ranks() -> Iterator[None]:
    """Under torchrun: the process group, and of many processes only the first writes to standard output."""
    from cka_plugin.engine.ranks import process_group, world

    with process_group(), contextlib.ExitStack() as stack:
        if world()[0] != 0:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    from cka_plugin.cli.words import in_words_of_the_command

    prefix = "warning" if issubclass(category, CKAWarning) else f"warning ({category.__name__})"
    said = in_words_of_the_command(" ".join(str(message).split()))
    print(f"{prefix}: {for_terminal(said)}", file=sys.stderr)


if __name__ == "__main__":
    main()
