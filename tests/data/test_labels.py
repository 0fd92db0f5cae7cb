"""Values stay what they are: a number is no word, a word no missing value, and a missing value is no class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cka_plugin.data.labels import class_names, label_numbers


@pytest.mark.parametrize(
    "labels",
    [
        [0, 2, 1],
        [0.0, 2.0, 1.0],
        ["0", "2", "1"],
        np.array([0, 2, 1], dtype=np.uint8),
        torch.tensor([[0], [2], [1]]),
        torch.tensor([[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
        np.array([0, 2, 1], dtype=object),
        [torch.tensor(0), np.int64(2), 1],
        pd.Series([0, 2, 1]),
    ],
)
def test_classes_in_any_form_are_their_numbers(labels: Any) -> None:
    numbers, names = label_numbers(labels)
    assert numbers.tolist() == [0, 2, 1]
    assert names is None


def test_words_are_numbered_in_sorted_order_and_numbers_by_their_size() -> None:
    assert label_numbers(["NA", "None", "null", "DE"])[1] == ["DE", "NA", "None", "null"]
    assert label_numbers([str(i) for i in range(12)])[0].tolist() == list(range(12))
    assert label_numbers(["007", "7"])[1] == ["007", "7"]
    assert class_names([str(i) for i in range(12)]) == [str(i) for i in range(12)]
    assert label_numbers([True, False])[0].tolist() == [1, 0]


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA])
@pytest.mark.parametrize("others", [[1, 2], ["a", "b"], [1.0, 2.0]])
def test_a_missing_label_is_no_class(missing: Any, others: list[Any]) -> None:
    with pytest.raises(ValueError, match="the label is missing for 1 of 3 examples, first for example 2"):
        label_numbers([*others, missing])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, "a"], "labels are words such as 'a' and numbers such as 0"),
        ([0.5, 1.0], "not whole numbers"),
        (torch.ones(3, 4), r"labels have shape \(3, 4\)"),
        ([[0], [1, 2]], "lists of other lengths"),
        (3, "labels are a int"),
    ],
)
def test_what_is_no_class_is_an_error(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_numbers(labels)
