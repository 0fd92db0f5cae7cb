"""The models nearest to one: the order of the similarity of whole models, each with its own interval."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.analysis.families import mean_interval
from cka_plugin.analysis.layer_pairs import mean_at_equal_depth


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    nets = {}
    for seed in range(4):
        torch.manual_seed(seed)
        nets[f"net{seed}"] = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    x = torch.randn(160, 6)
    labels = nets["net1"](x).argmax(1)
    return cka.compare(nets, data=(x, labels), batch_size=16, granularity="module", progress=False)


def test_neighbours_come_in_the_order_of_similarity_with_what_is_known_of_them(comparison: cka.Comparison) -> None:
    found = comparison.nearest("net2", k=2)
    row = dict(zip(comparison.names, comparison.models()[2], strict=True))
    del row["net2"]
    assert [one.name for one in found.neighbours] == sorted(row, key=row.get, reverse=True)[:2]
    assert [one.similarity for one in found.neighbours] == sorted(row.values(), reverse=True)[:2]
    assert all(one.low < one.similarity < one.high for one in found.neighbours)
    assert all((one.family, one.parameters) == ("Sequential", 155) for one in found.neighbours)
    everyone = comparison.nearest("net2").to_frame()
    assert len(everyone) == 3
    assert everyone.set_index("name").loc["net1", "accuracy"] == 1.0
    assert "of 3 models" in repr(found)
    assert "net" in found._repr_html_()


def test_the_interval_is_the_jackknife_of_the_mean(comparison: cka.Comparison) -> None:
    sums = comparison.sums("net0", "net1")
    depths = [layer.depth for layer in comparison.layers("net0")]
    left_out = []
    for minibatch in range(10):
        rest = [place for place in range(10) if place != minibatch]
        part = sums.xy[rest].sum(0) / np.sqrt(np.outer(sums.xx[rest].sum(0), sums.yy[rest].sum(0)))
        left_out.append(mean_at_equal_depth(part, depths, depths))
    error = np.sqrt(9 / 10 * np.square(np.array(left_out) - np.mean(left_out)).sum())
    mean, low, high = mean_interval(sums, (depths, depths))
    assert (low + high) / 2 == pytest.approx(mean)
    assert (high - low) / 2 == pytest.approx(2.262157 * error, rel=1e-6)  # Student's t with 9 degrees of freedom


def test_without_enough_minibatches_there_is_no_interval() -> None:
    nets = {name: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)) for name in "ab"}
    found = cka.compare(nets, data=torch.randn(40, 6), batch_size=20, progress=False).nearest("a")
    assert np.isnan([found.neighbours[0].low, found.neighbours[0].high]).all()


def test_what_has_no_neighbours_is_said(comparison: cka.Comparison) -> None:
    with pytest.raises(ValueError, match="k 0: expected 1 or more"):
        comparison.nearest("net0", k=0)
    with pytest.raises(ValueError, match="'net9' is not in this comparison"):
        comparison.nearest("net9")
    with pytest.raises(ValueError, match="net0 has no neighbours"):
        cka.Comparison([comparison["net0"]]).nearest("net0")


def test_families_are_those_of_the_frameworks_unless_they_are_given(comparison: cka.Comparison) -> None:
    with pytest.raises(ValueError, match="4 models of 1 families"):
        comparison.families()
    found = comparison.families({"net0": "even", "net1": "odd", "net2": "even", "net3": "odd"}, permutations=19)
    assert {one.name for one in found.families} == {"even", "odd"}
    assert found.controls == ("accuracy",), "all are of one size"
    with pytest.raises(ValueError, match=r"no family is known of net1, net2, net3: give families="):
        comparison.families({"net0": "even"})
