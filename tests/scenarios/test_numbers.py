"""The numbers of whole comparisons: right to 1e-6 against float64 references on the same activations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from tests.support import reference
from tests.support.nets import ConvNet, images

TOLERANCE = 1e-6


def minibatches(representation: cka.Representation, data: Tensor) -> list[Tensor]:
    """The minibatches that a representation was made of."""
    ids = np.array(representation.example_ids)
    return [data[torch.from_numpy(ids[positions])] for positions in representation.positions]


def expected(
    comparison: cka.Comparison, models: dict[str, nn.Module], data: Tensor, a: str, b: str, **how: object
) -> np.ndarray:
    """The matrix of two models from activations copied by hooks of our own."""
    kept = {}
    for name in (a, b):
        paths = [layer.path for layer in comparison.layers(name)]
        kept[name] = reference.activations(models[name], paths, minibatches(comparison[name], data))
    return np.array(
        [
            [reference.minibatch_cka(kept[a][x.path], kept[b][y.path], **how) for y in comparison.layers(b)]
            for x in comparison.layers(a)
        ]
    )


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    return {"narrow": ConvNet(4, seed=1), "wide": ConvNet(9, seed=2)}


@pytest.mark.parametrize("granularity", ["block", "module"])
def test_every_pair_of_layers_agrees_with_the_equations(models: dict[str, nn.Module], granularity: str) -> None:
    data = images(70)
    comparison = cka.compare(models, data=data, granularity=granularity, batch_size=16, progress=False)
    assert comparison["wide"].batch_sizes == [16, 16, 16, 16, 6]
    for a, b in (("narrow", "wide"), ("wide", "wide")):
        assert np.abs(comparison.matrix(a, b) - expected(comparison, models, data, a, b)).max() < TOLERANCE


@pytest.mark.parametrize(
    ("how", "options"),
    [
        ({"kernel": reference.rbf}, {"kernel": "rbf"}),
        ({"hsic": reference.hsic_0}, {"estimator": "biased"}),
        ({"kernel": reference.rbf, "hsic": reference.hsic_0}, {"kernel": "rbf", "estimator": "biased"}),
    ],
)
def test_kernels_and_estimators_agree_with_the_equations(
    models: dict[str, nn.Module], how: dict, options: dict
) -> None:
    data = images(48)
    comparison = cka.compare(models, data=data, batch_size=16, progress=False, **options)
    found = comparison.matrix("narrow", "wide")
    assert np.abs(found - expected(comparison, models, data, "narrow", "wide", **how)).max() < TOLERANCE


class Transformed(nn.Module):
    """Layers whose activations have an offset, or a tiny or huge scale."""

    def __init__(self, scale: float = 1.0, offset: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.first = nn.Linear(12, 20)
            self.second = nn.Linear(20, 30)
        self.scale, self.offset = scale, offset
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x.to(self.first.weight.dtype))
        return self.second(torch.relu(h)) * self.scale + self.offset


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.tail = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.inner(x))


@pytest.mark.parametrize(
    ("scale", "offset", "dtype"),
    [
        (1.0, 1e3, torch.float32),
        (1e-12, 0.0, torch.float32),
        (1e12, 0.0, torch.float32),
        (1e-12, 1e-9, torch.float32),
        (1.0, 0.0, torch.bfloat16),
        (1.0, 0.0, torch.float16),
        (1.0, 1e6, torch.float64),
    ],
)
def test_right_at_any_offset_scale_and_dtype(scale: float, offset: float, dtype: torch.dtype) -> None:
    models = {"plain": Wrapped(Transformed()), "other": Wrapped(Transformed(scale, offset, dtype))}
    data = torch.randn(60, 12, generator=torch.Generator().manual_seed(0))
    comparison = cka.compare(models, data=data, granularity="module", batch_size=20, progress=False)
    found = comparison.matrix("plain", "other")
    assert np.isfinite(found).all()
    assert np.abs(found - expected(comparison, models, data, "plain", "other")).max() < TOLERANCE


def test_minibatches_of_very_different_scale_keep_their_weights() -> None:
    data = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    data[20:] *= 1e9
    model = nn.Sequential(nn.Linear(12, 6, bias=False), nn.Linear(6, 4, bias=False))
    models = {"a": model, "b": nn.Sequential(nn.Linear(12, 9, bias=False), nn.Linear(9, 4, bias=False))}
    loader = torch.utils.data.DataLoader(data, batch_size=20)
    comparison = cka.compare(models, data=loader, granularity="module", progress=False)
    found = comparison.matrix("a", "b")
    assert np.abs(found - expected(comparison, models, data, "a", "b")).max() < TOLERANCE


def test_short_last_minibatch_weighs_n_times_n_minus_3(models: dict[str, nn.Module]) -> None:
    data = images(37)
    comparison = cka.compare(models, data=data, batch_size=16, progress=False)
    assert comparison["wide"].batch_sizes == [16, 16, 5]
    found = comparison.matrix("narrow", "wide")
    assert np.abs(found - expected(comparison, models, data, "narrow", "wide")).max() < TOLERANCE


def test_last_minibatch_of_fewer_than_4_joins_the_one_before(models: dict[str, nn.Module]) -> None:
    data = images(35)
    assert cka.represent(models["wide"], data, batch_size=16, progress=False).batch_sizes == [16, 19]
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    assert cka.represent(models["wide"], loader, progress=False).batch_sizes == [16, 19]


def test_dead_layers_are_nan_and_named() -> None:
    model = ConvNet()
    with torch.no_grad():
        model.blocks[1].bn2.weight.zero_()
        model.blocks[1].bn2.bias.fill_(0.1)
    with pytest.warns(cka.CKAWarning, match="bn2.*constant"):
        comparison = cka.compare({"net": model}, data=images(), granularity="module", progress=False)
    names = comparison["net"].layer_names
    dead = next(i for i, name in enumerate(names) if name.endswith("1.bn2"))
    matrix = comparison.matrix("net")
    assert np.isnan(matrix[dead]).all()
    assert np.isnan(matrix[:, dead]).all()
    assert np.isfinite(np.delete(np.delete(matrix, dead, 0), dead, 1)).all()


def test_layers_that_are_not_finite_are_nan_and_named() -> None:
    model = ConvNet()
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.warns(cka.CKAWarning, match="head.*not finite"):
        comparison = cka.compare({"net": model}, data=images(), progress=False)
    matrix = comparison.matrix("net")
    assert np.isnan(matrix[-1]).all()
    assert np.isfinite(matrix[:-1, :-1]).all()


def test_constant_features_that_rounding_would_bring_to_life_are_dead() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.tensor([0.1, 1 / 3, 1e5 / 7, -2e-9]))
    with pytest.warns(cka.CKAWarning, match="constant"):
        comparison = cka.compare({"net": model}, data=torch.randn(50, 3), granularity="module", progress=False)
    assert np.isnan(comparison.matrix("net")).all()


def test_invariant_to_the_order_of_minibatches_and_of_models(models: dict[str, nn.Module]) -> None:
    data = images(64)
    forward = torch.utils.data.DataLoader(data, batch_size=16)
    backward = torch.utils.data.DataLoader(torch.cat(data.split(16)[::-1]), batch_size=16)
    there = cka.compare(models, data=forward, progress=False).matrix("narrow", "wide")
    back = cka.compare(dict(reversed(models.items())), data=backward, progress=False).matrix("wide", "narrow")
    assert np.abs(there - back.T).max() < 2e-7  # products within a minibatch are float32's, here transposed


def test_the_same_inputs_and_seed_give_the_same_bits(models: dict[str, nn.Module]) -> None:
    first, second = (cka.compare(models, data=images(64), batch_size=16, progress=False) for _ in range(2))
    assert np.array_equal(first.matrix(), second.matrix())
    other = cka.compare(models, data=images(64), batch_size=16, seed=1, progress=False)
    assert not np.array_equal(first.matrix(), other.matrix())


def test_several_passes_read_in_fresh_orders(models: dict[str, nn.Module]) -> None:
    data = images(64)
    comparison = cka.compare(models, data=data, batch_size=16, passes=3, progress=False)
    representation = comparison["wide"]
    assert representation.passes == [0] * 4 + [1] * 4 + [2] * 4
    assert representation.n_examples == 64
    for number in range(3):
        held = [p for p, n in zip(representation.positions, representation.passes, strict=True) if n == number]
        assert sorted(np.concatenate(held)) == list(range(64))
    assert not np.array_equal(representation.positions[0], representation.positions[4])
    found = comparison.matrix("narrow", "wide")
    assert np.abs(found - expected(comparison, models, data, "narrow", "wide")).max() < TOLERANCE


def test_vectors_beyond_the_budget_give_the_same_bits(models: dict[str, nn.Module]) -> None:
    data = images(64)
    whole = cka.compare(models, data=data, batch_size=16, progress=False)
    spilled = cka.compare(models, data=data, batch_size=16, max_memory="2KiB", progress=False)
    assert any(isinstance(v, np.memmap) for v in spilled["wide"].vectors)
    assert np.array_equal(whole.matrix(), spilled.matrix())
