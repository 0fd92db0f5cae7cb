"""The probe: figures are right, and the model and all random states are as they were."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.training.probe import Probe
from tests.support.nets import ConvNet, images
from tests.support.training_runs import ROWS

X = images(64)


def disturbed(net: nn.Module, path: str) -> nn.Module:
    changed = copy.deepcopy(net)
    with torch.no_grad():
        changed.get_submodule(path).weight.mul_(torch.rand(1) + 0.5).add_(torch.randn(()))
    return changed


def test_a_probe_measures_from_the_start_and_from_the_last_time() -> None:
    net = ConvNet()
    first, second = disturbed(net, "blocks.1.conv1"), disturbed(net, "blocks.2.conv1")
    probe = Probe(X)
    probe.start(net)
    measured = [probe.measure(first), probe.measure(second)]
    comparison = cka.compare({"net": net, "first": first, "second": second}, data=X, batch_size=32, progress=False)
    for i, layer in enumerate(comparison.layers("net")):
        for figures, which, pair in [
            (measured[0], "start", ("net", "first")),
            (measured[1], "start", ("net", "second")),
            (measured[1], "previous", ("first", "second")),
        ]:
            assert figures[f"cka/{which}/{layer.name}"] == pytest.approx(comparison.matrix(*pair)[i, i], abs=1e-9)
    assert measured[0]["cka/start/lowest"] == min(v for k, v in measured[0].items() if k.startswith("cka/start/"))


def test_a_probe_keeps_what_it_measured_and_draws_it() -> None:
    net = ConvNet()
    probe = Probe(X)
    probe.start(net)
    measured = [probe.measure(disturbed(net, "blocks.1.conv1"), step) for step in (10, 30)]
    assert probe.history == [{"step": 10, **measured[0]}, {"step": 30, **measured[1]}]
    axes = probe.plot().axes[0]
    names = [key.removeprefix("cka/start/") for key in measured[0] if key.startswith("cka/start/")][:-1]
    drawn = [[figures[f"cka/start/{name}"] for figures in measured] for name in names]
    assert axes.collections[0].get_array().tolist() == drawn
    assert axes.get_xlabel() == "step"


def test_a_probe_compares_with_a_baseline_and_needs_no_data_where_that_keeps_them(tmp_path: Path) -> None:
    net = ConvNet()
    path = cka.make_baseline(net, X, keep_examples=True, progress=False).save(tmp_path / "b.safetensors")
    changed = disturbed(net, "blocks.1.conv1")
    figures = Probe(baseline=path).measure(changed)
    expected = cka.check(changed, path, X)
    for row in expected.layers:
        assert figures[f"cka/baseline/{row.name}"] == pytest.approx(row.cka, abs=1e-9)


def test_a_probe_leaves_the_model_and_all_random_states_as_they_were() -> None:
    net = ConvNet().train()
    net.blocks[0].eval()
    net(X[:8]).sum().backward()
    before = copy.deepcopy(net.state_dict())
    grads = [p.grad.clone() for p in net.parameters()]
    modes = [m.training for m in net.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X), batch_size=10, shuffle=True)
    for data in (X, loader):
        probe = Probe(data)
        probe.start(net)
        assert probe.measure(net)["cka/start/lowest"] == pytest.approx(1, abs=1e-6)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert all(torch.equal(a, p.grad) for a, p in zip(grads, net.parameters(), strict=True))
    assert modes == [m.training for m in net.modules()]
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
    assert states[2] == random.getstate()
    assert not any(m._forward_hooks for m in net.modules())


def test_a_probe_without_usable_data_is_an_error() -> None:
    with pytest.raises(ValueError, match="a probe needs data"):
        Probe()
    with pytest.raises(ValueError, match="again and again"):
        Probe(x for x in X)


def test_a_model_spread_over_processes_is_refused_before_it_hangs() -> None:
    class Sharded(nn.Parameter):
        device_mesh = "of two"

    net = nn.Sequential(nn.Linear(6, 4))
    net[0].weight = Sharded(torch.zeros(4, 6))
    with pytest.raises(RuntimeError, match=r"parameter 0\.weight is spread over processes"):
        Probe(ROWS).start(net)
