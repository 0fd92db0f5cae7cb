"""Callbacks and the metric: figures are right and logged, and training is the same, bit by bit, with and without."""

from __future__ import annotations

import copy
import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.training.metric import CKA
from cka_plugin.training.probe import Probe
from tests.support import ROOT
from tests.support.nets import ConvNet, images
from tests.support.training_runs import ROWS, Net, hugging_face, lightning, minibatch, same_weights

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


def test_hugging_face_training_is_the_same_and_tensorboard_has_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    without, history = hugging_face(tmp_path / "without", None)
    baseline = cka.make_baseline(Net(), {"x": ROWS}, progress=False)  # of the untrained network: the start
    trained, with_figures = hugging_face(tmp_path / "with", Probe({"x": ROWS}, baseline))
    assert same_weights(without, trained)
    losses = [row["loss"] for row in with_figures if "loss" in row]
    assert losses == [row["loss"] for row in history if "loss" in row]
    assert len(losses) == 3
    figures = [row for row in with_figures if "cka/start/head" in row]
    assert len(figures) == 3
    assert figures[0]["cka/start/blocks.0"] == pytest.approx(figures[0]["cka/previous/blocks.0"], abs=1e-12)
    assert figures[2]["cka/start/lowest"] < 0.999
    for row in figures:
        for layer in ("stem", "blocks.2", "head", "lowest"):
            assert row[f"cka/baseline/{layer}"] == pytest.approx(row[f"cka/start/{layer}"], abs=1e-9)
    assert scalars(tmp_path / "tb")["train/cka/start/head"] == pytest.approx([f["cka/start/head"] for f in figures])


def scalars(folder: Path) -> dict[str, list[float]]:
    """All scalars in the TensorBoard files below a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[float]] = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        events = EventAccumulator(str(file))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend(event.value for event in events.Scalars(tag))
    return found


def test_lightning_training_is_the_same_and_all_loggers_have_the_figures(tmp_path: Path) -> None:
    without, _ = lightning(tmp_path / "without", None)
    trained, monitored = lightning(tmp_path / "with", Probe({"x": ROWS}))
    assert same_weights(without, trained)
    logged = scalars(tmp_path / "with")
    assert len(logged["cka/start/head"]) == 3
    assert logged["cka/start/blocks.0"][0] == pytest.approx(logged["cka/previous/blocks.0"][0])
    assert logged["cka/start/lowest"][2] < 0.999
    (table,) = (tmp_path / "with").rglob("metrics.csv")
    rows = [row for row in csv.DictReader(table.open(encoding="utf-8")) if row["cka/start/head"]]
    assert [float(row["cka/start/head"]) for row in rows] == pytest.approx(logged["cka/start/head"], abs=1e-6)
    assert float(monitored["cka/start/lowest"]) == pytest.approx(logged["cka/start/lowest"][2], abs=1e-6)


# Several processes


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two DDP processes got."""
    folder = tmp_path_factory.mktemp("ddp")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "-m", "tests.support.training_runs", str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


def test_under_ddp_the_first_process_alone_measures_and_training_is_the_same(ranks: list[dict[str, Any]]) -> None:
    first, second = ranks
    assert first["ranks"] == 2
    for rank in ranks:
        assert rank["hugging face: same weights"] is True
        assert rank["lightning: same weights"] is True
    assert len(first["hugging face: figures"]) == 3
    assert second["hugging face: figures"] == []
    assert first["hugging face: figures"][2]["cka/start/lowest"] < 0.999
    assert first["lightning: monitored"] < 0.999


def test_the_metric_adds_up_over_processes(ranks: list[dict[str, Any]]) -> None:
    whole = CKA()
    for i in range(4):
        whole.update(*minibatch(i))
    for rank in ranks:
        assert rank["metric"] == pytest.approx(float(whole.compute()), abs=1e-12)
        assert rank["metric without torchmetrics"] == pytest.approx(float(whole.compute()), abs=1e-12)
        own, sum_xy = rank["of this rank alone"]
        assert abs(own - float(whole.compute())) > 1e-3  # after compute, the state is this rank's again
        assert sum_xy < float(whole.xy)


def test_a_model_spread_over_processes_is_refused_before_it_hangs() -> None:
    class Sharded(nn.Parameter):
        device_mesh = "of two"

    net = nn.Sequential(nn.Linear(6, 4))
    net[0].weight = Sharded(torch.zeros(4, 6))
    with pytest.raises(RuntimeError, match=r"parameter 0\.weight is spread over processes"):
        Probe(ROWS).start(net)


# The metric


@pytest.mark.parametrize(("kernel", "estimator"), [("linear", "unbiased"), ("linear", "biased"), ("rbf", "unbiased")])
def test_the_metric_is_minibatch_cka_and_parts_merge(kernel: str, estimator: str) -> None:
    from tests.support.reference import hsic_0, hsic_1, linear, minibatch_cka, rbf

    generator = torch.Generator().manual_seed(0)
    scales = [1.0, 1e-6, 1e6, 3.0]  # of minibatches: none may be reweighted
    xs = [s * torch.randn(20, 5, 2, generator=generator) + 1e3 * s for s in scales]
    ys = [x.flatten(1)[:, :4] + s * torch.randn(20, 4, generator=generator) for x, s in zip(xs, scales, strict=True)]
    whole, first, second = (CKA(kernel=kernel, estimator=estimator) for _ in range(3))
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        whole.update(x, y)
        (first if i < 2 else second).update(x, y)
    expected = minibatch_cka(
        [x.numpy() for x in xs],
        [y.numpy() for y in ys],
        kernel=linear if kernel == "linear" else rbf,
        hsic=hsic_1 if estimator == "unbiased" else hsic_0,
    )
    assert float(whole.compute()) == pytest.approx(expected, abs=1e-6)
    first.merge_state(second)
    assert float(first.compute()) == pytest.approx(float(whole.compute()), abs=1e-12)
    whole.reset()
    whole.update(xs[0], ys[0])
    assert float(whole.compute()) == pytest.approx(cka.cka(xs[0], ys[0], kernel, estimator), abs=1e-9)


def test_the_metric_says_what_it_cannot_take() -> None:
    with pytest.raises(ValueError, match="5 and 6 examples"):
        CKA().update(torch.zeros(5, 2), torch.zeros(6, 2))
    with pytest.raises(ValueError, match="at least 4"):
        CKA().update(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="kernel 'cubic'"):
        CKA(kernel="cubic")


def test_the_metric_of_a_constant_stream_is_nan_and_such_minibatches_count_nothing() -> None:
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    flat = torch.full((16, 3), 0.1)
    alone = CKA()
    alone.update(x, flat)
    assert torch.isnan(alone.compute())
    equal = CKA()  # every pair equally similar: rounding is no structure
    equal.update(x, torch.eye(16))
    assert torch.isnan(equal.compute())
    broken = CKA()
    broken.update(x, torch.full((16, 3), float("nan")))
    assert torch.isnan(broken.compute())


def test_without_torchmetrics_the_metric_is_the_same() -> None:
    code = """
import sys
sys.modules["torchmetrics"] = None
import torch
from cka_plugin.training.metric import CKA
assert CKA.__mro__[1].__module__ == "cka_plugin.training.summed"
whole, parts = CKA(), [CKA(), CKA()]
for i in range(4):
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(i))
    y = x[:, :3] + torch.randn(16, 3, generator=torch.Generator().manual_seed(100 + i))
    value = whole(x, y)
    fresh = CKA()
    fresh.update(x, y)
    assert value == fresh.compute()
    parts[i // 2].update(x, y)
parts[0].merge_state(parts[1])
assert abs(parts[0].compute() - whole.compute()) < 1e-12
parts[0].reset()
assert torch.isnan(parts[0].compute())
assert not whole.state_dict()
print(float(whole.compute()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = CKA()
    for i in range(4):
        expected.update(*minibatch(i))
    assert float(done.stdout) == pytest.approx(float(expected.compute()), abs=1e-12)
