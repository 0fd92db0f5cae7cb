"""Members of a minibatch as the inputs of a model: tensors of its dtype, filled up where they are uneven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cka_plugin.adapters.base import Inputs
from cka_plugin.data.arguments import Takes
from cka_plugin.data.content import Content, Member, repacked
from cka_plugin.data.fed import Fed
from cka_plugin.data.padding import padded


def inputs_of(content: Content, takes: Takes, found: Fed) -> Inputs:
    """The inputs of ready members, as the adapter takes them: a mapping by name, a tuple by place."""
    if found.whole:
        return _whole(content, takes)
    if found.named and not found.placed:
        named = {name: _value(member, takes, name) for name, member in found.named.items()}
        return padded(named, takes)
    placed = tuple(_value(member, takes) for member in found.placed)
    if takes.lists and isinstance(placed[0], Tensor) and not found.placed[0].shared:
        placed = (list(placed[0]), *placed[1:])
    return placed[0] if len(placed) == 1 and isinstance(placed[0], Tensor) else placed


def _whole(content: Content, takes: Takes) -> Inputs:
    members = tuple(replace(m, values=_value(m, takes)) if m.kind == "tensor" else m for m in content.members)
    given = replace(content, members=members).as_given()
    return given if takes.alone else (given,)  # an adapter gives the parts of a tuple by place


def _value(member: Member, takes: Takes, name: str = "") -> Any:
    """The values of a member as the model takes them: one tensor, where all are of one shape."""
    values = repacked(member)
    rows = values if isinstance(values, list) and all(isinstance(v, Tensor) for v in values) else []
    if rows and all(row.shape == rows[0].shape for row in rows):
        values = torch.stack(rows)
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
