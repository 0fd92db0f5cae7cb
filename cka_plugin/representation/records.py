"""A representation as a record of plain data and arrays, and back: what lies in a file, under which names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cka_plugin.adapters.base import Layer
from cka_plugin.representation.content import Content
from cka_plugin.representation.files import Record
from cka_plugin.representation.minibatch import Array, Minibatch

ARRAYS = ("fingerprints", "ranks", "exponents", "logits", "labels")  # those of the whole; the last two may be missing
PLAIN = ("name", "example_ids", "class_names", "label_names", "problems", "skipped", "options", "shard")


def record_of(content: Content) -> Record:
    """What a file keeps of a representation."""
    arrays: dict[str, Array] = {}
    for position, minibatch in enumerate(content.minibatches):
        arrays[f"vectors.{position}"] = minibatch.vectors
        arrays[f"diagonals.{position}"] = minibatch.diagonals
        arrays[f"positions.{position}"] = minibatch.positions
    arrays |= {name: getattr(content, name) for name in ARRAYS if getattr(content, name) is not None}
    about = {name: getattr(content, name) for name in PLAIN}
    about["layers"] = [asdict(layer) for layer in content.layers]
    about["minibatches"] = [[minibatch.index, minibatch.pass_index] for minibatch in content.minibatches]
    return Record(about, arrays)


def fields_of(record: Record) -> dict[str, Any]:
    """The fields of the representation that a record is of, by name."""
    about, arrays = record.about, record.arrays
    fields = {name: about[name] for name in PLAIN}
    fields["layers"] = [Layer(**layer) for layer in about["layers"]]
    fields["minibatches"] = [
        Minibatch(
            arrays[f"vectors.{position}"],
            arrays[f"diagonals.{position}"],
            arrays[f"positions.{position}"],
            index,
            pass_index,
        )
        for position, (index, pass_index) in enumerate(about["minibatches"])
    ]
    fields |= {name: arrays[name] for name in ARRAYS[:3]}
    fields |= {name: arrays.get(name) for name in ARRAYS[3:]}
    if fields["shard"] is not None:
        fields["shard"] = (int(fields["shard"][0]), int(fields["shard"][1]))
    return fields
