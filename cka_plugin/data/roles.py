"""Which members of the examples are their labels, and which only name them."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from torch import Tensor

from cka_plugin.data.columns import NAMING, pick
from cka_plugin.data.content import Content, Key, Member
from cka_plugin.data.kinds import RAW_KINDS
from cka_plugin.data.labels import LABEL_KEYS, classes_of, is_one_hot
from cka_plugin.data.numbers import Ints, Words

Choice: TypeAlias = tuple[Key, Ints | Words]


def label_choices(content: Content, label_key: Key = None) -> list[Choice]:
    """Members that can be the labels, the likeliest first, with the classes that they hold.

    Args:
        content: the examples.
        label_key: the name or place of the one that holds them, where the user said it.

    Raises:
        ValueError: there is no member of that name, or it holds no classes.
    """
    if label_key is not None:
        member = content.get(label_key)
        if member is None:
            raise ValueError(f"label_key={label_key!r}: the examples hold {_listed(content)}")
        try:
            return [(member.key, classes_of(member.values))]
        except ValueError as error:
            raise ValueError(f"label_key={label_key!r}: {error}") from error
    if content.named:
        named = [content.get(key) for key in LABEL_KEYS if key in content.keys]
        return [(member.key, classes_of(member.values)) for member in named if member is not None and _is_class(member)]
    return [(member.key, classes_of(member.values)) for member in _placed_labels(content)]


def _placed_labels(content: Content) -> list[Member]:
    """Members of a tuple that can be labels; a text beside a text or an image may be its pair or its caption."""
    placed = [member for member in content.members[1:] if isinstance(member.key, int) and _is_class(member)]
    beside = content.members[0].kind in ("text", "image")
    return [member for member in placed if not (beside and member.kind == "text")]


def _is_class(member: Member) -> bool:
    """Whether every example has one class there; a missing one counts, so that it is said."""
    values = member.values
    if member.shared or values is None:
        return False
    if isinstance(values, Tensor):
        if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
            numbers = values.detach().cpu().double()
            return not values.is_floating_point() or bool(((numbers == numbers.round()) | numbers.isnan()).all())
        return values.ndim == 2 and is_one_hot(values.detach().cpu().double().numpy())
    return all(value is None or isinstance(value, str) or _is_scalar(value) for value in values) and any(
        value is not None for value in values
    )


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | np.number) or (isinstance(value, Tensor) and value.ndim == 0)


def is_target(member: Member) -> bool:
    """Whether a member has the shape of what a regression is trained on: one floating number an example."""
    values = member.values
    return (
        isinstance(values, Tensor)
        and values.is_floating_point()
        and (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1))
    )


def only_names(member: Member) -> bool:
    """Whether a member says which example it is, not what it holds; an image that its path became is held."""
    return member.key in NAMING and member.kind not in ("image", "audio")


def examples_alone(content: Content, labels: Key = None) -> Content:
    """What the examples themselves hold: without labels, targets of regressions and what only names them."""
    left = [m for m in content.members if not m.shared and m.kind not in ("other", "missing")]
    if content.named:
        kept = [m for m in left if m.key not in LABEL_KEYS and not only_names(m) and m.key != labels]
    else:
        classes = [member.key for member in _placed_labels(content)]
        kept = [m for place, m in enumerate(left) if place == 0 or not (m.key in classes or is_target(m))]
        kept = [m for m in kept if m.key is None or m.key != labels]
    return replace(content, members=tuple(kept or left[:1] or content.members[:1]))


def meant(content: Content, labels: Key = None) -> Content:
    """Of several columns those that the examples are read for: by their names, one of each raw kind or a pair of texts.

    Where no raw column is meant, or several could be, all that the examples hold.
    """
    alone = examples_alone(content, labels)
    if not content.named:
        return alone
    chosen: list[Member] = []
    for kind in RAW_KINDS:
        given = [str(m.key) for m in alone.members if m.kind == kind]
        try:
            names = pick(kind, given, "the data") if given else []
        except ValueError:  # said where a model takes them, unless the user says which
            names = given
        chosen += [m for name in names for m in alone.members if m.key == name]
    ready = [m for m in alone.members if m.kind == "tensor"]
    if any(m.key == "input_ids" for m in ready) or not chosen:
        return replace(content, members=tuple(ready or alone.members))
    return replace(content, members=tuple(chosen))


def _listed(content: Content) -> str:
    return ", ".join(member.described() for member in content.members)
