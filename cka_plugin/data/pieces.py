"""Minibatches of a loader as pieces that can be cut and joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.adapters.base import Inputs
from cka_plugin.data.batches import DEFAULT_BATCH_SIZE
from cka_plugin.data.fingerprints import fingerprint_raw, fingerprints_of, size_of
from cka_plugin.data.labels import LABEL_KEYS
from cka_plugin.data.reading import ReadOptions


class Piece:
    """Some consecutive examples of a stream: raw examples or ready inputs, labels, fingerprints."""

    def __init__(self, raw: list[Any] | None, inputs: Inputs | None, labels: Any, prints: Any) -> None:
        self.raw, self.inputs, self.labels, self.prints = raw, inputs, labels, prints

    def __len__(self) -> int:
        return len(self.prints)

    def parts(self) -> tuple[list[Any] | None, Inputs | None, Any, Any]:
        return self.raw, self.inputs, self.labels, self.prints

    @staticmethod
    def of(batch: Any) -> Piece:
        """What a loader gave: a tensor, (x,), (x, y), a mapping, or raw examples in their place."""
        inputs, labels = split_labels(batch)
        if isinstance(inputs, list | tuple) and inputs and not isinstance(inputs[0], Tensor):
            raw = list(inputs)
            prints = np.array([fingerprint_raw(example) for example in raw], dtype=np.uint64)
            return Piece(raw, None, labels, prints)
        if not isinstance(inputs, Tensor | tuple | Mapping):
            raise TypeError(
                f"the loader gave a minibatch of {type(inputs).__name__}: expected a tensor, (x, y), a mapping of "
                "tensors, or "
                "lists of images or texts"
            )
        n = size_of(inputs)
        if labels is not None and len(labels) != n:
            raise ValueError(f"a minibatch of {n} examples came with {len(labels)} labels")
        return Piece(None, inputs, labels, fingerprints_of(inputs, n))

    def cut(self, start: int, stop: int) -> Piece:
        if start == 0 and stop == len(self):
            return self
        n = len(self)
        inputs = self.inputs

        def rows(value: Any) -> Any:
            return value[start:stop] if isinstance(value, Tensor) and value.ndim and len(value) == n else value

        if isinstance(inputs, Mapping):
            inputs = {key: rows(value) for key, value in inputs.items()}
        elif isinstance(inputs, tuple):
            inputs = tuple(rows(value) for value in inputs)
        elif inputs is not None:
            inputs = rows(inputs)
        raw = None if self.raw is None else self.raw[start:stop]
        labels = None if self.labels is None else self.labels[start:stop]
        return Piece(raw, inputs, labels, self.prints[start:stop])


def split_labels(batch: Any) -> tuple[Any, Any]:
    """Inputs and labels of a minibatch; labels are None where it has none that are classes."""
    if isinstance(batch, Mapping):
        rest = {key: value for key, value in batch.items() if key not in LABEL_KEYS}
        found = next((batch[key] for key in LABEL_KEYS if key in batch), None)
        raw = [
            value
            for value in rest.values()
            if isinstance(value, list | tuple) and value and not isinstance(value[0], Tensor)
        ]
        if len(raw) == 1 and len(rest) == 1:
            return raw[0], _classes(found)
        return rest, _classes(found)
    if isinstance(batch, list | tuple) and batch and isinstance(batch[0], Tensor | Mapping | list | tuple):
        inputs = batch[0]
        return inputs, _classes(batch[1]) if len(batch) > 1 else None
    return batch, None


def _classes(labels: Any) -> Any:
    if isinstance(labels, Tensor) and not labels.is_floating_point() and labels.numel() == len(labels):
        return labels.detach().flatten().cpu().numpy().astype(np.int64)
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iub" and labels.ndim == 1:
        return labels.astype(np.int64)
    if isinstance(labels, list | tuple) and labels and all(isinstance(label, int) for label in labels):
        return np.array(labels, dtype=np.int64)
    return None  # regression targets, several labels an example, sequences: not classes


def one_as_minibatch(example: Any) -> Any:
    """A single example as a minibatch of one."""
    if isinstance(example, Tensor):
        return example.unsqueeze(0)
    if isinstance(example, Mapping):
        return {key: one_as_minibatch(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return tuple(one_as_minibatch(value) for value in example)
    if isinstance(example, int | np.integer):
        return torch.tensor([int(example)])
    return [example]


def regrouped(pieces: Iterable[Piece], options: ReadOptions) -> Iterator[Piece]:
    size = options.batch_size or DEFAULT_BATCH_SIZE
    waiting: list[Piece] = []
    for piece in chain(pieces):
        waiting.append(piece)
        while sum(len(p) for p in waiting) >= size:
            whole = joined(waiting)
            yield whole.cut(0, size)
            rest = whole.cut(size, len(whole))
            waiting = [rest] if len(rest) else []
    if waiting:
        yield joined(waiting)


def joined(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    try:
        if isinstance(first.inputs, Mapping):
            inputs: Any = {key: _cat([p.inputs[key] for p in pieces]) for key in first.inputs}  # type: ignore[index, call-overload]
        elif isinstance(first.inputs, tuple):
            inputs = tuple(_cat([p.inputs[i] for p in pieces]) for i in range(len(first.inputs)))  # type: ignore[index, call-overload]
        else:
            inputs = None if first.inputs is None else _cat([p.inputs for p in pieces])
    except RuntimeError as error:
        raise ValueError(
            f"minibatches of the loader cannot be put together: {error}; leave out batch_size, or let the loader "
            "drop its short "
            "last minibatch"
        ) from error
    raw = None if first.raw is None else [example for p in pieces for example in p.raw or []]
    labels = None if any(p.labels is None for p in pieces) else np.concatenate([p.labels for p in pieces])
    return Piece(raw, inputs, labels, np.concatenate([p.prints for p in pieces]))


def _cat(values: list[Any]) -> Any:
    return torch.cat(values) if isinstance(values[0], Tensor) and values[0].ndim else values[0]
