"""Pictures that a command is asked for: `--plot FILE`, `--plot KIND`, `--plot KIND=FILE`, as often as wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cka_plugin.cli.app import check_writable
from cka_plugin.comparison import Comparison
from cka_plugin.report.kinds.door import KINDS

_OF_ERRORS = ("classes", "agreement", "similarity_and_errors")  # what a mapping of classes is for
_OF_EXAMPLES = ("dominant", "examples")  # what shows the data


@dataclass(frozen=True)
class Wanted:
    """A picture that is wanted: its kind, None for the heatmap of every pair, and its file."""

    kind: str | None
    path: Path


def read_pictures(given: Sequence[str] | None) -> list[Wanted]:
    """What `--plot` asks for, before any work is done.

    Raises:
        ValueError: no such kind, or no file where a picture could be written.
        OSError: a folder that is not there or read-only.

    Example:
        >>> read_pictures(["heat.png", "blocks", "depth=depth.svg"])[1:]
        [Wanted(kind='blocks', path=PosixPath('blocks.png')), Wanted(kind='depth', path=PosixPath('depth.svg'))]
    """
    wanted = [_read(text) for text in given or []]
    for one in wanted:
        check_writable(one.path)
    return wanted


def draw_pictures(
    comparison: Comparison, wanted: Wanted, errors: Mapping[str, Any], data: Any = None
) -> Iterator[Path]:
    """Draw one picture, or one for each model that a kind of one model is of, or each pair with the first model.

    Args:
        comparison: of the models.
        wanted: kind and file; where there are several pictures, the names of models go into their files' names.
        errors: options of the kinds that show errors: `mapping`, `restrict`.
        data: to show examples of, where the comparison has not its own.

    Yields:
        The files that were written.
    """
    options = dict(errors) if wanted.kind in _OF_ERRORS else {}
    if wanted.kind in _OF_EXAMPLES and data is not None:
        options["data"] = data
    chosen = _models(comparison.names, wanted.kind)
    for models in chosen:
        path = wanted.path
        if len(chosen) > 1:
            added = "-".join(_in_a_file_name(name) for name in models)
            path = path.with_name(f"{path.stem}-{added}{path.suffix}")
        comparison.plot(wanted.kind, *models, **options).savefig(path)
        yield path


def _models(names: Sequence[str], kind: str | None) -> list[tuple[str, ...]]:
    of = "all" if kind is None else KINDS[kind].of
    if of == "all":
        return [()]
    if of == "one":
        return [(name,) for name in names]
    return [(names[0], name) for name in names[1:]] or [(names[0],)]


def _read(text: str) -> Wanted:
    kind, equals, file = text.partition("=")
    if equals and kind in KINDS:
        return Wanted(kind, Path(file))
    if text in KINDS:
        return Wanted(text, Path(f"{text}.png"))
    if not Path(text).suffix:
        raise ValueError(f"--plot {text}: expected a file (.png, .svg, .pdf), KIND=FILE, or a kind: {', '.join(KINDS)}")
    if equals and kind.isidentifier():
        raise ValueError(f"--plot {text}: there is no kind {kind!r}; there are {', '.join(KINDS)}")
    return Wanted(None, Path(text))


def _in_a_file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._#" else "_" for letter in name)
