"""A representation as plain data and arrays: it comes back, and what contradicts itself is refused with the field."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.representation.files import Record
from cka_plugin.representation.records import fields_of, record_of
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def made() -> cka.Representation:
    labels = [i % 5 for i in range(24)]
    return cka.represent({"net": ConvNet(blocks=1)}, images(24), labels=labels, batch_size=8, progress=False)


def plain(made: cka.Representation) -> Record:
    """The record, once it has been through JSON."""
    record = record_of(made)
    return Record(json.loads(json.dumps(dict(record.about))), dict(record.arrays))


def test_every_field_comes_back(made: cka.Representation) -> None:
    found = fields_of(plain(made))
    assert set(found) == {field.name for field in fields(cka.Representation)}
    again = cka.Representation(**found)
    for name in ("name", "layers", "example_ids", "class_names", "label_names", "problems", "skipped", "options"):
        assert getattr(again, name) == getattr(made, name)
    assert np.array_equal(again.logits, made.logits)
    assert [minibatch.index for minibatch in again.minibatches] == [0, 1, 2]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", 3, "name is 3, expected a text"),
        ("example_ids", [1.5] * 24, "example_ids is"),
        ("class_names", "abc", "class_names is 'abc'"),
        ("shard", [4, 2], "shard is"),
        ("minibatches", [[0, 0], [0, 0], [1, 0]], "two minibatches have the same number"),
        ("minibatches", [[0, 0], [1, 0], [2]], "minibatches is"),
        ("minibatches", [[0, 0], [1, 0], [2, 0], [3, 0]], "positions.3 is missing"),
        ("options", {"kernel": "cubic"}, "options is"),
        ("options", {"bandwidth": float("nan")}, "options is"),
        ("layers", [{"name": "a"}], "a layer of 'name': expected name, path, kind, depth"),
        ("example_ids", ["x"], "fingerprints is uint64 of shape"),
    ],
)
def test_plain_data_that_do_not_fit_are_named(made: cka.Representation, field: str, value: Any, said: str) -> None:
    record = plain(made)
    with pytest.raises(ValueError, match=said):
        fields_of(Record({**record.about, field: value}, record.arrays))
    with pytest.raises(ValueError, match=f"{field} is missing"):
        fields_of(Record({name: held for name, held in record.about.items() if name != field}, record.arrays))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ranks", np.zeros(24, dtype=np.int64), "ranks holds the same number twice"),
        ("exponents", np.full(3, 99_999), "exponents"),
        ("positions.1", np.arange(20, 28), "positions.1 are not 4 or more of the 24 examples"),
        ("vectors.1", np.zeros((3, 10), dtype=np.float32), "vectors.1 is float32 of shape"),
        ("diagonals.1", np.zeros((3, 8)), "diagonals.1 is float64"),
        ("logits", np.zeros((24, 5), dtype=np.int64), "logits is int64"),
        ("labels", np.zeros(23, dtype=np.int64), "labels is int64 of shape"),
    ],
)
def test_arrays_that_do_not_fit_are_named(made: cka.Representation, name: str, value: np.ndarray, said: str) -> None:
    record = plain(made)
    with pytest.raises(ValueError, match=said):
        fields_of(Record(record.about, {**record.arrays, name: value}))
