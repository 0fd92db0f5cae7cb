"""Token ids of unequal length, filled up as a tokenizer would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cka_plugin.data.arguments import Takes

TOKENS = ("input_ids", "decoder_input_ids")


def padded(inputs: Mapping[str, Any], takes: Takes) -> dict[str, Any]:
    """Arguments whose rows differ in length as (n, length) tensors: ids by the model's padding token, all else by 0.

    A mask is made where there is none and the model takes one.

    Raises:
        ValueError: rows of other shapes that are no tokens.
    """
    uneven = [name for name, value in inputs.items() if isinstance(value, list) and _rows(value)]
    if not uneven:
        return dict(inputs)
    made = dict(inputs)
    for name in uneven:
        rows = inputs[name]
        if any(row.ndim != 1 for row in rows) or not (takes.tokens or name in TOKENS):
            shapes = sorted({tuple(row.shape) for row in rows})[:2]
            raise ValueError(
                f"{takes.name}: {name!r} has examples of shapes {shapes[0]} and {shapes[1]}, which are no one tensor: "
                "give them in one shape, a DataLoader with a collate_fn, or forward=, a function of model and minibatch"
            )
        made[name] = _filled(rows, takes.padding if name in TOKENS else 0)
    if "input_ids" in uneven and "attention_mask" in takes.named and "attention_mask" not in inputs:
        made["attention_mask"] = _filled([torch.ones_like(row) for row in inputs["input_ids"]], 0)
    return made


def _rows(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(row, Tensor) for row in value)


def _filled(rows: list[Tensor], fill: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)
