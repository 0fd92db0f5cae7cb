"""Data of every kind: the same examples, in the same minibatches, whatever they come in."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import cka_plugin as cka
from tests.support.nets import ConvNet

KEEP = {"progress": False, "granularity": "module"}


class Mlp(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(50, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def y() -> Tensor:
    return torch.arange(50) % 3


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.convert("RGB").resize((8, 8)), dtype=np.float32)).permute(2, 0, 1) / 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for i in range(10):
            size = (int(rng.integers(9, 20)), int(rng.integers(9, 20)), 3)
            Image.fromarray(rng.integers(0, 255, size, dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


def ids_and_labels(representation: cka.Representation) -> dict:
    assert representation.labels is not None
    return dict(zip(representation.example_ids, representation.labels.tolist(), strict=True))


# Tensors and arrays


def test_tensors_and_arrays_of_the_same_values_are_the_same_examples(x: Tensor) -> None:
    first = cka.represent(Mlp(), x, name="a", **KEEP)
    second = cka.represent(Mlp(), x.numpy(), name="b", **KEEP)
    assert sorted(first.example_ids) == list(range(50))
    assert cka.compare(first, second).matrix().shape == (3, 3)


def test_data_that_can_be_read_in_any_order_is_read_in_a_seeded_random_one(x: Tensor) -> None:
    first, again, other = (cka.represent(Mlp(), x, seed=seed, **KEEP).example_ids for seed in (0, 0, 1))
    assert first == again != other
    assert first != sorted(first)


def test_arrays_with_labels(x: Tensor, y: Tensor) -> None:
    for data, labels in (((x, y), None), (x, y), (x, y.tolist()), ({"x": x, "label": y}, None)):
        if isinstance(data, dict):
            data = {"input": data["x"], "label": y}
        found = cka.represent(Mlp(), data, labels=labels, **KEEP)
        assert all(label == i % 3 for i, label in ids_and_labels(found).items())


def test_labels_by_name_get_numbers_in_sorted_order(x: Tensor) -> None:
    names = [["dog", "cat", "owl"][i % 3] for i in range(50)]
    found = cka.represent(Mlp(), x, labels=names, **KEEP)
    assert found.label_names == ["cat", "dog", "owl"]
    assert ids_and_labels(found)[0] == 1


def test_max_examples_takes_a_random_part(x: Tensor) -> None:
    found = cka.represent(Mlp(), x, max_examples=20, **KEEP)
    assert found.n_examples == 20
    assert max(found.example_ids) > 19


def test_npz_csv_jsonl_files(x: Tensor, y: Tensor, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=y.numpy())
    header = ",".join([f"f{i}" for i in range(6)] + ["label"])
    np.savetxt(tmp_path / "data.csv", np.column_stack([x, y]), delimiter=",", header=header, comments="", fmt="%.9g")
    rows = [{**{f"f{i}": float(v) for i, v in enumerate(row)}, "label": int(l)} for row, l in zip(x, y, strict=True)]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    made = [cka.represent(Mlp(), tmp_path / f"data.{kind}", name=kind, **KEEP) for kind in ("npz", "csv", "jsonl")]
    for one in made:
        assert ids_and_labels(one) == ids_and_labels(made[0])
    assert cka.compare(*made).names == ["npz", "csv", "jsonl"]


# Loaders


def test_a_loader_is_read_in_its_own_order_and_minibatches(x: Tensor, y: Tensor) -> None:
    found = cka.represent(Mlp(), DataLoader(TensorDataset(x, y), batch_size=16), **KEEP)
    assert found.example_ids == list(range(50))
    assert found.batch_sizes == [16, 16, 18]
    assert found.labels.tolist() == y.tolist()


def test_a_loader_is_regrouped_on_request(x: Tensor, y: Tensor) -> None:
    regrouped = cka.represent(Mlp(), DataLoader(TensorDataset(x, y), batch_size=7), batch_size=10, **KEEP)
    assert regrouped.batch_sizes == [10] * 5
    assert regrouped.labels.tolist() == y.tolist()
    straight = cka.represent(Mlp(), DataLoader(TensorDataset(x), batch_size=10), name="b", **KEEP)
    cka.compare(regrouped, straight)


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_shuffling_loader_gives_all_models_one_order(x: Tensor, y: Tensor, workers: int, generator: bool) -> None:
    own = torch.Generator().manual_seed(7) if generator else None
    loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True, num_workers=workers, generator=own)
    model = Mlp()
    together = cka.compare({"a": model, "b": model}, data=loader, **KEEP)
    assert np.allclose(np.diag(together.matrix("a", "b")), 1.0, atol=1e-6)
    assert together["a"].labels.tolist() != y.tolist()
    apart = [cka.represent(model, loader, name=name, **KEEP) for name in "ab"]
    assert np.array_equal(cka.compare(*apart).matrix(), together.matrix("a", "b"))


def test_a_shuffling_loader_can_be_passed_over_in_fresh_orders(x: Tensor) -> None:
    found = cka.represent(Mlp(), DataLoader(TensorDataset(x), batch_size=10, shuffle=True), passes=2, **KEEP)
    assert found.passes == [0] * 5 + [1] * 5
    assert sorted(np.concatenate(found.positions[5:])) == list(range(50))
    with pytest.raises(ValueError, match="shuffle=True"):
        cka.represent(Mlp(), DataLoader(TensorDataset(x), batch_size=10), passes=2, **KEEP)


def test_random_augmentation_is_the_same_for_all_models(x: Tensor) -> None:
    class Augmented(Dataset):
        def __len__(self) -> int:
            return 40

        def __getitem__(self, i: int) -> Tensor:
            return x[i] + torch.randn(6) + random.random() + float(np.random.rand())  # noqa: NPY002

    model = Mlp()
    found = cka.compare({"a": model, "b": model}, data=DataLoader(Augmented(), batch_size=10), **KEEP)
    assert np.allclose(np.diag(found.matrix("a", "b")), 1.0, atol=1e-6)


def test_dict_minibatches_and_their_labels() -> None:
    class Dicts(Dataset):
        def __len__(self) -> int:
            return 24

        def __getitem__(self, i: int) -> dict:
            return {"input": torch.full((6,), float(i)) + torch.arange(6) ** (i % 3), "labels": i % 2}

    found = cka.represent(Mlp(), DataLoader(Dicts(), batch_size=8), **KEEP)
    assert found.labels.tolist() == [i % 2 for i in range(24)]


def test_iterables_that_are_read_once(x: Tensor) -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(x)

    streamed = cka.represent(Mlp(), Stream(), batch_size=10, name="a", **KEEP)
    generated = cka.represent(Mlp(), (batch for batch in x.split(10)), name="b", **KEEP)
    assert streamed.batch_sizes == generated.batch_sizes == [10] * 5
    cka.compare(streamed, generated)


def test_an_unshuffled_loader_of_sorted_classes_is_warned_about(x: Tensor) -> None:
    labels = torch.arange(50) // 17
    with pytest.warns(cka.CKAWarning, match="sorted by class"):
        cka.represent(Mlp(), DataLoader(TensorDataset(x, labels), batch_size=10), **KEEP)


# Data sets, texts, images


def test_a_data_set_of_pairs(x: Tensor, y: Tensor) -> None:
    found = cka.represent(Mlp(), TensorDataset(x, y), **KEEP)
    assert all(label == i % 3 for i, label in ids_and_labels(found).items())


def test_a_folder_of_classes_has_labels_and_paths_as_ids(folder: Path) -> None:
    found = cka.represent(ConvNet(), folder, transforms=to_tensor, progress=False)
    assert found.label_names == ["cat", "dog"]
    assert set(found.example_ids) == {f"{name}/{i}.png" for name in ("cat", "dog") for i in range(10)}
    assert all((label == 1) == example.startswith("dog") for example, label in ids_and_labels(found).items())


def test_each_model_prepares_raw_examples_its_own_way(folder: Path) -> None:
    def small(image: Image.Image) -> Tensor:
        return to_tensor(image.resize((4, 4)))

    model = ConvNet()
    found = cka.compare({"a": model, "b": model}, data=folder, transforms={"a": to_tensor, "b": small}, progress=False)
    assert not np.allclose(np.diag(found.matrix("a", "b")), 1.0, atol=1e-3)


def test_an_image_is_prepared_once_for_models_that_prepare_it_alike(folder: Path) -> None:
    calls = []

    def counted(image: Image.Image) -> Tensor:
        calls.append(1)
        return to_tensor(image)

    cka.compare(ConvNet(seed=1), ConvNet(seed=2), data=folder, transforms=counted, progress=False)
    assert len(calls) == 20


def test_a_corrupt_image_stops_the_run_with_its_path_or_is_left_out(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.png"):
        target = tmp_path / path.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "cat" / "3.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"cat/3\.png.*on_error='skip'"):
        cka.represent(ConvNet(), tmp_path, transforms=to_tensor, progress=False)
    with pytest.warns(cka.CKAWarning, match=r"cat/3\.png"):
        found = cka.compare(
            ConvNet(seed=1), ConvNet(seed=2), data=tmp_path, transforms=to_tensor, on_error="skip", progress=False
        )
    assert found["ConvNet"].skipped == ["cat/3.png"]
    assert found["ConvNet"].n_examples == found["ConvNet#2"].n_examples == 19


def test_images_in_memory_and_uint8_arrays_are_raw_examples(folder: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8)
    pictures = [Image.fromarray(array) for array in arrays]
    for data in (arrays, pictures, [(picture, i % 2) for i, picture in enumerate(pictures)]):
        found = cka.represent(ConvNet(), data, transforms=to_tensor, progress=False)
        assert found.n_examples == 12


def test_texts_in_lists_and_files(tmp_path: Path) -> None:
    class Letters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(26, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.first(x))

    def count(text: str) -> Tensor:
        return torch.tensor([float(text.count(chr(97 + i))) for i in range(26)])

    texts = [f"{word} {other}" for word in ("apple", "pear", "plum", "fig") for other in ("tree", "pie", "juice")]
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n")
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(f"{t},{i % 2}" for i, t in enumerate(texts)))
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"id": f"n{i}", "text": t}) for i, t in enumerate(texts)))
    model = Letters()
    made = [
        cka.represent(model, data, transforms=count, name=str(k), **KEEP)
        for k, data in enumerate((texts, tmp_path / "t.txt", tmp_path / "t.csv"))
    ]
    assert np.allclose(np.diag(cka.compare(*made).matrix("0", "2")), 1, atol=1e-6)
    named = cka.represent(model, tmp_path / "t.jsonl", transforms=count, **KEEP)
    assert set(named.example_ids) == {f"n{i}" for i in range(12)}


def test_hugging_face_datasets_are_known_by_their_features() -> None:
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)) for _ in range(12)]
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"img": pictures, "kind": [i % 2 for i in range(12)]}, features=features)
    found = cka.represent(ConvNet(), data, transforms=to_tensor, progress=False)
    assert found.label_names == ["no", "yes"]
    assert all(label == i % 2 for i, label in ids_and_labels(found).items())


def test_the_sample_digits_let_any_call_be_tried() -> None:
    found = cka.represent(ConvNet(), "sample:digits", transforms=to_tensor, max_examples=64, progress=False)
    assert found.n_examples == 64
    assert found.label_names == [str(digit) for digit in range(10)]


# What two representations must share


def test_the_same_ids_of_other_content_are_refused_unless_ids_are_enough(x: Tensor) -> None:
    first, second = cka.represent(Mlp(), x, name="a", **KEEP), cka.represent(Mlp(), x + 1e-3, name="b", **KEEP)
    with pytest.raises(ValueError, match="content of 50 of 50 examples.*match='ids'"):
        cka.compare(first, second)
    assert np.isfinite(cka.compare(first, second, match="ids").matrix()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "another order"),
        ({"batch_size": 25}, "minibatches of 64 ... |minibatches of 50 and 25 examples"),
        ({"kernel": "rbf"}, "kernel 'linear' and 'rbf'"),
        ({"max_examples": 40}, "50 and 40 examples"),
    ],
)
def test_unlike_representations_say_what_differs(x: Tensor, change: dict, message: str) -> None:
    first = cka.represent(Mlp(), x, name="a", **KEEP)
    second = cka.represent(Mlp(), x, name="b", **KEEP, **change)
    with pytest.raises(ValueError, match=message):
        cka.compare(first, second)


def test_a_live_model_follows_the_order_of_a_saved_representation(x: Tensor, tmp_path: Path) -> None:
    model = Mlp()
    path = cka.represent(model, x, seed=5, batch_size=10, passes=2, name="old", **KEEP).save(
        tmp_path / "old.safetensors"
    )
    found = cka.compare(str(path), {"new": model}, data=x, **KEEP)
    assert np.allclose(np.diag(found.matrix("old", "new")), 1.0, atol=1e-9)


def test_pairs_of_raw_examples_give_each_model_its_part() -> None:
    rng = np.random.default_rng(0)
    pairs = [(Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)), f"text {i}") for i in range(12)]
    from cka_plugin.data.arrays import raw_examples

    assert raw_examples(pairs, "pairs").kinds == ("image", "text")
