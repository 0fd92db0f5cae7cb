"""Data sets of the library `datasets`, as its tutorials have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import cka_plugin as cka
from tests.support.nets import ConvNet

datasets = pytest.importorskip("datasets")

N = 12
PICTURES = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)) for i in range(N)]
TEXTS = [f"text {i}" + "!" * i for i in range(N)]
LABELS = [i % 2 for i in range(N)]


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32)).permute(2, 0, 1) / 255


def count(text: str) -> Tensor:
    return torch.tensor([float(len(text)), float(ord(text[5]))])


def pictures() -> Any:
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=["no", "yes"])})
    return datasets.Dataset.from_dict({"img": PICTURES, "kind": LABELS}, features=features)


def texts(**more: Any) -> Any:
    return datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS, **more})


def read_texts(data: Any, **options: Any) -> cka.Representation:
    return cka.represent({"net": nn.Linear(2, 3)}, data, transforms=count, progress=False, **options)


def assert_labelled(found: cka.Representation) -> None:
    assert found.labels is not None
    assert found.labels.tolist() == [LABELS[i] for i in found.example_ids]


@pytest.mark.parametrize("form", [None, "numpy", "torch"])
def test_formats_are_looked_through(form: str | None) -> None:
    found, right = read_texts(texts().with_format(form)), read_texts([*TEXTS])
    assert found.fingerprints.tolist() == right.fingerprints.tolist()
    assert_labelled(found)
    images = cka.represent(ConvNet(), pictures().with_format(form), transforms=to_tensor, progress=False)
    assert images.label_names == ["no", "yes"]
    assert_labelled(images)


def test_a_transform_gives_what_it_makes() -> None:
    def made(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"pixel_values": [to_tensor(image) for image in rows["img"]], "labels": rows["kind"]}

    net = ConvNet()
    found = cka.represent(net, pictures().with_transform(made), name="a", progress=False)
    right = cka.represent(net, torch.stack([to_tensor(image) for image in PICTURES]), name="b", progress=False)
    assert found.fingerprints.tolist() == right.fingerprints.tolist()
    assert np.allclose(cka.compare(found, right).matrix().diagonal(), 1)
    assert_labelled(found)


def test_one_split_is_read_and_of_several_one_is_asked_for() -> None:
    assert_labelled(read_texts(datasets.DatasetDict(train=texts())))
    both = datasets.DatasetDict(train=texts(), test=texts())
    with pytest.raises(ValueError, match=r"the splits 'train' \(12 rows\), 'test' \(12 rows\): give one, such as data"):
        read_texts(both)


def test_a_streamed_data_set_is_read_example_by_example() -> None:
    found = read_texts(texts().to_iterable_dataset())
    assert found.example_ids == list(range(N))
    assert_labelled(found)


def test_labels_may_be_words_and_lack() -> None:
    named = datasets.Dataset.from_dict({"text": TEXTS, "label": ["b", "a"] * 6})
    found = read_texts(named)
    assert found.label_names == ["a", "b"]
    lacking = datasets.Dataset.from_dict({"text": TEXTS, "label": [None, *LABELS[1:]]})
    with pytest.raises(OSError, match="row 0: 'label', the label, is missing; give on_error='skip'"):
        read_texts(lacking)
    skipped = read_texts(lacking, on_error="skip")
    assert skipped.n_examples == N - 1
    assert_labelled(skipped)


def test_columns_that_are_not_used_are_named() -> None:
    with pytest.warns(cka.CKAWarning, match=r"left out: 'idx' \(int64"):
        assert_labelled(read_texts(texts(idx=list(range(N)))))
    with pytest.raises(ValueError, match=r"several columns of texts \(left, right\)"):
        read_texts(datasets.Dataset.from_dict({"left": TEXTS, "right": TEXTS}))
    chosen = datasets.Dataset.from_dict({"left": TEXTS, "right": TEXTS[::-1]})
    assert read_texts(chosen, inputs="right").n_examples == N


def test_pairs_of_texts_go_in_together() -> None:
    seen: list[Any] = []

    def both(pair: tuple[str, str]) -> Tensor:
        seen.append(pair)
        return count(pair[0]) + count(pair[1])

    data = datasets.Dataset.from_dict({"hypothesis": TEXTS[::-1], "premise": TEXTS, "label": LABELS})
    found = cka.represent({"net": nn.Linear(2, 3)}, data, transforms=both, progress=False)
    assert_labelled(found)
    assert set(seen) == set(zip(TEXTS, TEXTS[::-1], strict=True))


def test_sounds_in_their_usual_shapes_are_the_same_sounds() -> None:
    sounds = [np.random.default_rng(i).normal(size=50).astype(np.float32) for i in range(N)]
    net = nn.Linear(50, 3)
    right = cka.represent({"net": net}, [*sounds], progress=False)
    columns = [{"array": sound, "sampling_rate": 16000, "path": None} for sound in sounds]
    rows = [{"audio": column, "label": i % 2} for i, column in enumerate(columns)]
    for data in (np.stack(sounds), [sound.tolist() for sound in sounds]):
        found = cka.represent({"net": net}, data, progress=False)
        assert found.fingerprints.tolist() == right.fingerprints.tolist()
    found = cka.represent({"net": net}, rows, transforms=torch.from_numpy, progress=False)
    assert found.fingerprints.tolist() == right.fingerprints.tolist()
    assert_labelled(found)


def test_pairs_in_a_list_are_those_of_two_columns() -> None:
    def both(pair: tuple[str, str]) -> Tensor:
        return count(pair[0]) - count(pair[1])

    data = datasets.Dataset.from_dict({"hypothesis": TEXTS[::-1], "premise": TEXTS})
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    net = nn.Linear(2, 3)
    found, right = (cka.represent({"net": net}, d, transforms=both, progress=False) for d in (data, pairs))
    assert found.fingerprints.tolist() == right.fingerprints.tolist()
    assert np.allclose(found.logits, right.logits)
