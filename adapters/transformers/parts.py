"""One kind of raw example (text, image, sound) of a Hugging Face model, and how it becomes keyword arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cka_plugin.adapters.steps import Step

POOLING_MASK = "pooling_mask"  # a mask for the pooling that the model itself is not to see
AUDIO_MASKS = ("input_features_mask", "feature_attention_mask", "input_values_mask", "padding_mask", "attention_mask")


@dataclass(frozen=True)
class Part:
    """One kind of raw example and how a list of them becomes keyword arguments.

    Attributes:
        collate: a list of raw examples to keyword arguments.
        description: one line for people.
        identity: equal for two parts that make the same arguments of the same examples.
        one: a raw example, checked, as the processor takes it.
        bare: the one name under which `collate` gives anything, for a tensor by itself; None where there are several.
        remarks, steps, side_by_side: see `Preparation`.
        join: what the steps made to keyword arguments.
    """

    collate: Callable[[Sequence[Any]], dict[str, Any]]
    description: str
    identity: str
    one: Callable[[Any], Any]
    bare: str | None = None
    remarks: Callable[[], list[str]] = list
    steps: tuple[Step, ...] = ()
    join: Callable[[Sequence[Any]], dict[str, Any]] | None = None
    side_by_side: bool = False


def digest(*what: Any) -> str:
    """A short key of what its arguments are."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:24]


def cast(inputs: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Pixels and samples in the precision of the model, as its own pipelines give them."""
    return {k: v.to(dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in inputs.items()}


__all__ = ["AUDIO_MASKS", "POOLING_MASK", "Part", "cast", "digest"]
