"""Representations of many files by name, of which only those in use are in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cka_plugin.representation import files
from cka_plugin.representation.representation import Representation
from cka_plugin.storage.tensorfile import MAPPED_FROM

MOST_OPEN = 256  # a mapped file counts among the open files of a process, of which 1,024 are usual


class StoredRepresentations(Mapping[str, Representation]):
    """Saved representations by name, read when they are asked for; those used last stay while they fit.

    Args:
        paths: (name, file) of each.
        budget: bytes that may stay in memory.
    """

    def __init__(self, paths: Sequence[tuple[str, Path]], budget: int) -> None:
        self.files = dict(paths)
        self.budget = budget
        self._sizes = {name: path.stat().st_size for name, path in paths}
        self._held: OrderedDict[str, Representation] = OrderedDict()

    @property
    def fits(self) -> bool:
        """Whether all of them may stay in memory."""
        return self._fit(self.files)

    def _fit(self, names: Mapping[str, object]) -> bool:
        sizes = [self._sizes[name] for name in names]
        return sum(sizes) <= self.budget and sum(size >= MAPPED_FROM for size in sizes) <= MOST_OPEN

    def __getitem__(self, name: str) -> Representation:
        if name not in self._held:
            self._held[name] = Representation.load(self.files[name]).renamed(name)
        self._held.move_to_end(name)
        while len(self._held) > 1 and not self._fit(self._held):
            self._held.popitem(last=False)
        return self._held[name]

    def about(self, name: str) -> Representation:
        """A representation whose arrays are not kept, for what is known without them."""
        return self._held[name] if name in self._held else vectors_alone(self.files[name]).renamed(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def too_many_to_hold(paths: Sequence[Path], budget: int) -> bool:
    """Whether files should rather be read when they are asked for: they do not fit, or are many."""
    return len(paths) > MOST_OPEN or sum(path.stat().st_size for path in paths) > budget


def vectors_alone(path: Path) -> Representation:
    """A saved representation without predictions and what lies beside it; its vectors are read when they are used.

    Raises:
        FileNotFoundError, ValueError: as `Representation.load`.
    """
    saved = files.read(path, mapped_from=0)
    if len(saved.records) == 1:
        record = saved.records[0]
        about = {name: value for name, value in record.about.items() if name != "beside"}
        arrays = {name: array for name, array in record.arrays.items() if name != "logits"}
        saved = replace(saved, records=[replace(record, about=about, arrays=arrays)])
    return Representation.of_file(saved, path)
