"""The progress bar of a run, in a terminal or a notebook."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from cka_plugin.data import ReadOptions, Source
from cka_plugin.models.subject import Subject
from cka_plugin.wording import listed


@contextlib.contextmanager
def progress_bar(subjects: Sequence[Subject], source: Source, read: ReadOptions, shown: bool) -> Iterator[Any]:
    """A bar that counts examples, one step an example and model."""
    from tqdm.auto import tqdm

    examples, _ = source.count(read)
    names = listed([subject.name for subject in subjects], 3)
    with tqdm(
        total=None if examples is None else examples * len(subjects),
        desc=names if len(subjects) == 1 else f"{len(subjects)} models ({names})",
        unit=" examples",
        disable=(False if in_notebook() else None) if shown else True,  # None: only where there is a terminal
        dynamic_ncols=True,
    ) as bar:
        yield bar


@contextlib.contextmanager
def counted(total: int, unit: str, shown: bool) -> Iterator[Any]:
    """A bar that counts things, such as models."""
    from tqdm.auto import tqdm

    watched = False if in_notebook() else None  # None: only where there is a terminal
    with tqdm(total=total, desc=unit, unit=f" {unit}", disable=watched if shown else True, dynamic_ncols=True) as bar:
        yield bar


def in_notebook() -> bool:
    """Whether this runs in a notebook, whose output is no terminal but is watched like one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})
