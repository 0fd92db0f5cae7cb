"""Short trainings with and without the callbacks, in this process or, run as a module, as one rank of several."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cka_plugin.training.probe import Probe

ROWS = torch.randn(96, 6, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 3, (96,), generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """What the Trainer of transformers takes: a loss where there are labels."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(0)
            self.stem = nn.Linear(6, 16)
            self.blocks = nn.Sequential(*[nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(3)])
            self.norm = nn.BatchNorm1d(16)  # whose running statistics a probe in training mode would move
            self.drop = nn.Dropout(0.5)  # so that every random number counts
            self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        logits = self.head(self.drop(self.norm(self.blocks(self.stem(x)))))
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def hugging_face(
    folder: Path, probe: Probe | None, report_to: str = "tensorboard", resume: str | None = None, **options: Any
) -> tuple[nn.Module, list[dict]]:
    """Three shuffled epochs of transformers' Trainer: the network, and what was logged."""
    from transformers import Trainer, TrainingArguments

    net = Net()
    data = [{"x": x, "labels": int(y)} for x, y in zip(ROWS, CLASSES, strict=True)]
    args = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=3,
        per_device_train_batch_size=16,
        learning_rate=0.01,
        logging_strategy="epoch",
        report_to=[report_to],
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
        **{"save_strategy": "no", **options},
    )
    trainer = Trainer(net, args, train_dataset=data)
    if probe is not None:
        from cka_plugin.training.huggingface import CKACallback

        trainer.add_callback(CKACallback(trainer, probe))
    trainer.train(resume_from_checkpoint=resume)
    return net, trainer.state.log_history


def lightning(
    folder: Path,
    probe: Probe | None,
    keep: bool = False,
    resume: str | None = None,
    network: type = Net,
    **options: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """Three shuffled epochs of Lightning: the network, and what callbacks can monitor."""
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.net(*batch)["loss"]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    callbacks: list[Any] = []
    if keep:
        callbacks.append(ModelCheckpoint(dirpath=folder, filename="{epoch}", save_top_k=-1))
    if probe is not None:
        from cka_plugin.training.lightning import CKACallback

        callbacks.append(CKACallback(probe, part="net"))
    torch.default_generator.manual_seed(0)
    module = Module()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(ROWS, CLASSES), batch_size=16, shuffle=True)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=[TensorBoardLogger(str(folder)), CSVLogger(str(folder))],
        callbacks=callbacks,
        enable_checkpointing=keep,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )
    trainer.fit(module, loader, ckpt_path=resume)
    return module.net, dict(trainer.callback_metrics)


def minibatch(i: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two streams of activations that have something in common."""
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(i))
    return x, x[:, :3] + torch.randn(16, 3, generator=torch.Generator().manual_seed(100 + i))


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Bit by bit, running statistics included."""
    return all(torch.equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


def metric_without_torchmetrics() -> Any:
    """The metric as it is where torchmetrics is not installed."""
    from importlib import util
    from unittest.mock import patch

    found = util.find_spec
    with patch.object(util, "find_spec", lambda name, *rest: None if name == "torchmetrics" else found(name, *rest)):
        spec = found("cka_plugin.training.metric")
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.CKA()


def as_rank(folder: Path) -> None:
    """Both trainings on this rank of a DDP run, and the metric over all ranks; what came out, as JSON."""
    import torch.distributed as dist

    from cka_plugin.training.metric import CKA

    torch.set_num_threads(1)
    plain, _ = hugging_face(folder / "hf", None, "none")
    net, history = hugging_face(folder / "hf", Probe({"x": ROWS}), "none")
    rank, size = dist.get_rank(), dist.get_world_size()
    metric, bare = CKA(), metric_without_torchmetrics()
    for i in range(rank, 4, size):
        metric.update(*minibatch(i))
        bare.update(*minibatch(i))
    out = {
        "ranks": size,
        "hugging face: same weights": same_weights(plain, net),
        "hugging face: figures": [row for row in history if "cka/start/head" in row],
        "metric": float(metric.compute()),
        "metric without torchmetrics": float(bare.compute()),
        "of this rank alone": [float(bare._alone()), float(metric.xy)],
    }
    ddp = {"devices": size, "strategy": "ddp"}
    plain, _ = lightning(folder / "lightning-plain", None, **ddp)
    net, monitored = lightning(folder / "lightning", Probe({"x": ROWS}), **ddp)
    out["lightning: same weights"] = same_weights(plain, net)
    out["lightning: monitored"] = float(monitored["cka/start/lowest"]) if rank == 0 else None
    (folder / f"{rank}.json").write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    as_rank(Path(sys.argv[1]))
