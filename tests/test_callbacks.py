"""Callbacks and the metric: figures are right and logged, and training is the same, bit by bit, with and without."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.training.probe import Probe
from tests.nets import ConvNet, images

X = images(64)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


class Net(nn.Module):
    """What the Trainer of transformers takes: a loss where there are labels."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(0)
            self.stem = nn.Linear(6, 16)
            self.blocks = nn.Sequential(*[nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(3)])
            self.drop = nn.Dropout(0.5)  # so that every random number counts
            self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        logits = self.head(self.drop(self.blocks(self.stem(x))))
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


ROWS = torch.randn(96, 6, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 3, (96,), generator=torch.Generator().manual_seed(1))


def hugging_face(folder: Path, probe: Probe | None) -> tuple[nn.Module, list[dict]]:
    from transformers import Trainer, TrainingArguments

    net = Net()
    data = [{"x": x, "labels": int(y)} for x, y in zip(ROWS, CLASSES, strict=True)]
    args = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=3,
        per_device_train_batch_size=16,
        learning_rate=0.01,
        logging_strategy="epoch",
        save_strategy="no",
        report_to=["tensorboard"],
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
    )
    trainer = Trainer(net, args, train_dataset=data)
    if probe is not None:
        from cka_plugin.training.huggingface import CKACallback

        trainer.add_callback(CKACallback(trainer, probe))
    trainer.train()
    return net, trainer.state.log_history


def test_hugging_face_training_is_the_same_and_tensorboard_has_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate")
    pytest.importorskip("tensorboard")
    pytest.importorskip("transformers")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    without, history = hugging_face(tmp_path / "without", None)
    trained, with_figures = hugging_face(tmp_path / "with", Probe({"x": ROWS}))
    for a, b in zip(without.parameters(), trained.parameters(), strict=True):
        assert torch.equal(a, b)
    losses = [row["loss"] for row in with_figures if "loss" in row]
    assert losses == [row["loss"] for row in history if "loss" in row]
    assert len(losses) == 3
    figures = [row for row in with_figures if "cka/start/head" in row]
    assert len(figures) == 3
    assert figures[0]["cka/start/blocks.0"] == pytest.approx(figures[0]["cka/previous/blocks.0"], abs=1e-12)
    assert figures[2]["cka/start/lowest"] < 0.999
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


def lightning_run(folder: Path, probe: Probe | None) -> nn.Module:
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import TensorBoardLogger

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.net(*batch)["loss"]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    callbacks = []
    if probe is not None:
        from cka_plugin.training.lightning import CKACallback

        callbacks.append(CKACallback(probe, part="net"))
    torch.default_generator.manual_seed(0)
    module = Module()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(ROWS, CLASSES), batch_size=16, shuffle=True, generator=None
    )
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=TensorBoardLogger(str(folder)),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, loader)
    return module.net


def test_lightning_training_is_the_same_and_tensorboard_has_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("lightning.pytorch")
    pytest.importorskip("tensorboard")
    without = lightning_run(tmp_path / "without", None)
    trained = lightning_run(tmp_path / "with", Probe({"x": ROWS}))
    for a, b in zip(without.parameters(), trained.parameters(), strict=True):
        assert torch.equal(a, b)
    logged = scalars(tmp_path / "with")
    assert len(logged["cka/start/head"]) == 3
    assert logged["cka/start/blocks.0"][0] == pytest.approx(logged["cka/previous/blocks.0"][0])
    assert logged["cka/start/lowest"][2] < 0.999


# The metric


@pytest.mark.parametrize(("kernel", "estimator"), [("linear", "unbiased"), ("linear", "biased"), ("rbf", "unbiased")])
def test_the_metric_is_minibatch_cka_and_parts_merge(kernel: str, estimator: str) -> None:
    pytest.importorskip("torchmetrics")
    from cka_plugin.training.metric import CKA
    from tests.reference import hsic_0, hsic_1, linear, minibatch_cka, rbf

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
    pytest.importorskip("torchmetrics")
    from cka_plugin.training.metric import CKA

    with pytest.raises(ValueError, match="5 and 6 examples"):
        CKA().update(torch.zeros(5, 2), torch.zeros(6, 2))
    with pytest.raises(ValueError, match="at least 4"):
        CKA().update(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="kernel 'cubic'"):
        CKA(kernel="cubic")


def _worker(rank: int, folder: str) -> None:
    import torch.distributed as dist

    from cka_plugin.training.metric import CKA

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    metric = CKA()
    for i in range(rank, 4, 2):
        metric.update(*_minibatch(i))
    torch.save(metric.compute(), f"{folder}/{rank}.pt")  # torchmetrics syncs in compute
    dist.destroy_process_group()


def _minibatch(i: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(i))
    return x, x[:, :3] + torch.randn(16, 3, generator=torch.Generator().manual_seed(100 + i))


def test_the_metric_adds_up_over_processes(tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics")
    from cka_plugin.training.metric import CKA

    torch.multiprocessing.spawn(_worker, args=(str(tmp_path),), nprocs=2)
    whole = CKA()
    for i in range(4):
        whole.update(*_minibatch(i))
    for rank in range(2):
        assert float(torch.load(tmp_path / f"{rank}.pt")) == pytest.approx(float(whole.compute()), abs=1e-12)
