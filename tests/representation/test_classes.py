"""Accuracy is shown only where labels are classes of the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import cka_plugin as cka
from cka_plugin.representation import labels_as_classes
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def made() -> cka.Representation:
    data = TensorDataset(images(40), torch.arange(40) % 3)
    return replace(cka.represent(ConvNet(), data, progress=False), label_names=["cat", "dog", "owl"])


def with_head(made: cka.Representation, names: list[str] | None, width: int) -> cka.Representation:
    logits = np.random.default_rng(0).normal(size=(40, width)).astype(np.float32)
    return replace(made, logits=logits, class_names=names)


def test_accuracy_is_by_name_where_the_head_names_the_labels(made: cka.Representation) -> None:
    model = with_head(made, ["owl", "car", "cat", "lorry", "dog"], 5)
    expected = np.array([2, 4, 0])[made.labels]
    assert model.accuracy == (model.logits.argmax(1) == expected).mean()


@pytest.mark.parametrize(
    ("names", "width"),
    [
        (["tench", "shark", "ray", "hen"], 4),  # other classes
        (["cat", "dog", "shark"], 3),  # one of them is missing
        (["cat", "cat", "dog", "owl"], 4),  # a name of two classes
        (None, 1000),  # a head without names that has other classes, by their number
    ],
)
def test_there_is_no_accuracy_where_labels_are_not_classes_of_the_head(
    made: cka.Representation, names: list[str] | None, width: int
) -> None:
    model = with_head(made, names, width)
    assert model.accuracy is None
    assert "accuracy" not in repr(model)


def test_without_names_on_either_side_labels_are_indices(made: cka.Representation) -> None:
    for model in (
        replace(with_head(made, ["a", "b", "c", "d"], 4), label_names=None),
        with_head(made, ["LABEL_0", "LABEL_1", "LABEL_2"], 3),
        replace(with_head(made, ["x", "y", "z"], 3), label_names=["0", "1", "2"]),
    ):
        assert model.accuracy == (model.logits.argmax(1) == made.labels).mean()


def test_labels_beyond_the_head_are_none_of_its_classes() -> None:
    assert labels_as_classes(np.array([0, 5]), None, None, 3) is None
    assert labels_as_classes(np.array([0, -1]), None, None, 3) is None
