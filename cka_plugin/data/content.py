"""What the examples of a minibatch hold: the same members, cut and joined alike, whatever container they came in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from cka_plugin.data.kinds import kind_of
from cka_plugin.data.numbers import Ints

Key: TypeAlias = str | int | None


@dataclass(frozen=True)
class Member:
    """One member of every example: an image, a caption, a label.

    Attributes:
        key: the name of its field, its place in a tuple (`"0.1"` within a tuple there), or None where it is all there
            is.
        values: (n, ...) a tensor; or a list of n raw values, or of n tensors of other shapes.
        plain: the numbers came without a dtype of torch (arrays, lists, tables): a model may take them in its own.
        shared: one value for the whole minibatch, which is no example's.
        known: it is the id or the label already, which the data told apart.
        packed: the sequences came packed (`PackedSequence`), and go to the model so.
    """

    key: Key
    values: Any
    plain: bool = False
    shared: bool = False
    known: bool = False
    packed: bool = False

    @property
    def kind(self) -> str:
        """`tensor`, `image`, `text`, `audio`, `missing` or `other`."""
        if self.shared:
            return "tensor" if isinstance(self.values, Tensor) else "other"
        return "tensor" if isinstance(self.values, Tensor) else kind_of(self.values)

    @property
    def name(self) -> str:
        """For messages: `'mask'`, or `member 1`."""
        return (
            "the example" if self.key is None else repr(self.key) if isinstance(self.key, str) else f"member {self.key}"
        )

    def described(self) -> str:
        """For messages: its name, and what it is."""
        if isinstance(self.values, Tensor):
            return f"{self.name} ({str(self.values.dtype).removeprefix('torch.')} {tuple(self.values.shape)})"
        return f"{self.name} ({self.kind if self.kind != 'other' else type(self.values[0]).__name__})"

    def take(self, places: Sequence[int] | Ints | slice) -> Member:
        """Some of the examples."""
        if self.shared:
            return self
        if isinstance(places, slice):
            return replace(self, values=self.values[places])
        if isinstance(self.values, Tensor):
            index = torch.from_numpy(np.asarray(places, dtype=np.int64)).to(self.values.device)
            return replace(self, values=self.values[index])
        return replace(self, values=[self.values[place] for place in places])

    def rows(self) -> list[Any]:
        """The values one by one."""
        return list(self.values)


@dataclass(frozen=True)
class Content:
    """The members of n examples.

    Attributes:
        members: in the order in which they were given.
        n: how many examples.
        form: how they stood together: a member's number, or a tuple, list, named tuple or mapping of such.
    """

    members: tuple[Member, ...]
    n: int
    form: Any = 0

    @property
    def named(self) -> bool:
        """Whether members have names, not places."""
        return any(isinstance(member.key, str) and not member.key[:1].isdigit() for member in self.members)

    @property
    def keys(self) -> list[Key]:
        """Of all members."""
        return [member.key for member in self.members]

    def get(self, key: Key) -> Member | None:
        """A member by its name or place; None where there is none."""
        return next((m for m in self.members if m.key == key or str(m.key) == str(key)), None)

    def take(self, places: Sequence[int] | Ints | slice) -> Content:
        """Some of the examples."""
        members = tuple(member.take(places) for member in self.members)
        n = len(range(*places.indices(self.n))) if isinstance(places, slice) else len(places)
        return replace(self, members=members, n=n)

    def knowing(self, keys: Collection[Key]) -> Content:
        """The same, with these members known as ids or labels."""
        return replace(self, members=tuple(replace(m, known=m.known or m.key in keys) for m in self.members))

    def as_given(self) -> Any:
        """The minibatch as a loader would give it: tensors and lists in tuples and mappings as the user's."""
        return _built(self.form, [repacked(member) for member in self.members])


def repacked(member: Member) -> Any:
    """The values of a member; sequences that came packed, packed again."""
    return pack_sequence(member.values, enforce_sorted=False) if member.packed else member.values


def _built(form: Any, values: Sequence[Any]) -> Any:
    if isinstance(form, int):
        return values[form]
    if isinstance(form, Mapping):
        return {key: _built(part, values) for key, part in form.items()}
    parts = [_built(part, values) for part in form]
    return type(form)(*parts) if hasattr(form, "_fields") else type(form)(parts)


def joined(contents: Sequence[Content]) -> Content:
    """Examples of several contents, one after the other.

    Raises:
        ValueError: they do not hold the same members.
    """
    first = contents[0]
    if len(contents) == 1:
        return first
    for number, other in enumerate(contents):
        if other.keys != first.keys:
            lacking = [key for key in first.keys if key not in other.keys]
            more = [key for key in other.keys if key not in first.keys]
            what = (
                f"has no {lacking[0]!r}, which the first has"
                if lacking
                else f"has {more[0]!r}, which the first has not"
            )
            raise ValueError(f"example {number} {what}: expected the same members in all")
    members = tuple(_one(parts) for parts in zip(*(content.members for content in contents), strict=True))
    return Content(members, sum(content.n for content in contents), first.form)


def _one(parts: Sequence[Member]) -> Member:
    first = parts[0]
    if first.shared:
        return first
    values = [part.values for part in parts]
    if all(isinstance(v, Tensor) and v.shape[1:] == values[0].shape[1:] for v in values):
        return replace(first, values=torch.cat(values), plain=all(part.plain for part in parts))
    return replace(first, values=[row for part in values for row in part])
