"""Raw members of examples, as the preparation of a model takes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from cka_plugin.adapters.base import Inputs, Preparation
from cka_plugin.adapters.steps import prepared
from cka_plugin.data.arguments import Takes
from cka_plugin.data.content import Content, Key
from cka_plugin.data.fed import Fed
from cka_plugin.data.feeding import fed
from cka_plugin.data.kinds import Spent

RowsKey: TypeAlias = tuple[str, tuple[Key, ...]]  # of the preparation, and of the members that it takes
Rows: TypeAlias = "Tensor | list[Any]"  # what the steps of a preparation made of each example


@dataclass(frozen=True)
class Raw:
    """What a preparation is given of some examples.

    Attributes:
        key: of what it makes of them.
        preparation: it.
        columns: of each member that it takes, the values.
    """

    key: RowsKey
    preparation: Preparation
    columns: list[list[Any]]

    @property
    def spent(self) -> bool:
        """Whether the values are held no longer."""
        return any(isinstance(value, Spent) for column in self.columns for value in column[:1])

    @property
    def examples(self) -> list[Any]:
        """What goes in: one value an example, or a tuple of them."""
        return self.columns[0] if len(self.columns) == 1 else list(zip(*self.columns, strict=True))

    def inputs(self, rows: Rows | None = None) -> Inputs:
        """The inputs of the model; `rows`, where the steps were made before."""
        with _one_thread() if self.preparation.side_by_side else contextlib.nullcontext():
            if rows is None:
                return self.preparation.collate(self.examples)
            assert self.preparation.join is not None
            return self.preparation.join(list(rows))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Within it torch computes in one thread, as in a worker: two take longer, and may round otherwise."""
    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def raw(found: Fed, takes: Takes) -> Raw:
    """The raw members that a model is fed, in the order in which its preparation takes them.

    Raises:
        ValueError: it does not say how it is prepared, or takes other kinds.
    """
    preparation = takes.preparation
    kinds = ["audio" if member.kind == "tensor" else member.kind for member in found.raw]
    what = " and ".join(dict.fromkeys(kinds))
    if preparation is None:
        raise ValueError(
            f"{takes.name} does not say how to prepare {what} examples: give tensors, or "
            f"transforms={{{takes.name!r}: function}} that makes a tensor of one example"
        )
    if not set(kinds) & set(preparation.kinds):
        raise ValueError(f"{takes.name} takes {' and '.join(preparation.kinds)} examples; given {what}")
    order = [place for kind in preparation.kinds for place, own in enumerate(kinds) if own == kind]
    key = (preparation.key, tuple(found.raw[place].key for place in order))
    return Raw(key, preparation, [_sounds(found.raw[place].rows(), kinds[place]) for place in order])


def _sounds(rows: list[Any], kind: str) -> list[Any]:
    if kind != "audio":
        return rows
    return [row.numpy().astype(np.float32) if hasattr(row, "numpy") else row for row in rows]


def rows_of(content: Content, models: Sequence[Takes], labels: Sequence[Key]) -> dict[RowsKey, Rows]:
    """What the steps of all models' preparations make of some examples; what they have in common is made once.

    Args:
        content: the examples.
        models: what each takes.
        labels: members that can be labels.
    """
    found: dict[RowsKey, Raw] = {}
    for takes in models:
        if takes.preparation is not None and takes.preparation.steps:
            own = fed(content, takes, labels)
            if own.raw:
                given = raw(own, takes)
                found.setdefault(given.key, given)
    if len(found) == 1:
        ((key, only),) = found.items()
        return {key: [prepared(example, only.preparation.steps) for example in only.examples]}
    made: dict[RowsKey, Rows] = {}
    known: dict[Any, dict[tuple[str, ...], Any]] = {}
    for key, given in found.items():
        made[key] = [
            prepared(example, given.preparation.steps, known.setdefault((key[1], place), {}))
            for place, example in enumerate(given.examples)
        ]
    return made


def spend(content: Content, rows: Mapping[RowsKey, Rows]) -> Content:
    """The examples without the pictures that rows were made of."""
    used = {member for key in rows for member in key[1]}
    members = tuple(
        replace(member, values=[Spent("image")] * content.n)
        if member.key in used and member.kind == "image" and not isinstance(member.values, Tensor)
        else member
        for member in content.members
    )
    return replace(content, members=members)


def joined_rows(parts: Sequence[Mapping[RowsKey, Rows]]) -> dict[RowsKey, Rows]:
    """Rows of several parts of a minibatch, one after the other; only what all parts have."""
    return {key: _one([part[key] for part in parts]) for key in parts[0] if all(key in part for part in parts)}


def _one(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat(parts)  # type: ignore[arg-type]
    return [row for part in parts for row in part]
