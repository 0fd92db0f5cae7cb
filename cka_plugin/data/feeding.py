"""From the members of a minibatch to the inputs of one model; what is not used is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from cka_plugin.adapters.base import Inputs
from cka_plugin.data.arguments import Takes
from cka_plugin.data.content import Content, Key, Member
from cka_plugin.data.kinds import RAW_KINDS
from cka_plugin.data.labels import LABEL_KEYS
from cka_plugin.data.padding import padded
from cka_plugin.data.roles import NAMING, is_target
from cka_plugin.warnings import warn

USUAL = ("image", "images", "img", "x", "input", "inputs", "pixel_values", "data", "features", "input_values", "video")


@dataclass
class Fed:
    """Which members go to a model, and how.

    Attributes:
        raw: to be prepared, in this order.
        placed: by place.
        named: by name of the argument.
        whole: the minibatch as it was given.
        left: not used.
    """

    raw: list[Member] = field(default_factory=list)
    placed: list[Member] = field(default_factory=list)
    named: dict[str, Member] = field(default_factory=dict)
    whole: bool = False
    left: list[Member] = field(default_factory=list)

    @property
    def used(self) -> list[Key]:
        """Names and places of what the model gets."""
        return [member.key for member in (*self.raw, *self.placed, *self.named.values())]


def fed(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
    """Decide it.

    Args:
        content: the examples.
        takes: what the model takes.
        labels: members that can be labels.

    Raises:
        ValueError: nobody can tell which members are meant.
    """
    if takes.alone:
        return Fed(whole=True)
    if takes.inputs is not None:
        return _as_said(content, takes)
    content = replace(content, members=tuple(m for m in content.members if not m.known or m.key in takes.required))
    if takes.whole and content.named and not _prepares(content, takes):
        return Fed(whole=True)
    found = _raw(content, takes, labels) if _prepares(content, takes) else None
    if found is None:
        found = _by_name(content, takes, labels) if content.named else _by_place(content, takes, labels)
    return found


def inputs_of(content: Content, takes: Takes, found: Fed) -> Inputs:
    """The inputs of ready members, as the adapter takes them: a mapping by name, a tuple by place."""
    if found.whole:
        return _whole(content, takes)
    if found.named and not found.placed:
        named = {name: _value(member, takes, name) for name, member in found.named.items()}
        return padded(named, takes)
    placed = tuple(_value(member, takes) for member in found.placed)
    return placed[0] if len(placed) == 1 and isinstance(placed[0], Tensor) else placed


def say_what_is_left(content: Content, takes: Takes, found: Fed, label: Key) -> None:
    """Warn, once a model, of members that were given and are used neither as input nor as label."""
    left = [m for m in found.left if m.key != label and not m.known and not _goes_without_saying(m, found)]
    keys = frozenset(m.key for m in left)
    if not left or keys in takes.said:
        return
    takes.said.add(keys)
    arguments = ", ".join(takes.placed) or "whatever comes"
    warn(
        f"{takes.name}: not used of the examples, and left out: {', '.join(m.described() for m in left)}, neither an "
        f"input (its forward takes {arguments}) nor the label; say inputs= or label_key=, or give forward=, a function "
        "of model and minibatch"
    )


def _goes_without_saying(member: Member, found: Fed) -> bool:
    """Texts beside their own tokens; token types that say nothing."""
    if "input_ids" in found.named and member.kind == "text":
        return True
    return member.key == "token_type_ids" and isinstance(member.values, Tensor) and not bool(member.values.any())


# As the user said


def _as_said(content: Content, takes: Takes) -> Fed:
    assert takes.inputs is not None
    said = takes.inputs
    pairs = list(said.items()) if isinstance(said, Mapping) else [(None, key) for key in said]
    members = []
    for _, key in pairs:
        member = content.get(key)
        if member is None:
            held = ", ".join(m.described() for m in content.members)
            raise ValueError(f"inputs={said!r}: the examples have no {key!r}, they hold {held}")
        members.append(member)
    if any(member.kind in RAW_KINDS for member in members):
        return Fed(raw=members)
    if isinstance(said, Mapping):
        return Fed(named={str(name): member for (name, _), member in zip(pairs, members, strict=True)})
    if all(isinstance(m.key, str) and (m.key in takes.named) for m in members):
        return Fed(named={str(m.key): m for m in members})
    return Fed(placed=members)


# Raw examples


def _prepares(content: Content, takes: Takes) -> bool:
    """Whether the minibatch is of raw examples: no member is ready for the model, by name or as the first of all."""
    raw = [m for m in content.members if m.kind in RAW_KINDS]
    if content.named:
        ready = [m for m in content.members if m.kind == "tensor" and m.key not in LABEL_KEYS and m.key not in NAMING]
        raw = [m for m in raw if m.key not in NAMING and m.key not in LABEL_KEYS] or ([] if ready else raw)
        return bool(raw) and not any(m.key in takes.named for m in ready)
    return content.members[0].kind in RAW_KINDS or _sounds(content.members[0], takes)


def _sounds(member: Member, takes: Takes) -> bool:
    """Whether arrays of one axis are the sounds that a model takes."""
    prepares = takes.preparation is not None and takes.preparation.kinds == ("audio",)
    if not prepares or not member.plain or member.kind != "tensor":
        return False
    return all(row.ndim == 1 and row.is_floating_point() for row in member.values[:1])


def _raw(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
    raw = [m for m in content.members if (m.kind in RAW_KINDS and m.key not in labels) or _sounds(m, takes)]
    if content.named:
        raw = [m for m in raw if m.key not in (*NAMING, *LABEL_KEYS)] or raw
    kinds = [kind for kind in takes.preparation.kinds if kind in RAW_KINDS] if takes.preparation else []
    used = [m for m in raw if not kinds or (m.kind if m.kind != "tensor" else "audio") in kinds] or raw
    left = [m for m in content.members if m not in used and m.key not in labels]
    return Fed(raw=used, left=[*left, *_other_labels(content, labels)])


def _other_labels(content: Content, labels: Sequence[Key]) -> list[Member]:
    return [m for m in content.members if m.key in labels[1:]]


# Ready members by name


def _by_name(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
    candidates = [m for m in content.members if m.key not in LABEL_KEYS or m.key in takes.required]
    here = {str(m.key): m for m in candidates if m.key in takes.named}
    rest = [m for m in candidates if str(m.key) not in here]
    lacking = [name for name in takes.required if name not in here]
    tensors = [m for m in rest if m.kind == "tensor" and m.key not in NAMING]
    if here:
        if len(lacking) == 1 and len(tensors) == 1 and not takes.tokens:
            here[lacking[0]], rest = tensors[0], [m for m in rest if m is not tensors[0]]
        elif takes.more_named and not takes.tokens:
            here |= {str(m.key): m for m in rest}
            rest = []
        return Fed(named=here, left=[*rest, *_left_labels(content, here, labels)])
    if takes.more_named and not takes.required:
        return Fed(named={str(m.key): m for m in tensors}, left=[m for m in rest if m not in tensors])
    usual = [m for m in tensors if m.key in USUAL]
    chosen = tensors if len(tensors) == 1 else usual if len(usual) == 1 else []
    if not chosen and not tensors:
        chosen = [m for m in rest if m.kind == "other" and takes.lists][:1]
    if not chosen or len(takes.required) > 1:
        held = ", ".join(m.described() for m in content.members)
        raise ValueError(
            f"{takes.name} takes ({', '.join(takes.placed) or '...'}), and none of these is a member of the examples: "
            f"they hold {held}; say which go in with inputs=, or give forward=, a function of model and minibatch"
        )
    left = [m for m in rest if m is not chosen[0]]
    return Fed(placed=chosen, left=[*left, *_left_labels(content, {}, labels)])


def _left_labels(content: Content, here: Mapping[str, Member], labels: Sequence[Key]) -> list[Member]:
    """Members called like labels that neither are the labels nor go in."""
    return [m for m in content.members if m.key in LABEL_KEYS and m.key not in here and m.key not in labels[:1]]


# Ready members by place


def _by_place(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
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


# Values


def _whole(content: Content, takes: Takes) -> Inputs:
    members = tuple(replace(m, values=_value(m, takes)) if m.kind == "tensor" else m for m in content.members)
    given = replace(content, members=members).as_given()
    return given if takes.alone else (given,)  # an adapter gives the parts of a tuple by place


def _value(member: Member, takes: Takes, name: str = "") -> Any:
    """The values of a member as the model takes them: one tensor, where all are of one shape."""
    values = member.values
    if isinstance(values, list) and values and all(isinstance(v, Tensor) for v in values):
        if not takes.lists and all(v.shape == values[0].shape for v in values):
            values = torch.stack(values)
    elif isinstance(values, Tensor) and takes.lists and values.ndim > 3 and not member.shared:
        return [_cast(row, member, takes) for row in values]
    if isinstance(values, Tensor):
        return _cast(values, member, takes)
    return values


def _cast(values: Tensor, member: Member, takes: Takes) -> Tensor:
    dtype = takes.dtype or torch.get_default_dtype()
    if values.is_floating_point():
        if values.dtype != dtype and (member.plain or values.dtype is torch.float64) and takes.dtype is not None:
            return values.to(dtype)
        return values.to(dtype) if member.plain and values.dtype is torch.float64 else values
    if member.plain and takes.dtype is not None and not takes.embeds and values.dtype is not torch.bool:
        return values.to(dtype)
    return values
