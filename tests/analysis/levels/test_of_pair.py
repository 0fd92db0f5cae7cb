"""The levels of two models: every column computed again from activations in float64, and what is said of them."""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka
from cka_plugin.analysis.levels import of_pair
from cka_plugin.analysis.levels.architecture import NO_COPY
from cka_plugin.analysis.levels.inputs_and_labels import NO_INPUT, NO_LABELS, SAME_LABELS, along
from cka_plugin.analysis.levels.result import LayerLevels
from cka_plugin.engine import beside
from tests.support import ROOT
from tests.support.nets import ConvNet, images
from tests.support.reference import activations, linear, minibatch_cka, u_centred

N, SIZE, DRAWS = 180, 20, 19
PATHS = ["stem", "blocks.0", "blocks.1", "blocks.2", "head"]
LABELS = torch.arange(N) % 5

Layers = list[list[np.ndarray]]


class Case:
    """Two networks, their levels, and the activations that all is computed from again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        copies: list[nn.Module] = []

        def kept(model: nn.Module, seed: int) -> nn.Module:
            copies.append(cka.untrained(model, seed))
            return copies[-1]

        monkeypatch.setattr(beside, "untrained", kept)
        x = images(N)
        x[[3, 40, 77, 101, 150, 171]] += 12.0  # examples that dominate
        nets = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}
        data = TensorDataset(x, LABELS)
        self.comparison = cka.compare(nets, data=data, batch_size=SIZE, levels=True, progress=False)
        self.found = self.comparison.levels("a", "b", draws=DRAWS)
        ids = np.array(self.comparison["a"].example_ids)
        self.chosen = [ids[positions] for positions in self.comparison["a"].positions]
        self.x, self.batches = x, [x[chosen] for chosen in self.chosen]
        self.a, self.b = (self.layers(net) for net in nets.values())
        self.untrained = [self.layers(copy) for copy in copies]
        self.matrix = matrix(self.a, self.b)
        self.best = [int(row.argmax()) for row in self.matrix]

    def layers(self, net: nn.Module) -> Layers:
        return list(activations(net, PATHS, self.batches).values())

    def column(self, name: str) -> np.ndarray:
        return self.found.to_frame()[name].to_numpy(dtype=float)


def matrix(a: Layers, b: Layers) -> np.ndarray:
    return np.array([[minibatch_cka(x, y) for y in b] for x in a])


@pytest.fixture(scope="module")
def case() -> Case:
    with pytest.MonkeyPatch.context() as patch:
        return Case(patch)


def flat(minibatches: list[np.ndarray]) -> np.ndarray:
    """All U-centred Gram matrices as one vector."""
    return np.concatenate([u_centred(linear(x)).ravel() for x in minibatches])


def principal(minibatches: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """Share of the first component, and the projections of all examples on it, from singular values."""
    first, total, projections = 0.0, 0.0, []
    for x in minibatches:
        rows = x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(0)
        u, s, _ = np.linalg.svd(rows, full_matrices=False)
        first, total = first + s[0] ** 2, total + (s**2).sum()
        projections.append(s[0] * np.abs(u[:, 0]))
    return first / total, np.concatenate(projections)


def test_each_layer_stands_beside_its_best_match_and_their_cka(case: Case) -> None:
    assert [row.layer for row in case.found.layers] == case.comparison["a"].layer_names
    assert [row.match for row in case.found.layers] == [case.comparison["b"].layer_names[j] for j in case.best]
    assert case.column("cka") == pytest.approx(case.matrix.max(1), abs=1e-6)
    low, high = case.comparison.interval("a", "b")
    rows = np.arange(5)
    assert case.column("low") == pytest.approx(low[rows, case.best], abs=1e-6)
    assert case.column("high") == pytest.approx(high[rows, case.best], abs=1e-6)
    ties = [match.tied for match in case.comparison.correspondence("a", "b").matches]
    assert [row.tied for row in case.found.layers] == ties


def test_chance_is_of_the_best_of_all_layers_in_one_permutation_of_the_examples(case: Case) -> None:
    rng = np.random.default_rng(0)
    of_a, of_b = ([[u_centred(linear(x)) for x in layer] for layer in model] for model in (case.a, case.b))
    null = np.zeros((DRAWS, 5, 5))
    for index in range(len(case.batches)):
        for draw in range(DRAWS):
            order = rng.permutation(SIZE)
            for j, layer in enumerate(of_b):
                moved = layer[index][order][:, order]
                null[draw, :, j] += [(own[index] * moved).sum() for own in of_a]
    size = [[np.sqrt(sum((k**2).sum() for k in layer)) for layer in model] for model in (of_a, of_b)]
    best = (null / np.outer(*size)).max(2)
    tau = np.quantile(best, 0.95, axis=0)
    assert case.column("chance") == pytest.approx(tau, abs=1e-6)
    assert case.column("calibrated") == pytest.approx((case.matrix.max(1) - tau) / (1 - tau), abs=1e-6)
    assert case.column("p").tolist() == [1 / (DRAWS + 1)] * 5


def test_the_untrained_level_is_the_best_match_between_the_copies(case: Case) -> None:
    levels = matrix(*case.untrained)
    assert case.column("untrained") == pytest.approx(levels.max(1), abs=1e-6)
    assert [PATHS[int(j)] for j in levels.argmax(1)] == [row.untrained_match for row in case.found.layers]
    for i, row in enumerate(case.found.layers):
        j, k = case.best[i], int(levels[i].argmax())
        gaps = []
        for out in range(len(case.batches)):  # the jackknife of the difference, minibatch by minibatch
            without = [
                minibatch_cka(x[:out] + x[out + 1 :], y[:out] + y[out + 1 :])
                for x, y in ((case.a[i], case.b[j]), (case.untrained[0][i], case.untrained[1][k]))
            ]
            gaps.append(without[0] - without[1])
        error = math.sqrt((len(gaps) - 1) / len(gaps) * np.square(np.array(gaps) - np.mean(gaps)).sum())
        middle = (row.above_untrained_low + row.above_untrained_high) / 2
        assert middle == pytest.approx(row.cka - row.untrained, abs=1e-6)
        assert row.above_untrained_high - middle == pytest.approx(2.306004 * error, abs=1e-5)  # t of 8 degrees
        assert row.against_untrained == ("above" if row.above_untrained_low > 0 else row.against_untrained)


def test_two_models_of_one_architecture_have_two_copies_and_one_model_one() -> None:
    nets = {"a": ConvNet(seed=1), "b": ConvNet(seed=2), "again": ConvNet(seed=1)}
    found = cka.compare(nets, data=images(40), batch_size=20, levels=True, progress=False)
    a, b, again = (found[name].beside["untrained"].vectors[0] for name in nets)
    assert np.array_equal(a, again)
    assert not np.allclose(a, b)


def test_inputs_and_labels_are_levels_and_what_lies_along_them_is_a_projection(case: Case) -> None:
    pixels = [batch.double().numpy() for batch in case.batches]
    classes = [np.eye(5)[LABELS.numpy()[chosen]] for chosen in case.chosen]
    for name, target in (("input", pixels), ("labels", classes)):
        assert case.column(name) == pytest.approx([minibatch_cka(x, target) for x in case.a], abs=1e-6)
        of_match = [minibatch_cka(case.b[j], target) for j in case.best]
        assert case.column(f"{name}_of_match") == pytest.approx(of_match, abs=1e-6)
    directions = np.stack([flat(pixels), flat(classes)], axis=1)
    for i, value in enumerate(case.column("along_data")):
        parts = []
        for layer in (case.a[i], case.b[case.best[i]]):
            vector = flat(layer) / np.linalg.norm(flat(layer))
            parts.append(directions @ np.linalg.lstsq(directions, vector, rcond=None)[0])
        assert value == pytest.approx(parts[0] @ parts[1], abs=1e-6)


def test_two_layers_that_share_their_input_alone_have_all_their_cka_along_it() -> None:
    assert along([0.8], [0.5], [[1.0]]) == pytest.approx(0.4)
    assert along([0.8, 0.1], [0.5, 0.2], np.eye(2)) == pytest.approx(0.42)
    almost_one = np.array([[1.0, 1.0 - 1e-9], [1.0 - 1e-9, 1.0]])
    assert along([0.8, 0.8], [0.5, 0.5], almost_one) == pytest.approx(0.4, abs=1e-6)


def test_shares_and_dimensions_are_those_of_the_features(case: Case) -> None:
    for i, row in enumerate(case.found.layers):
        assert row.first_component_share == pytest.approx(principal(case.a[i])[0], abs=1e-5)
        assert row.first_component_share_of_match == pytest.approx(principal(case.b[case.best[i]])[0], abs=1e-5)
        squared_trace = trace_of_square = 0.0
        for x in case.a[i]:
            rows, n = x.reshape(len(x), -1), len(x)
            half = np.square(rows[:, None] - rows[None]).sum(-1) / 2
            apart = half.sum() ** 2 - 4 * np.square(half.sum(1)).sum() + 2 * np.square(half).sum()
            squared_trace += apart / ((n - 1) * (n - 2))
            trace_of_square += np.square(u_centred(linear(rows - rows.mean(0)))).sum()
        assert row.dimension == pytest.approx(squared_trace / trace_of_square, rel=1e-4)


def test_the_dominant_examples_of_both_models_are_left_out(case: Case) -> None:
    gone: set[int] = set()
    for name, model in (("a", case.a), ("b", case.b)):
        blocks = case.comparison.block_structure(name).blocks
        inside = model[blocks[0].start : blocks[0].stop] if blocks else model
        strength = np.zeros(N)
        for layer in inside:
            projections = principal(layer)[1]
            strength += projections / math.sqrt(np.square(projections).mean()) / len(inside)
        order = np.concatenate(case.chosen)[np.argsort(-strength, kind="stable")]
        gone |= set(order[:9].tolist())  # 5% of 180
    assert set(case.found.dominant_examples) == gone
    assert case.found.left_out == len(gone)
    kept = [~np.isin(chosen, list(gone)) for chosen in case.chosen]
    expected = [
        minibatch_cka(
            [x[part] for x, part in zip(case.a[i], kept, strict=True)],
            [y[part] for y, part in zip(case.b[j], kept, strict=True)],
        )
        for i, j in enumerate(case.best)
    ]
    assert case.column("without_dominant") == pytest.approx(expected, abs=1e-6)


def neighbours(x: np.ndarray) -> np.ndarray:
    rows = x.reshape(len(x), -1)
    distances = np.square(rows[:, None] - rows[None]).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return np.eye(len(x))[np.argsort(distances, axis=1)[:, :10]].sum(1)


def test_the_second_measure_is_of_the_same_pairs_with_its_own_chance(case: Case) -> None:
    expected, rng = [], np.random.default_rng(0)
    orders = [[rng.permutation(SIZE) for _ in range(DRAWS)] for _ in case.batches]
    chance = []
    for i, j in enumerate(case.best):
        own, other = ([neighbours(x) for x in layer] for layer in (case.a[i], case.b[j]))
        expected.append(np.mean([(k * l).sum() / (10 * SIZE) for k, l in zip(own, other, strict=True)]))
        draws = [
            np.mean([(k * l[o[d]][:, o[d]]).sum() / (10 * SIZE) for k, l, o in zip(own, other, orders, strict=True)])
            for d in range(DRAWS)
        ]
        chance.append(max(draws))
    assert case.column("second") == pytest.approx(expected, abs=2e-3)  # near ties of distances in float32
    assert case.column("second_chance") == pytest.approx(chance, abs=2e-3)
    whole = case.comparison.matrix("a", "b", measure="mutual_knn")
    assert case.column("second") == pytest.approx(whole[np.arange(5), case.best], abs=1e-12)
    low, _ = case.comparison.interval("a", "b", measure="mutual_knn")
    untrained = case.column("second_untrained")
    for i, row in enumerate(case.found.layers):
        k = PATHS.index(str(row.untrained_match))
        own, other = ([neighbours(x) for x in layer] for layer in (case.untrained[0][i], case.untrained[1][k]))
        level = np.mean([(k * l).sum() / (10 * SIZE) for k, l in zip(own, other, strict=True)])
        assert untrained[i] == pytest.approx(level, abs=2e-3)
    assert case.column("second_low") == pytest.approx(low[np.arange(5), case.best], abs=1e-12)


@pytest.mark.parametrize("measure", ["rsa", "bures"])
def test_any_measure_may_be_the_second(case: Case, measure: str) -> None:
    found = case.comparison.levels("a", "b", draws=DRAWS, measure=measure)
    whole = case.comparison.matrix("a", "b", measure=measure)
    assert [row.second for row in found.layers] == pytest.approx(whole[np.arange(5), case.best], abs=1e-6)
    assert all(row.second_chance < 1 for row in found.layers)


def test_what_cannot_be_had_is_nan_and_the_reason_is_said(case: Case) -> None:
    nets = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}
    plain = cka.compare(nets, data=case.x, batch_size=SIZE, progress=False)
    found = plain.levels(draws=DRAWS)
    assert found.missing == {
        "untrained": NO_COPY,
        "input": NO_INPUT,
        "labels": NO_LABELS,
        "along": "neither inputs nor labels are known",
    }
    frame = found.to_frame()
    for column in ("untrained", "input", "labels", "along_data"):
        assert frame[column].isna().all()
    assert all(reason in " ".join(repr(found).split()) for reason in found.missing.values())
    with_data = plain.levels(draws=DRAWS, data=case.x)
    assert [row.input for row in with_data.layers] == pytest.approx(case.column("input"), abs=1e-6)
    assert "input" not in with_data.missing


def test_a_file_of_version_0_1_0_has_all_but_the_untrained_level() -> None:
    data = TensorDataset(images(96), torch.arange(96) % 5)
    old = cka.load(ROOT / "tests" / "support" / "version_0_1_0.safetensors").levels(draws=DRAWS, data=data)
    nets = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}
    now = cka.compare(nets, data=data, batch_size=12, levels=True, progress=False).levels(draws=DRAWS)
    assert old.missing == {"untrained": NO_COPY}
    assert now.missing == {}
    frame, expected = old.to_frame(), now.to_frame()
    empty = {name for name in frame.columns if frame[name].isna().all()}
    assert empty == {name for name in frame.columns if "untrained" in name}
    kept = [name for name in frame.columns if name not in empty and name != "sentence"]
    for name in kept:
        if frame[name].dtype.kind == "f":
            assert frame[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=1e-5), name
        else:
            assert frame[name].tolist() == expected[name].tolist()


def test_few_or_small_minibatches_leave_out_what_needs_more() -> None:
    nets = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}
    found = cka.compare(nets, data=images(40), batch_size=10, levels=True, progress=False).levels(draws=DRAWS)
    assert "10 nearest neighbours need minibatches of more than 11" in found.missing["second"]
    assert found.to_frame()[["low", "above_untrained_low", "second"]].isna().all(axis=None)
    assert any("fewer than 8 minibatches" in note for note in found.notes)
    assert all(row.against_untrained == "" for row in found.layers)


@pytest.mark.parametrize("labels", [torch.arange(160) // 20, torch.arange(160)])
def test_labels_that_tell_nothing_within_minibatches_are_no_level(labels: Tensor) -> None:
    loader = DataLoader(TensorDataset(images(160), labels), batch_size=20)
    nets = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cka.CKAWarning)  # of data sorted by class
        found = cka.compare(nets, data=loader, levels=True, progress=False).levels(draws=DRAWS)
    assert found.missing == {"labels": SAME_LABELS}
    assert all(math.isfinite(row.along_data) for row in found.layers)


def test_a_dead_layer_has_a_row_of_nothing() -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.dead, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.head(x + 0 * self.dead(0 * x))

    nets = {"a": Dead(), "b": nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))}
    with pytest.warns(cka.CKAWarning, match="it is constant"):
        made = cka.compare(nets, data=torch.randn(160, 8), batch_size=20, granularity="module", progress=False)
    (dead,) = [layer for layer in made.layers("a") if layer.path == "dead"]
    found = made.levels(draws=DRAWS)
    (row,) = [row for row in found.layers if row.layer == dead.name]
    assert row.match is None
    assert math.isnan(row.cka)
    assert "dead" in repr(found)


def test_large_comparisons_take_fewer_draws(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert case.comparison.levels("a", "b").draws == 199
    monkeypatch.setattr(of_pair, "MUCH_WORK", 1)
    found = case.comparison.levels("a", "b")
    assert found.draws == DRAWS == 19
    assert found.to_dict() == case.found.to_dict()


def test_one_model_alone_and_cka_twice_are_errors(case: Case) -> None:
    with pytest.raises(ValueError, match="levels are of two models; given a alone"):
        case.comparison.levels("a")
    with pytest.raises(ValueError, match="measure 'cka' is the first one"):
        case.comparison.levels(measure="cka")
    with pytest.raises(ValueError, match="measure 'nothing': expected one of cka, mutual_knn"):
        case.comparison.levels(measure="nothing")
    with pytest.raises(ValueError, match="draws 5: a level of 95% takes at least 19"):
        case.comparison.levels(draws=5)


def test_the_table_fits_a_terminal_and_the_sentences_hold_the_numbers(case: Case) -> None:
    assert max(map(len, repr(case.found).splitlines())) <= 80
    row = case.found.layers[0]
    assert f"CKA {row.cka:.2f} [{row.low:.2f}, {row.high:.2f}]" in row.sentence
    assert f"{row.along_data:.2f} of it along inputs and labels" in row.sentence
    assert f"{row.without_dominant:.2f} without {case.found.left_out} dominant examples" in row.sentence
    above = sum(row.against_untrained == "above" for row in case.found.layers)
    assert f"{above} of 5 lie above the untrained copies" in case.found.sentence
    assert any("a and b predict the same class on" in note for note in case.found.notes)


def test_levels_are_plain_data(case: Case) -> None:
    held = case.found.to_dict()
    assert held["layers"][0]["cka"] == pytest.approx(case.found.layers[0].cka)
    assert list(case.found.to_frame().columns) == list(held["layers"][0])


def test_what_is_not_beyond_chance_does_not_hang_on_a_few_examples() -> None:
    row = LayerLevels("x", "y", cka=0.5, chance=0.1, without_dominant=0.2)
    assert row.hangs_on_few
    assert not dataclasses.replace(row, cka=0.02, chance=0.03, without_dominant=0.0).hangs_on_few
    assert not dataclasses.replace(row, without_dominant=0.4).hangs_on_few
    assert dataclasses.replace(row, chance=float("nan")).hangs_on_few
