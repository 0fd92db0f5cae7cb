"""What a failed test shows: a report for those who look at it later, and a sentence in the place of our insides."""

from __future__ import annotations

import json
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cka_plugin import adapters
from cka_plugin.regression.result import CheckResult

_OURS = (Path(__file__).parents[1], Path(str(adapters.__file__)).parent)
_INSTALLED = tuple(str(Path(sysconfig.get_path(name))) for name in ("purelib", "platlib", "stdlib"))


@dataclass(frozen=True)
class FailureReport:
    """The page, the summary, the data and the figure of a failed check.

    Attributes:
        folder: where they are written; None for nowhere.
        name: of their files, without suffix.
        result: the check.
        accept: how what the model computes now is accepted.
    """

    folder: Path | None
    name: str
    result: CheckResult
    accept: str = ""

    def write(self, written: list[str]) -> str:
        """Write the files, and add to `written`; a folder that cannot be written hides nothing of the failure.

        Returns:
            A line to add to the failure where they could not be written; empty otherwise.
        """
        if self.folder is None:
            return ""
        base = self.folder / self.name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            Path(f"{base}.md").write_text(self.result.to_markdown(), encoding="utf-8")
            plain = json.dumps(self.result.to_dict(), indent=1, allow_nan=False)
            Path(f"{base}.json").write_text(plain, encoding="utf-8")
            self.result.report(f"{base}.html", accept=self.accept)
            if find_spec("matplotlib") is not None:
                self.result.plot().savefig(f"{base}.png")
        except OSError as error:
            return f"\nThe report could not be written to {self.folder}: {error.strerror or error}"
        written.append(f"{base}.html")
        return ""


def said_of(error: Exception) -> str:
    """An error as a test shows it: its message, and where in the user's own code it was raised.

    Example:
        >>> said_of(ValueError("no such layer"))
        'no such layer'
        >>> said_of(KeyError("label"))
        "KeyError: 'label'"
    """
    meant = isinstance(error, ValueError | TypeError | RuntimeError | OSError | ImportError)
    text = str(error.strerror if isinstance(error, OSError) and error.strerror and not error.filename else error)
    text = text if meant and text else f"{type(error).__name__}: {text}"
    places = [frame for one in _chain(error) for frame in traceback.extract_tb(one.__traceback__)]
    own = [frame for frame in places if _is_the_users(frame.filename)]
    return f"{text}\n(raised in {own[-1].name}, {own[-1].filename}:{own[-1].lineno})" if own else text


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the innermost last."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _is_the_users(filename: str) -> bool:
    path = Path(filename)
    return path.exists() and not any(ours in path.parents for ours in _OURS) and not filename.startswith(_INSTALLED)
