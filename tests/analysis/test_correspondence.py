"""Which layers correspond, how sure that is, and what chance, inputs and labels would give."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from cka_plugin.analysis.correspondence import Correspondence, correspondence
from cka_plugin.analysis.difference import difference
from cka_plugin.analysis.grams import cka_sums, pack_layers
from cka_plugin.analysis.levels.chance import chance_level
from cka_plugin.analysis.levels.pseudo_layers import input_layer, label_layer
from cka_plugin.analysis.statistics.model_groups import within_between
from cka_plugin.core import Sums
from tests.support.planted import MadeRepresentation, drifting, fresh, represent, rotation
from tests.support.reference import minibatch_cka


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noisy(layers: list[np.ndarray], rng: np.random.Generator, noise: float) -> list[np.ndarray]:
    """Another model's layers: the same content, rotated, with noise."""
    return [x @ rotation(rng, x.shape[1]) + noise * fresh(rng, *x.shape) for x in layers]


def matched(a: MadeRepresentation, b: MadeRepresentation) -> Correspondence:
    return correspondence(cka_sums(a, b), a.layers, b.layers)


def test_each_layer_finds_the_one_at_its_place() -> None:
    rng = np.random.default_rng(0)
    layers = drifting(rng, 8, 512, 40, keep=0.8)
    a, b = represent(layers), represent(noisy(layers, rng, 0.3))
    found = matched(a, b)
    matrix = cka_sums(a, b).cka()
    assert [match.match for match in found.matches] == [f"blocks.{i}" for i in range(8)]
    assert found.share_at_equal_depth == 1
    assert found.share_by_chance == pytest.approx(1 / 8)
    for row, match in enumerate(found.matches):
        order = np.argsort(-matrix[row])
        assert match.cka == matrix[row, order[0]]
        assert (match.runner_up, match.runner_up_cka) == (f"blocks.{order[1]}", matrix[row, order[1]])
        assert match.low < match.cka < match.high
        assert match.tied is False
        assert 0 < match.margin_low < match.cka - match.runner_up_cka < match.margin_high
        assert match.equal_depth
        assert not match.unlike


def test_a_tie_is_seen_as_one() -> None:
    """Two layers of b are equally like the layer of a, but for noise."""
    rng = np.random.default_rng(1)
    x = fresh(rng, 640, 40)
    a = represent([x, fresh(rng, 640, 40)])
    b = represent([*noisy([x, x], rng, 0.7), fresh(rng, 640, 40)])
    first = matched(a, b).matches[0]
    assert {first.match, first.runner_up} == {"blocks.0", "blocks.1"}
    assert first.tied is True
    assert first.margin_low <= 0 <= first.margin_high
    assert "yes" in repr(matched(a, b))


def test_without_8_minibatches_there_are_matches_but_no_intervals() -> None:
    rng = np.random.default_rng(2)
    layers = drifting(rng, 4, 128, 20, keep=0.8)
    first = matched(represent(layers, 32), represent(noisy(layers, rng, 0.1), 32)).matches[0]
    assert first.match == "blocks.0"
    assert math.isnan(first.low)
    assert math.isnan(first.margin_low)
    assert first.tied is None


def test_layers_that_nothing_in_the_other_model_resembles_are_named() -> None:
    rng = np.random.default_rng(3)
    shared = drifting(rng, 4, 512, 40, keep=0.9)
    a = represent([*shared[:3], fresh(rng, 512, 40), shared[3]])
    b = represent([fresh(rng, 512, 40), *noisy(shared, rng, 0.2)])
    found = matched(a, b)
    assert found.only_in_a == ["blocks.3"]
    assert found.only_in_b == ["blocks.0"]
    assert "only in the first model: blocks.3" in repr(found)


def test_equal_depth_is_the_nearest_layer_of_a_model_of_another_depth() -> None:
    rng = np.random.default_rng(4)
    deep = drifting(rng, 9, 512, 40, keep=0.8)
    shallow = represent(noisy(deep[::2], rng, 0.2))
    found = matched(represent(deep), shallow)
    assert [match.match_depth for match in found.matches[::2]] == [0, 0.25, 0.5, 0.75, 1]
    assert all(match.equal_depth for match in found.matches)  # in between, either neighbour is
    assert found.share_by_chance == pytest.approx((5 * 1 / 5 + 4 * 2 / 5) / 9)
    turned = represent(noisy(deep[::-2], rng, 0.2))
    assert 1 / 9 <= matched(represent(deep), turned).share_at_equal_depth <= 3 / 9  # the middle, and its neighbours


def test_dead_layers_have_no_match_and_are_none() -> None:
    rng = np.random.default_rng(5)
    layers = drifting(rng, 5, 512, 40, keep=0.8)
    a, b = represent(layers), represent(noisy(layers, rng, 0.2))
    for vectors in a.vectors:
        vectors[1] = np.nan
    for vectors in b.vectors:
        vectors[3] = 0
    found = matched(a, b)
    assert found.matches[1].match is None
    assert math.isnan(found.matches[1].cka)
    assert all("blocks.3" not in (match.match, match.runner_up) for match in found.matches)
    assert found.only_in_a == found.only_in_b == []
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["matches"][1]["cka"] is None
    assert list(found.to_frame().columns[:3]) == ["layer", "depth", "match"]


def test_one_layer_has_no_runner_up() -> None:
    x = fresh(np.random.default_rng(6), 512, 20)
    match = matched(represent([x]), represent([x])).matches[0]
    assert (match.match, match.runner_up, match.tied) == ("blocks.0", None, None)
    assert match.cka == pytest.approx(1, abs=1e-6)


# --- differences of entries


def test_a_paired_difference_equals_the_jackknife_written_out() -> None:
    rng = np.random.default_rng(7)
    layers = drifting(rng, 3, 640, 30, keep=0.8)
    a = represent(layers)
    sums = cka_sums(a)
    found = difference(sums, (0, 1), sums, (0, 2))
    xs = [[layer.astype(np.float32)[chosen] for chosen in a.positions] for layer in layers]

    def gap(left_out: int | None) -> float:
        kept = [[part for i, part in enumerate(x) if i != left_out] for x in xs]
        return minibatch_cka(kept[0], kept[1]) - minibatch_cka(kept[0], kept[2])

    without = np.array([gap(i) for i in range(10)])
    error = math.sqrt(9 / 10 * np.square(without - without.mean()).sum())
    half = stats.t.ppf(0.975, 9) * error
    assert found.value == pytest.approx(gap(None), abs=1e-6)
    assert (found.low, found.high) == pytest.approx((gap(None) - half, gap(None) + half), abs=1e-5)
    assert found.p == pytest.approx(2 * stats.t.sf(gap(None) / error, 9), rel=1e-3)


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(8)
    x = fresh(rng, 1024, 40)
    a, b = represent([x]), represent([x + 0.5 * fresh(rng, 1024, 40), x + 0.55 * fresh(rng, 1024, 40)])
    sums = cka_sums(a, b)
    low, high = sums.interval()
    assert low[0, 0] < high[0, 1]  # the intervals overlap
    found = difference(sums, (0, 0), sums, (0, 1))
    assert found.low > 0
    assert found.p < 0.05


def test_intervals_of_differences_hold_the_truth() -> None:
    """Two entries with the same true CKA: 95% intervals miss 0 about one time in twenty."""
    rng = np.random.default_rng(9)
    missed = 0
    for _ in range(150):
        x = rng.normal(size=(320, 10))
        made = pack_layers(
            [x, x + rng.normal(size=x.shape), x + rng.normal(size=x.shape)], np.arange(320).reshape(10, 32)
        )
        sums = cka_sums(made)
        found = difference(sums, (0, 1), sums, (0, 2))
        missed += not found.low <= 0 <= found.high
    assert 1 <= missed <= 16


def test_entries_of_two_matrices_compare_on_the_same_minibatches_only() -> None:
    layers = drifting(np.random.default_rng(10), 2, 512, 20, keep=0.8)
    sums, fewer = cka_sums(represent(layers)), cka_sums(represent(layers, minibatches=7))
    with pytest.raises(ValueError, match="8 and 7 minibatches"):
        difference(sums, (0, 1), fewer, (0, 1))
    with pytest.raises(ValueError, match="level 95"):
        difference(sums, (0, 1), sums, (0, 1), level=95)
    assert math.isnan(difference(fewer, (0, 1), fewer, (0, 0)).p)
    same = difference(sums, (0, 1), sums, (0, 1))
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_later_passes_sharpen_the_estimate_and_not_the_interval() -> None:
    layers = drifting(np.random.default_rng(11), 3, 512, 20, keep=0.8)
    made = represent(layers, passes=3)
    all_passes = cka_sums(made)
    assert all_passes.first_pass.sum() == 8
    first = Sums(all_passes.xy[:8], all_passes.xx[:8], all_passes.yy[:8], np.ones(8, bool))
    found, alone = (difference(sums, (0, 1), sums, (0, 2)) for sums in (all_passes, first))
    assert found.high - found.low == pytest.approx(alone.high - alone.low)
    assert found.value != alone.value


def test_layers_must_fit_the_sums() -> None:
    a = represent(drifting(np.random.default_rng(12), 3, 64, 20, keep=0.8), 16)
    with pytest.raises(ValueError, match="3 by 3 layers, but 2 and 3"):
        correspondence(cka_sums(a), a.layers[:2], a.layers)


# --- chance, inputs, labels, groups


def test_independent_models_are_at_the_level_of_chance_and_like_ones_are_not() -> None:
    rng = np.random.default_rng(13)
    layers = drifting(rng, 3, 256, 20, keep=0.8)
    a, b = represent([*layers, fresh(rng, 256, 20)], 32), represent(noisy(layers, rng, 1.0), 32)
    found = chance_level(a, b, draws=99)
    matrix = cka_sums(a, b).cka()
    assert found.p.shape == found.level.shape == (4, 3)
    np.testing.assert_allclose(np.diag(found.p[:3]), 0.01)
    assert (np.diag(matrix[:3]) > np.diag(found.level[:3])).all()
    assert found.p[3].min() > 0.02
    np.testing.assert_allclose(found.best_p[:3], 0.01)
    assert found.best_p[3] > 0.02
    assert found.largest_p == pytest.approx(0.01)
    assert (found.best_level >= found.level.max(axis=1)).all()
    again = chance_level(a, b, draws=99)
    np.testing.assert_array_equal(found.p, again.p)


def test_p_is_uniform_where_nothing_is_shared() -> None:
    rng = np.random.default_rng(14)
    cells, best = [], []
    for seed in range(60):
        a, b = (represent([fresh(rng, 48, 8) for _ in range(2)], 16) for _ in range(2))
        found = chance_level(a, b, draws=39, seed=seed)
        cells.append(found.p[0, 0])
        best.append(found.largest_p)
    for p in (cells, best):
        assert min(p) >= 1 / 40
        assert stats.kstest(p, "uniform").pvalue > 0.001


def test_the_null_of_chance_is_cka_of_permuted_examples() -> None:
    """With all 24 orders of 4 examples near at hand, the null's quantile is that of the CKA computed anew."""
    rng = np.random.default_rng(15)
    x, y = fresh(rng, 5, 6), fresh(rng, 5, 6)
    a, b = (pack_layers([z], [np.arange(5)]) for z in (x, y))
    found = chance_level(a, b, draws=2000)
    orders = [rng.permutation(5) for _ in range(2000)]
    null = [minibatch_cka([x], [y[order]]) for order in orders]
    assert found.level[0, 0] == pytest.approx(np.quantile(null, 0.95), abs=0.08)


def test_dead_layers_have_no_chance_level_and_do_not_spoil_the_others() -> None:
    rng = np.random.default_rng(16)
    layers = drifting(rng, 3, 128, 20, keep=0.8)
    a, b = represent(layers, 32), represent(noisy(layers, rng, 0.2), 32)
    for vectors in b.vectors:
        vectors[1] = np.nan
    found = chance_level(a, b, draws=19)
    assert np.isnan(found.p[:, 1]).all()
    np.testing.assert_allclose(found.best_p, 0.05)
    assert found.largest_p == pytest.approx(0.05)
    with pytest.raises(ValueError, match="draws 0"):
        chance_level(a, b, draws=0)


def test_cka_to_the_inputs_and_to_the_labels_is_that_of_pixels_and_of_one_hot_classes() -> None:
    rng = np.random.default_rng(17)
    labels = rng.integers(0, 4, size=96)
    images = rng.normal(size=(96, 2, 5, 5)) + labels[:, None, None, None]
    layer = images.reshape(96, -1) @ rng.normal(size=(50, 30))
    made = represent([layer], 32)
    chunks = [np.arange(start, start + 32) for start in (0, 32, 64)]
    exact = layer.astype(np.float32)
    to_inputs = cka_sums(made, input_layer(images, made)).cka()
    to_labels = cka_sums(made, label_layer([f"class {label}" for label in labels], made)).cka()
    assert to_inputs[0, 0] == pytest.approx(
        minibatch_cka([exact[c] for c in chunks], [images.reshape(96, -1)[c] for c in chunks]), abs=1e-6
    )
    assert to_labels[0, 0] == pytest.approx(
        minibatch_cka([exact[c] for c in chunks], [np.eye(4)[labels[c]] for c in chunks]), abs=1e-6
    )


def test_pseudo_layers_need_one_row_an_example() -> None:
    made = represent([fresh(np.random.default_rng(18), 64, 5)], 16)
    with pytest.raises(ValueError, match="60 inputs for a representation of 64"):
        input_layer(np.zeros((60, 3)), made)
    with pytest.raises(ValueError, match="60 labels for a representation of 64"):
        label_layer([0] * 60, made)
    with pytest.raises(ValueError, match=r"labels of shape \(64, 2\)"):
        label_layer(np.zeros((64, 2), dtype=int), made)


def test_one_architecture_is_more_alike_within_than_between() -> None:
    """CKA within against between groups of models, by permuting models."""
    rng = np.random.default_rng(19)
    cores = [fresh(rng, 256, 30) for _ in range(2)]
    groups = ["wide"] * 4 + ["deep"] * 4
    common = fresh(rng, 256, 30)
    models = [represent([common + cores[g == "deep"] + 0.5 * fresh(rng, 256, 30)]) for g in groups]
    similarity = np.array([[cka_sums(a, b).cka()[0, 0] for b in models] for a in models])
    found = within_between(similarity, groups)
    assert found.statistic > 0.1
    assert found.p == pytest.approx(2 / 70)  # the smallest that 4 against 4 can give


def test_names_of_layers_are_what_the_caller_calls_them() -> None:
    x = fresh(np.random.default_rng(20), 64, 5)
    a = represent([x], 16)
    named = [SimpleNamespace(name="stem", depth=0.0)]
    match = correspondence(cka_sums(a, input_layer(x, a)), a.layers, named).matches[0]
    assert match.match == "stem"
