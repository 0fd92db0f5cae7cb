"""Which layers correspond, and how sure that is."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from cka_plugin.analysis.components.alone import alone_in_minibatches
from cka_plugin.analysis.correspondence import Correspondence, correspondence
from cka_plugin.analysis.grams import cka_sums
from cka_plugin.analysis.levels.pseudo_layers import input_layer
from tests.support.planted import MadeRepresentation, drifting, fresh, represent, rotation


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


def test_without_8_minibatches_a_match_is_inconclusive_and_what_settles_it_does() -> None:
    rng = np.random.default_rng(2)
    layers = drifting(rng, 4, 256, 20, keep=0.8)
    others = noisy(layers, rng, 0.1)
    few, enough = (matched(represent(layers, n), represent(others, n)) for n in (64, 16))
    assert {match.verdict for match in few.matches} == {"inconclusive"}
    (sentence,) = few.inconclusive
    assert "4 minibatches where it takes 8; give more examples, or smaller minibatches" in sentence
    assert f"?: inconclusive. {sentence}" in repr(few)
    assert {match.verdict for match in enough.matches} <= {"clear", "tied"}
    assert enough.inconclusive == []
    assert few.to_frame()["verdict"].tolist() == ["inconclusive"] * 4
    assert json.loads(json.dumps(few.to_dict(), allow_nan=False))["inconclusive"] == [sentence]


def test_layers_made_by_examples_alone_in_their_minibatches_are_inconclusive() -> None:
    rng = np.random.default_rng(7)
    x = fresh(rng, 512, 20)
    far = x.copy()
    far[::32] += 300 * fresh(rng, 1, 20)  # one example a minibatch of 32
    found = {}
    for n in (32, 64):
        a, b = represent([far, x], n), represent(noisy([far, x], rng, 0.1), n)
        alone = alone_in_minibatches(a), alone_in_minibatches(b)
        found[n] = correspondence(cka_sums(a, b), a.layers, b.layers, alone=alone)
    assert [match.verdict for match in found[32].matches] == ["inconclusive", "clear"]
    assert "layers of the first model (blocks.0)" in found[32].inconclusive[0]
    assert found[32].inconclusive[0].endswith("larger minibatches would settle it")
    assert [match.verdict for match in found[64].matches] == ["clear", "clear"]
    assert found[64].inconclusive == []


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


def test_layers_must_fit_the_sums() -> None:
    a = represent(drifting(np.random.default_rng(12), 3, 64, 20, keep=0.8), 16)
    with pytest.raises(ValueError, match="3 by 3 layers, but 2 and 3"):
        correspondence(cka_sums(a), a.layers[:2], a.layers)


def test_names_of_layers_are_what_the_caller_calls_them() -> None:
    x = fresh(np.random.default_rng(20), 64, 5)
    a = represent([x], 16)
    named = [SimpleNamespace(name="stem", depth=0.0)]
    match = correspondence(cka_sums(a, input_layer(x, a)), a.layers, named).matches[0]
    assert match.match == "stem"
