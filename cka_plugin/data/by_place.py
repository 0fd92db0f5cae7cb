"""Members of a tuple to the arguments of a model, by their places and by what they hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cka_plugin.data.arguments import Takes
from cka_plugin.data.content import Content, Key, Member
from cka_plugin.data.fed import Fed
from cka_plugin.data.labels import LABEL_KEYS
from cka_plugin.data.roles import is_target


def by_place(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
    members = list(content.members)
    if takes.tokens:
        return _tokens(members, takes, labels)
    placed: list[Member] = [members[0]]
    named: dict[str, Member] = {}
    required = sum(name in takes.placed for name in takes.required)
    for place, member in enumerate(members[1:], start=1):
        if len(placed) != place - len(named):
            break
        if takes.more_placed and member.key not in labels:
            placed.append(member)
        elif place < len(takes.placed):
            argument = takes.placed[place]
            paddings = [name for name in takes.placed[place:] if "padding" in name or "pad_mask" in name]
            if place < required:
                placed.append(member)
            elif _is_mask(member) and paddings:
                named[paddings[0]] = member
            elif _fits(member, argument, labels):
                placed.append(member)
    used = [*placed, *named.values()]
    left = [m for m in members if not any(m is u for u in used) and m.key not in labels[:1]]
    if labels and labels[0] in [m.key for m in used]:  # an argument, and so not the label
        left = [m for m in left if m.key != next((key for key in labels if key not in [u.key for u in used]), None)]
    if named:
        return Fed(named={**dict(zip(takes.placed, placed, strict=False)), **named}, left=left)
    return Fed(placed=placed, left=left)


def _fits(member: Member, argument: str, labels: Sequence[Key]) -> bool:
    """Whether a member is what an argument that need not be given is for."""
    if member.kind != "tensor" or argument in LABEL_KEYS:
        return False
    if "mask" in argument:
        return _is_mask(member) or (isinstance(member.values, Tensor) and member.values.ndim > 2)
    if member.key in labels:
        return "len" in argument
    return not is_target(member)


def _is_mask(member: Member) -> bool:
    """Whether it is (n, length) of zeros and ones."""
    values = member.values
    if not isinstance(values, Tensor) or values.ndim != 2:
        return False
    return values.dtype is torch.bool or bool(((values == 0) | (values == 1)).all())


def _tokens(members: Sequence[Member], takes: Takes, labels: Sequence[Key]) -> Fed:
    """Members of a transformer's minibatch by what they hold: token ids first, then their mask and their types."""
    first = members[0]
    if not isinstance(first.values, Tensor) or first.values.is_floating_point():
        return Fed(placed=[first], left=[m for m in members[1:] if m.key not in labels[:1]])
    named, left = {"input_ids": first}, []
    for member in members[1:]:
        if _is_mask(member) and member.values.shape == first.values.shape:
            if "attention_mask" not in named and _masks(member.values, first.values):
                named["attention_mask"] = member
                continue
            if "token_type_ids" in takes.named and "token_type_ids" not in named:
                named["token_type_ids"] = member
                continue
        if member.key not in labels[:1]:
            left.append(member)
    return Fed(named=named, left=left)


def _masks(mask: Tensor, ids: Tensor) -> bool:
    """Whether all that a mask hides is one token, and something stays of every example."""
    hidden = ids[mask == 0]
    return bool(mask.bool().any(dim=1).all()) and (hidden.numel() == 0 or bool((hidden == hidden[0]).all()))
