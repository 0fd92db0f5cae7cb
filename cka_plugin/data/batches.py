"""A minibatch as read, and how an order of examples is cut into minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cka_plugin.adapters.base import Inputs
from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.arguments import Takes
from cka_plugin.data.content import Content
from cka_plugin.data.fed import Fed
from cka_plugin.data.feeding import fed, say_what_is_left
from cka_plugin.data.inputs import inputs_of
from cka_plugin.data.kinds import RAW_KINDS
from cka_plugin.data.numbers import Fingerprints, Ints, Words
from cka_plugin.data.raw import Rows, RowsKey, raw
from cka_plugin.data.roles import Choice, examples_alone

DEFAULT_BATCH_SIZE = 64


@dataclass(frozen=True)
class Batch:
    """One minibatch, as read.

    Attributes:
        index: its number in the whole run.
        pass_index: which pass over the data.
        places: (n,) each example's place in the order of reading of the first pass.
        ids: n example ids.
        fingerprints: (n,) of the raw content.
        labels: (n,) int64; words, where only the whole data tell their numbers; or None.
        content: what the examples hold; None once they have been run.
        choices: members that can be the labels, the likeliest first.
        skipped: ids that could not be read.
        labels_apart: the labels come from elsewhere than the examples.
        rows: what the steps of preparations made of each example, where that was done while reading.
        again: reads the examples again, where pictures are not held after they were prepared.
    """

    index: int
    pass_index: int
    places: Ints
    ids: list[Any]
    fingerprints: Fingerprints
    labels: Ints | Words | None
    content: Content | None = None
    choices: tuple[Choice, ...] = ()
    skipped: list[Any] = field(default_factory=list)
    labels_apart: bool = False
    rows: Mapping[RowsKey, Rows] = field(default_factory=dict, repr=False, compare=False)
    again: Callable[[], Content] | None = field(default=None, repr=False, compare=False)
    _prepared: dict[Any, Inputs] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.ids)

    def without_content(self) -> Batch:
        """What a representation keeps of it: which examples they were, not what they hold."""
        return replace(self, content=None, choices=(), rows={}, again=None, _prepared={})

    def for_model(self, takes: Takes) -> Inputs:
        """The inputs of one model; models that prepare raw examples alike share them.

        Raises:
            ValueError: the model does not say how to prepare such examples, or nobody can tell which of their members
                it takes.
        """
        content = self._held()
        found = self._fed(takes)
        label = self.labelled_for(takes)._label_key()
        say_what_is_left(content, takes, found, label)
        if not found.raw:
            return inputs_of(content, takes, found)
        return self._of_raw(found, takes)

    def bring(self, function: Callable[[Inputs], Inputs]) -> None:
        """Put the inputs made so far of raw examples elsewhere, such as on another device."""
        for key, inputs in self._prepared.items():
            self._prepared[key] = function(inputs)

    def labelled_for(self, takes: Takes) -> Batch:
        """The same, where a model takes what looks like the label as an argument with another label, or none."""
        if not self.choices or self.content is None:
            return self
        used = [key for key in self._fed(takes).used if not isinstance(key, str)]
        kept = tuple(choice for choice in self.choices if choice[0] not in used)
        if kept == self.choices:
            return self
        labels = self.labels if self.labels_apart else kept[0][1] if kept else None
        return replace(self, choices=kept, labels=labels)

    def examples(self) -> Iterable[Any]:
        """The examples one by one, without labels: tensors, raw values, or tuples or mappings of such."""
        content = examples_alone(self._held(), self._label_key())
        if len(content.members) == 1:
            return content.members[0].rows()
        columns = [member.rows() for member in content.members]
        if content.named:
            return [dict(zip(map(str, content.keys), row, strict=True)) for row in zip(*columns, strict=True)]
        return list(zip(*columns, strict=True))

    def _held(self) -> Content:
        if self.content is None:
            raise ValueError(f"minibatch {self.index} was given back: what its examples held is gone")
        return self.content

    def _label_key(self) -> Any:
        return self.choices[0][0] if self.choices else None

    def _fed(self, takes: Takes) -> Fed:
        return fed(self._held(), takes, [key for key, _ in self.choices])

    def _of_raw(self, found: Fed, takes: Takes) -> Inputs:
        given = raw(found, takes)
        if given.key not in self._prepared:
            rows = self.rows.get(given.key)
            if rows is None and given.spent and self.again is not None:
                given = raw(fed(self.again(), takes, [key for key, _ in self.choices]), takes)
            self._prepared[given.key] = given.inputs(rows)
        return self._prepared[given.key]


def raw_kinds(content: Content) -> tuple[str, ...]:
    """The kinds of raw value that examples hold, such as `("image", "text")`; empty where they are ready."""
    return tuple(member.kind for member in content.members if member.kind in RAW_KINDS)


def split(order: Ints, batch_size: int) -> list[Ints]:
    """Cut an order into minibatches; a last one of fewer than 4 joins the one before it.

    Example:
        >>> [len(part) for part in split(np.arange(19), 8)], [len(part) for part in split(np.arange(20), 8)]
        ([8, 11], [8, 8, 4])
    """
    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(parts) > 1 and len(parts[-1]) < MIN_EXAMPLES:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts
