"""Untrained copies and inputs beside the models: in the same pass, files, shards and checkpoints, never as models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka
from cka_plugin.core import inner_products
from tests.support.nets import ConvNet, images

DATA = TensorDataset(images(100), torch.arange(100) % 5)
OPTIONS = {"batch_size": 20, "progress": False}


def nets() -> dict[str, nn.Module]:
    return {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}


def same(x: cka.Representation, y: cka.Representation) -> bool:
    assert x.beside.keys() == y.beside.keys() == {"untrained", "input"}
    return all(
        np.array_equal(one, other)
        for key in x.beside
        for one, other in zip(x.beside[key].vectors, y.beside[key].vectors, strict=True)
    )


def test_copies_are_no_models_of_the_comparison() -> None:
    plain = cka.compare(nets(), data=DATA, **OPTIONS)
    found = cka.compare(nets(), data=DATA, levels=True, **OPTIONS)
    assert found.names == plain.names == ["a", "b"]
    assert np.array_equal(found.matrix("a", "b"), plain.matrix("a", "b"))
    assert np.array_equal(found.models(), plain.models())
    assert len(found.summary().models) == 2
    assert len(found.to_frame()) == len(plain.to_frame())
    told = json.dumps(found.to_dict())
    assert "(untrained)" not in told
    assert plain["a"].beside == {}


def test_a_copy_has_the_layers_of_its_model_and_first_weights() -> None:
    net = ConvNet(seed=1)
    found = cka.compare({"a": net, "b": ConvNet(8)}, data=DATA, levels=True, **OPTIONS)["a"].beside["untrained"]
    assert found.layer_names == ["stem", "blocks.0", "blocks.1", "blocks.2", "head"]
    assert found.batch_sizes == [20] * 5
    itself = cka.represent({"a": net}, DATA, **OPTIONS)
    crossed = inner_products(found.vectors[0], found.diagonals[0], itself.vectors[0], itself.diagonals[0])
    assert np.isfinite(crossed).all()
    assert not np.allclose(found.vectors[0], itself.vectors[0])


def test_a_loader_that_shuffles_is_read_once() -> None:
    reads = []

    class Counting(TensorDataset):
        def __getitem__(self, index: int) -> tuple[Tensor, ...]:
            reads.append(index)
            return super().__getitem__(index)

    loader = DataLoader(Counting(*DATA.tensors), batch_size=20, shuffle=True)
    found = cka.compare(nets(), data=loader, levels=True, progress=False)
    assert len(reads) == 100
    assert found.levels(draws=19).missing == {}


def test_files_keep_them(tmp_path: Path) -> None:
    made = cka.compare(nets(), data=DATA, levels=True, **OPTIONS)
    read = cka.load(made.save(tmp_path / "both.safetensors"))
    assert read.names == ["a", "b"]
    assert same(read["b"], made["b"])
    assert repr(read.levels(draws=19)) == repr(made.levels(draws=19))
    one = cka.represent({"a": ConvNet(seed=1)}, DATA, levels=True, **OPTIONS)
    one.save(tmp_path / "a.safetensors")
    assert same(cka.load(tmp_path / "a.safetensors"), made["a"])
    again = cka.compare(tmp_path / "a.safetensors", {"b": ConvNet(8, seed=2)}, data=DATA, levels=True, **OPTIONS)
    assert again.levels("a", "b", draws=19).to_dict() == made.levels(draws=19).to_dict()


def test_shards_merge_to_the_whole() -> None:
    whole = cka.represent({"a": ConvNet(seed=1)}, DATA, levels=True, **OPTIONS)
    parts = [cka.represent({"a": ConvNet(seed=1)}, DATA, levels=True, shard=(i, 3), **OPTIONS) for i in range(3)]
    assert same(cka.Representation.merge(parts), whole)


def test_a_run_that_goes_on_has_the_same_levels(tmp_path: Path) -> None:
    given = {"data": DATA, "levels": True, "checkpoint_dir": tmp_path, **OPTIONS}
    first = cka.compare(nets(), **given)
    again = cka.compare(nets(), **given)
    assert same(first["a"], again["a"])
    assert len(list(tmp_path.glob("*untrained*"))) == 2


def test_several_passes_and_kernels_are_those_of_the_models() -> None:
    found = cka.compare(nets(), data=DATA, levels=True, passes=2, kernel="rbf", **OPTIONS)
    assert found["a"].beside["input"].passes == found["a"].passes
    assert found.levels(draws=19, data=DATA).missing == {}
    again = cka.compare(nets(), data=DATA, passes=2, kernel="rbf", **OPTIONS)
    given = again.levels(draws=19, data=DATA)
    kept = [row.input for row in found.levels(draws=19).layers]
    assert [row.input for row in given.layers] == pytest.approx(kept, abs=1e-6)


def test_pictures_of_several_sizes_are_taken_at_one() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 60, (40, 2))
    pictures = [Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]

    def as_tensor(picture: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(picture.resize((8, 8)))).float().permute(2, 0, 1)

    found = cka.compare(nets(), data=pictures, transforms=as_tensor, levels=True, **OPTIONS)
    assert found["a"].beside["input"].layer_names == ["input at 32 x 32"]
    small = [np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR), dtype=float) for picture in pictures]
    model = found["a"]
    for vectors, positions in zip(model.beside["input"].vectors, model.positions, strict=True):
        rows = np.stack([small[model.example_ids[place]] for place in positions]).reshape(20, -1)
        rows -= rows.mean(0)
        k = rows @ rows.T
        k *= 1 - np.eye(20)
        r = k.sum(1)
        centred = k - (r[:, None] + r[None]) / 18 + k.sum() / (19 * 18)
        packed = centred[np.triu_indices(20, 1)]
        assert np.corrcoef(packed, vectors[0])[0, 1] == pytest.approx(1, abs=1e-6)


def test_tokens_are_no_quantities_and_that_is_said() -> None:
    net = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(48, 3))
    other = nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(24, 3))
    tokens = torch.randint(0, 50, (100, 6))
    found = cka.compare({"a": net, "b": other}, data=tokens, levels=True, **OPTIONS)
    assert "the examples are not numbers of one shape (texts, tokens" in found.levels(draws=19).missing["input"]


def test_a_model_that_has_no_untrained_copy_says_why(tmp_path: Path) -> None:
    scripted = torch.jit.trace(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(4, 8))
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    with pytest.warns(cka.CKAWarning, match="a has no untrained copy: .* compiled by TorchScript"):
        made = cka.compare({"a": scripted, "b": net}, data=torch.randn(200, 8), levels=True, **OPTIONS)
    read = cka.load(made.save(tmp_path / "made.safetensors"))
    assert "compiled by TorchScript" in read.levels(draws=19).missing["untrained"]
    assert "untrained" in read["b"].beside


def test_an_initialiser_that_fails_does_not_end_the_comparison() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

        def init_weights(self) -> None:
            raise RuntimeError("a file is missing")

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.first(x).tanh())

    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    with pytest.warns(cka.CKAWarning, match="its initialisation failed .RuntimeError: a file is missing"):
        made = cka.compare({"a": Fails(), "b": net}, data=torch.randn(200, 8), levels=True, **OPTIONS)
    assert "a file is missing" in made.levels(draws=19).missing["untrained"]


def test_wrapped_models_and_chosen_layers_have_copies_too() -> None:
    wrapped = {"a": nn.DataParallel(ConvNet(seed=1)), "b": ConvNet(8, seed=2)}
    found = cka.compare(wrapped, data=DATA, levels=True, layers=["blocks.*", "head"], **OPTIONS)
    assert found["a"].beside["untrained"].layer_names == ["blocks.0", "blocks.1", "blocks.2", "head"]
    assert found.levels(draws=19).missing == {}


def test_what_it_costs_is_said_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails(ConvNet):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("it ran")

    with pytest.raises(RuntimeError, match="it ran"):
        cka.compare({"a": Fails(), "b": ConvNet()}, data=DATA, batch_size=20, levels=True)
    said = capsys.readouterr().err
    assert (
        "levels: 2 untrained copies beside 2 models: 200 more forward passes (100 examples through each copy)" in said
    )
    assert "about 0.1 MB more memory" in said


def test_saved_models_take_their_inputs_from_the_data(tmp_path: Path) -> None:
    plain = cka.compare(nets(), data=DATA, **OPTIONS)
    plain.save(tmp_path / "plain.safetensors")
    found = cka.compare(tmp_path / "plain.safetensors", data=DATA, levels=True, progress=False)
    kept = cka.compare(nets(), data=DATA, levels=True, **OPTIONS)["a"].beside["input"]
    assert np.array_equal(found["a"].beside["input"].vectors[0], kept.vectors[0])
    with pytest.raises(ValueError, match="the data are not those that a was made on"):
        cka.compare(tmp_path / "plain.safetensors", data=images(100, seed=9), levels=True, progress=False)
