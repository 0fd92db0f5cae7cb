"""The similarity of very many models is that of the same pairs, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.analysis import model_tiles
from cka_plugin.analysis.layer_pairs import similarity_of_models
from cka_plugin.analysis.model_tiles import cut, similarity_of_many


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    """Seven networks of several depths, one with a dead layer."""
    nets = {}
    for seed, depth in enumerate([2, 3, 3, 5, 2, 4, 3]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Linear(6, 8)]
        for _ in range(depth):
            layers += [nn.Tanh(), nn.Linear(8, 8)]
        nets[f"net{seed}"] = nn.Sequential(*layers)
    nn.init.zeros_(nets["net3"][2].weight)
    with pytest.warns(cka.CKAWarning, match="constant"):
        return cka.compare(nets, data=torch.randn(70, 6), batch_size=16, granularity="module", progress=False)


@pytest.mark.parametrize("most", [1, 12, 1000])
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_tiles_of_any_size_give_what_the_pairs_give(
    comparison: cka.Comparison, monkeypatch: pytest.MonkeyPatch, most: int, estimator: str
) -> None:
    pairs = cka.Comparison(list(comparison.representations.values()), estimator)
    depths = [[layer.depth for layer in pairs.layers(name)] for name in pairs.names]
    expected = similarity_of_models(lambda i, j: pairs.matrix(pairs.names[i], pairs.names[j]), depths)
    monkeypatch.setattr(model_tiles.cut, "__defaults__", (most,))
    found = similarity_of_many(pairs.representations, estimator)
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max() < 1e-7
    assert np.array_equal(found, found.T)
    assert (np.diagonal(found) == 1).all()


def test_many_models_of_a_comparison_are_taken_in_tiles(
    comparison: cka.Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = comparison.models()
    monkeypatch.setattr("cka_plugin.comparison.FEW_MODELS", 3)
    many = cka.Comparison(list(comparison.representations.values()))
    assert np.abs(many.models() - one_by_one).max() < 1e-7
    assert not many._pairs._of_pairs, "pairs of very many models are not kept"


def test_models_without_a_similarity_have_none_in_tiles_either(comparison: cka.Comparison) -> None:
    first = comparison["net0"]
    dead = {layer.name: "constant" for layer in first.layers}
    from dataclasses import replace

    found = similarity_of_many({"net0": replace(first, problems=dead), "net1": comparison["net1"]}, "unbiased")
    assert np.isnan(found[0, 1])


def test_groups_hold_all_models_in_order() -> None:
    groups = cut([5] * 1000, most=10_000)
    assert [place for group in groups for place in group] == list(range(1000))
    assert max(map(len, groups)) == model_tiles.TILE_MODELS
