"""A representation as a record of plain data and arrays, and back: what lies in a file, under which names.

What is read is looked at before it is believed: a file may be damaged, or made by somebody else's hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.core import ESTIMATORS, KERNELS, LEAST_SIZE, MIN_EXAMPLES, Projection, values_kept
from cka_plugin.core.projections import KIND as PROJECTION
from cka_plugin.representation.content import Content
from cka_plugin.representation.files import Record
from cka_plugin.representation.minibatch import Array, Minibatch
from cka_plugin.storage import Unread, array_of, at_hand, plain

REQUIRED, OPTIONAL = ("fingerprints", "ranks", "exponents"), ("logits", "labels")  # arrays of the whole
PLAIN = ("name", "example_ids", "class_names", "label_names", "problems", "skipped", "options", "shard")
_SINGLE_OR_HALF = ("f4", "f2")  # baselines may be in half precision
_MOST_EXPONENT = 10_000  # float64 ends at 2**1024


def record_of(content: Content) -> Record:
    """What a file keeps of a representation."""
    arrays: dict[str, Array | Unread] = {}
    for position, minibatch in enumerate(content.minibatches):
        arrays[f"vectors.{position}"] = minibatch.vectors
        arrays[f"diagonals.{position}"] = minibatch.diagonals
        arrays[f"positions.{position}"] = minibatch.positions
    named = {name: getattr(content, name) for name in (*REQUIRED, *OPTIONAL)}
    arrays |= {name: array for name, array in named.items() if array is not None}
    about = {name: getattr(content, name) for name in PLAIN}
    about["layers"] = [asdict(layer) for layer in content.layers]
    about["minibatches"] = [[minibatch.index, minibatch.pass_index] for minibatch in content.minibatches]
    if content.beside:
        about["beside"] = {key: _about_beside(other) for key, other in content.beside.items()}
        for key, other in content.beside.items():
            arrays |= {f"beside.{key}.{name}": array for name, array in _arrays_beside(other).items()}
    return Record(about, arrays)


def _about_beside(other: Content) -> dict[str, Any]:
    """What is not that of the representation beside which it lies: minibatches and examples are."""
    return {
        "name": other.name,
        "layers": [asdict(layer) for layer in other.layers],
        "problems": other.problems,
        "options": other.options,
    }


def _arrays_beside(other: Content) -> dict[str, Array | Unread]:
    arrays: dict[str, Array | Unread] = {"exponents": other.exponents}
    for position, minibatch in enumerate(other.minibatches):
        arrays[f"vectors.{position}"] = minibatch.vectors
        arrays[f"diagonals.{position}"] = minibatch.diagonals
    return arrays


def fields_of(record: Record) -> dict[str, Any]:
    """The fields of the representation that a record is of, by name.

    Raises:
        ValueError: something is missing, is of another type or shape, or contradicts the rest.
    """
    about = record.about
    for name, (fits, expected) in _PLAIN_FIELDS.items():
        if name not in about:
            raise ValueError(f"{name} is missing")
        if not fits(about[name]):
            raise ValueError(f"{name} is {about[name]!r:.80}, expected {expected}")
    found: dict[str, Any] = {name: about[name] for name in PLAIN}
    found["layers"] = [_layer(layer) for layer in about["layers"]]
    examples, layers = len(found["example_ids"]), len(found["layers"])
    shapes = {"fingerprints": (examples,), "ranks": (examples,), "exponents": (layers,), "labels": (examples,)}
    kinds = {"fingerprints": "u8", "ranks": "i8", "exponents": "i8", "labels": "i8"}
    for name, shape in shapes.items():
        if name in REQUIRED or name in record.arrays:
            found[name] = _array(record.arrays, name, shape, kinds[name])
    if "logits" in record.arrays:
        found["logits"] = _array(record.arrays, "logits", (examples, None), _SINGLE_OR_HALF)
    if len(np.unique(found["ranks"])) < examples or (examples and int(found["ranks"].min()) < 0):
        raise ValueError("ranks holds the same number twice, or a negative one")
    if layers and int(np.abs(found["exponents"]).max()) > _MOST_EXPONENT:
        raise ValueError(f"exponents holds {int(found['exponents'][np.abs(found['exponents']).argmax()])}")
    projection = Projection.recorded(found["options"].get("sketch"))
    found["minibatches"] = [
        _minibatch(record.arrays, position, numbers, (layers, examples), projection)
        for position, numbers in enumerate(about["minibatches"])
    ]
    if len({minibatch.index for minibatch in found["minibatches"]}) < len(found["minibatches"]):
        raise ValueError("two minibatches have the same number")
    found["shard"] = None if found["shard"] is None else tuple(found["shard"])
    found["beside"] = {key: _beside(key, about["beside"][key], record, found) for key in about.get("beside", {})}
    return found


def _beside(key: str, about: Mapping[str, Any], record: Record, owner: Mapping[str, Any]) -> Content:
    """What lies beside the representation whose fields are `owner`."""
    for name in ("name", "layers", "problems", "options"):
        fits, expected = _PLAIN_FIELDS[name]
        if not fits(about[name]):
            raise ValueError(f"{name} beside it ({key}) is {about[name]!r:.80}, expected {expected}")
    layers = [_layer(layer) for layer in about["layers"]]
    prefix = f"beside.{key}."
    arrays = {name.removeprefix(prefix): array for name, array in record.arrays.items() if name.startswith(prefix)}
    positions = {f"positions.{i}": minibatch.positions for i, minibatch in enumerate(owner["minibatches"])}
    numbered = [(minibatch.index, minibatch.pass_index) for minibatch in owner["minibatches"]]
    examples = len(owner["example_ids"])
    return Content(
        name=about["name"],
        layers=layers,
        minibatches=[
            _minibatch({**arrays, **positions}, position, numbers, (len(layers), examples))
            for position, numbers in enumerate(numbered)
        ],
        example_ids=owner["example_ids"],
        fingerprints=owner["fingerprints"],
        ranks=owner["ranks"],
        exponents=_array(arrays, "exponents", (len(layers),), "i8"),
        problems=about["problems"],
        skipped=owner["skipped"],
        options=about["options"],
        shard=owner["shard"],
    )


def _layer(described: Mapping[str, Any]) -> Layer:
    known = {field.name: field.default is MISSING for field in fields(Layer)}
    unlike = [name for name in described if name not in known]
    unlike += [name for name, needed in known.items() if needed and name not in described]
    if unlike:
        raise ValueError(f"a layer of {', '.join(map(repr, described))}: expected {', '.join(known)}")
    texts = all(plain.text(described[name]) for name in ("name", "path", "kind"))
    if not (texts and plain.number(described["depth"])):
        raise ValueError(f"a layer is {dict(described)!r:.80}, expected texts and a depth")
    return Layer(**described)


def _minibatch(
    arrays: Mapping[str, Array | Unread],
    position: int,
    numbers: tuple[int, int],
    counts: tuple[int, int],
    projection: Projection | None = None,
) -> Minibatch:
    layers, examples = counts
    positions = _array(arrays, f"positions.{position}", (None,), "i8")
    n = len(positions)
    if n < MIN_EXAMPLES or not 0 <= int(positions.min()) <= int(positions.max()) < examples:
        raise ValueError(f"positions.{position} are not {MIN_EXAMPLES} or more of the {examples} examples")
    index, pass_index = numbers
    vectors: Any = array_of(arrays, f"vectors.{position}", (layers, values_kept(n, projection)), _SINGLE_OR_HALF)
    diagonals: Any = array_of(arrays, f"diagonals.{position}", (layers, n), _SINGLE_OR_HALF)
    return Minibatch(vectors, diagonals, positions, index, pass_index)


def _array(
    arrays: Mapping[str, Array | Unread], name: str, shape: tuple[int | None, ...], kind: str | tuple[str, ...]
) -> Array:
    return at_hand(array_of(arrays, name, shape, kind))


# What JSON may hold in the place of each field


def _pair(value: Any) -> bool:
    return plain.list_of(plain.count)(value) and len(value) == 2


def _shard(value: Any) -> bool:
    return _pair(value) and value[0] < value[1]


def _options(value: Any) -> bool:
    return isinstance(value, dict) and all(fits(value[name]) for name, fits in _OPTIONS.items() if name in value)


def _sketch(value: Any) -> bool:
    if not (isinstance(value, dict) and set(value) == {"kind", "size", "seed"} and value["kind"] == PROJECTION):
        return False
    return plain.count(value["size"]) and plain.count(value["seed"]) and value["size"] >= LEAST_SIZE


_OPTIONS: dict[str, plain.Fits] = {
    "kernel": KERNELS.__contains__,
    "estimator": ESTIMATORS.__contains__,
    "bandwidth": lambda value: plain.number(value) and value > 0,
    "granularity": plain.text,
    "pooling": plain.text,
    "precision": plain.text,
    "batch_size": plain.or_none(plain.count),
    "max_examples": plain.or_none(plain.count),
    "passes": plain.count,
    "seed": plain.whole,
    "levels": plain.named(plain.text),
    "sketch": plain.or_none(_sketch),
}
_TEXTS_OR_NONE = plain.or_none(plain.list_of(plain.text)), "a list of texts, or null"
_IDS = plain.list_of(plain.example_id), "a list of whole numbers or texts"
_PLAIN_FIELDS: dict[str, tuple[plain.Fits, str]] = {
    "name": (plain.text, "a text"),
    "layers": (plain.list_of(lambda value: isinstance(value, dict)), "a list of layers"),
    "minibatches": (plain.list_of(_pair), "a list of [number, pass]"),
    "example_ids": _IDS,
    "class_names": _TEXTS_OR_NONE,
    "label_names": _TEXTS_OR_NONE,
    "problems": (plain.named(plain.text), "texts by layer"),
    "skipped": _IDS,
    "options": (_options, "options of this package"),
    "shard": (plain.or_none(_shard), "[number, how many], or null"),
}
