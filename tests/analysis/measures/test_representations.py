"""Measures between representations are means over their minibatches, with weights n(n - 3)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import cka_plugin as cka
from cka_plugin.analysis.grams import pack_layers
from cka_plugin.analysis.levels.chance import chance_level
from cka_plugin.analysis.measures.representations import Measured, measured
from tests.calibration.measures import values
from tests.support.decompositions import counted
from tests.support.minibatches import minibatches
from tests.support.nets import ConvNet, images

MEASURES = ["mutual_knn", "rsa", "bures"]


def layers(seed: int, n: int = 200) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = np.random.default_rng(99).normal(size=(n, 6))
    return [shared @ rng.normal(size=(6, p)) + rng.normal(size=(n, p)) for p in (4, 30, 100)]


@pytest.mark.parametrize("measure", MEASURES)
def test_minibatches_are_averaged_by_their_weights(measure: str) -> None:
    positions = minibatches(200, 30)  # the last has 20
    x, y = layers(0), layers(1)
    found = measured(pack_layers(x, positions), pack_layers(y, positions), measure).mean()
    weights = [len(chosen) * (len(chosen) - 3) for chosen in positions]
    for i, j in np.ndindex(3, 3):
        values = [cka.similarity(x[i][chosen], y[j][chosen], measure) for chosen in positions]
        assert found[i, j] == pytest.approx(np.average(values, weights=weights), abs=1e-7)


@pytest.mark.parametrize("measure", MEASURES)
def test_stored_float32_vectors_suffice(measure: str) -> None:
    x = images(128)
    net = ConvNet()
    comparison = cka.compare({"a": net, "b": ConvNet(seed=1)}, data=x, batch_size=32, progress=False)
    matrix = comparison.matrix("a", "b", measure)
    assert matrix.shape == comparison.matrix("a", "b").shape
    activations = {}
    for name, module in (("a", net), ("b", ConvNet(seed=1))):
        kept: list[torch.Tensor] = []
        layer = comparison.layers(name)[1]
        handle = module.get_submodule(layer.path).register_forward_hook(lambda m, i, out, kept=kept: kept.append(out))
        with torch.no_grad():
            module.eval()(x)
        handle.remove()
        activations[name] = kept[0].flatten(1).double()
    order = comparison["a"].positions
    values = [
        cka.similarity(*(activations[n][[comparison[n].example_ids[p] for p in chosen]] for n in "ab"), measure)
        for chosen in order
    ]
    assert matrix[1, 1] == pytest.approx(np.mean(values), abs=2e-3 if measure == "mutual_knn" else 1e-4)
    with_itself = comparison.matrix("a", measure=measure)
    assert with_itself.diagonal() == pytest.approx(1.0, abs=1e-4)


def test_minibatches_too_small_for_neighbours_are_left_out() -> None:
    positions = [np.arange(20), np.arange(20, 28)]
    made = pack_layers(layers(0, 28), positions)
    found = measured(made, made, "mutual_knn")
    assert found.weights.tolist() == [20 * 17]
    with pytest.raises(ValueError, match="20 nearest neighbours need minibatches of more than 21 examples; these have"):
        measured(made, made, "mutual_knn", k=20)


@pytest.mark.parametrize("measure", MEASURES)
def test_dead_and_broken_layers_are_nan_and_spoil_no_other(measure: str) -> None:
    positions = minibatches(96, 32)
    x = layers(0, 96)
    whole = measured(pack_layers(x, positions), pack_layers(x, positions), measure).mean()
    made = pack_layers([x[0], np.ones((96, 3)), np.full((96, 3), np.nan), x[1]], positions)
    found = measured(made, made, measure).mean()
    assert np.isnan(found[1:3]).all()
    assert np.isnan(found[:, 1:3]).all()
    assert found[np.ix_([0, 3], [0, 3])] == pytest.approx(whole[:2, :2], abs=1e-12)


def test_intervals_are_the_jackknife_of_the_mean() -> None:
    positions = minibatches(200, 20)
    a, b = pack_layers(layers(0), positions), pack_layers(layers(1), positions)
    found = measured(a, b, "rsa")
    low, high = found.interval(0.9)
    values = found.values[:, 0, 1]
    error = stats.sem(values)
    half = stats.t.ppf(0.95, len(values) - 1) * error
    assert (low[0, 1], high[0, 1]) == pytest.approx((values.mean() - half, values.mean() + half))
    few = measured(pack_layers(layers(0), positions[:7]), pack_layers(layers(1), positions[:7]), "rsa")
    assert np.isnan(few.interval()).all()


def test_a_comparison_offers_every_measure_and_its_interval() -> None:
    comparison = cka.compare(ConvNet(), ConvNet(seed=1), data=images(96), batch_size=12, progress=False)
    a, b = comparison.names
    for measure in MEASURES:
        matrix = comparison.matrix(a, b, measure=measure)
        low, high = comparison.interval(a, b, measure=measure)
        assert (low <= matrix + 1e-12).all()
        assert (matrix <= high + 1e-12).all()
        assert np.allclose(comparison.matrix(b, a, measure=measure), matrix.T, atol=1e-9)
    five = comparison.matrix(a, b, "mutual_knn", k=5, above_chance=True)
    assert not np.allclose(five, comparison.matrix(a, b, "mutual_knn"))
    assert np.array_equal(comparison.matrix(a, b, "cka"), comparison.matrix(a, b))
    with pytest.raises(ValueError, match="'cka' takes no options of minibatches; given k"):
        comparison.matrix(a, b, k=5)


def test_intervals_hold_the_mean_over_ever_more_minibatches_as_often_as_they_say() -> None:
    found = values("rsa", 400, heavy=False, seed=2)
    truth, held = found.values.mean(), []
    for start in range(0, 400, 8):
        part = slice(start, start + 8)
        low, high = Measured(found.values[part], found.weights[part], found.first_pass[part]).interval()
        held.append(low[0, 0] <= truth <= high[0, 0])
    assert 0.84 <= np.mean(held) <= 1.0  # of 50 at 0.95, three standard errors


def test_the_spectral_measure_decomposes_each_layer_once_a_minibatch_not_once_a_pair() -> None:
    positions = minibatches(200, 40)
    x, y = pack_layers(layers(0), positions), pack_layers(layers(1)[:2], positions)
    with counted() as calls:
        measured(x, y, "bures")
    assert sum(calls) == (3 + 2) * len(positions)
    with counted() as calls:
        measured(x, x, "bures")
    assert sum(calls) == 3 * len(positions)
    with counted() as calls:
        chance_level(x, y, draws=19, measure="bures")
    assert sum(calls) == (3 + 2) * len(positions)  # permuting the examples takes no more
