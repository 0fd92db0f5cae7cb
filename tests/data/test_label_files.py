"""A file of labels gives each example its own label, whatever the order of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn, randn

import cka_plugin as cka
from cka_plugin.data.label_files import read_labels

NET = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("column", ["id", "filename", "file", "path", "image"])
def test_rows_in_another_order_are_matched_by_the_column_that_names_examples(column: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    rows = []
    for i in range(8):
        Image.fromarray(np.full((4, 4, 3), 30 * i, dtype=np.uint8)).save(tmp_path / "photos" / f"{i}.png")
        rows.append(f"{i}.png,{'cat' if i % 3 else 'dog'}")
    labels = written(tmp_path / "l.csv", "\n".join([f"{column},label", *reversed(rows)]))

    def pixels(image: Image.Image) -> Tensor:
        return randn(2) + float(np.asarray(image).mean())

    found = cka.represent(NET, tmp_path / "photos", labels=labels, transforms=pixels, progress=False)
    assert found.labels is not None
    assert found.label_names is not None
    by_id = {name: found.label_names[k] for name, k in zip(found.example_ids, found.labels, strict=True)}
    assert by_id == {f"{i}.png": "cat" if i % 3 else "dog" for i in range(8)}


def test_names_that_are_not_those_of_the_examples_are_an_error(tmp_path: Path) -> None:
    labels = written(tmp_path / "l.csv", "\n".join(["filename,label", *(f"{i}.png,{i % 2}" for i in range(8))]))
    with pytest.raises(ValueError, match=r"no label for 8 of 8 examples, such as 0; labels are given for '0\.png'"):
        cka.represent(NET, randn(8, 2), labels=labels, progress=False)


def test_two_labels_for_one_example_are_an_error(tmp_path: Path) -> None:
    labels = written(tmp_path / "l.csv", "id,label\n0,a\n1,b\n0,b\n")
    with pytest.raises(ValueError, match="two labels for id 0: a and b"):
        read_labels(labels)


def test_a_column_that_numbers_the_rows_names_no_examples(tmp_path: Path) -> None:
    labels = written(tmp_path / "l.csv", "index,label\n7,a\n9,b\n")
    assert list(read_labels(labels)) == ["a", "b"]
