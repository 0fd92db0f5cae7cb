"""Train the networks of the studies, by families: `python examples/studies/photographs/train.py OUT [FAMILY ...]`.

Each network leaves `NAME.safetensors` (weights as float16), `NAME.json` (settings, accuracies) and
`NAME.checkpoint.pt` while it is being trained, from which a run that was stopped goes on. Half an hour of one
core in all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler

sys.path.insert(0, str(Path(__file__).parent))
from crops import crops
from networks import PlainReLU, ResNet

from cka_plugin import sample
from cka_plugin.sample.zoo import build_small_vit

BATCH = 128


@dataclass(frozen=True)
class Settings:
    """One network: what it is, and what it is trained on."""

    kind: str = "residual"  # residual, plain (without shortcuts), mlp, vit
    depth: int = 14
    width: int = 1
    data: str = "crops"  # crops or digits
    n_train: int = 1000
    epochs: int = 20
    size: int = 24
    seed: int = 0

    @property
    def name(self) -> str:
        """Such as `residual-d56-w1-crops1000-e40-s0`."""
        where = f"{self.data}{self.n_train}" + ("" if self.size == 24 else f"x{self.size}")
        return f"{self.kind}-d{self.depth}-w{self.width}-{where}-e{self.epochs}-s{self.seed}"


def examples(settings: Settings, split: str, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of one split."""
    if settings.data == "crops":
        return crops(split, n, settings.size)
    x, y, _ = sample.digits(split)
    x = functional.interpolate(x, settings.size, mode="bilinear", antialias=True)
    return x[:n], torch.as_tensor(y)[:n]


def build(settings: Settings) -> nn.Module:
    """The network, untrained."""
    torch.manual_seed(settings.seed)
    classes = 14 if settings.data == "crops" else 10
    if settings.kind == "vit":
        arguments = {
            "img_size": settings.size,
            "patch_size": 4,
            "embed_dim": 64 * settings.width,
            "depth": settings.depth,
        }
        return build_small_vit({**arguments, "num_heads": 4, "mlp_ratio": 2, "num_classes": classes}, {})
    if settings.kind == "mlp":
        return PlainReLU(settings.depth, 256 * settings.width, 3 * settings.size**2, classes)
    return ResNet(settings.depth, settings.width, classes, settings.kind == "residual")


def load(folder: Path, settings: Settings) -> nn.Module:
    """A network as `train` left it, in eval mode."""
    net = build(settings)
    state = load_file(folder / f"{settings.name}.safetensors")
    net.load_state_dict({key: value.to(net.state_dict()[key].dtype) for key, value in state.items()})
    return net.eval()


def augmented(x: torch.Tensor, generator: torch.Generator, flips: bool) -> torch.Tensor:
    """Shifted by up to 2 pixels, and half of them mirrored where that leaves the class."""
    padded = functional.pad(x, (2, 2, 2, 2), mode="reflect")
    dx, dy = torch.randint(0, 5, (2,), generator=generator).tolist()
    x = padded[:, :, dy : dy + x.shape[2], dx : dx + x.shape[3]]
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(3), x) if flips else x


def optimiser_of(settings: Settings, net: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler, float]:
    """The optimiser, the schedule of its rate (the Transformer's moves at every step) and where gradients are clipped.

    SGD with momentum 0.9 and a rate of 0.1 (mlp: 0.01) by a cosine over the epochs; the Transformer takes AdamW and a
    one-cycle rate.
    """
    if settings.kind == "vit":
        adam = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.05)
        return adam, torch.optim.lr_scheduler.OneCycleLR(adam, 1e-3, settings.epochs * steps, pct_start=0.15), 1.0
    rate = 0.1 if settings.kind != "mlp" else 0.01
    sgd = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=1e-4, nesterov=True)
    return sgd, torch.optim.lr_scheduler.CosineAnnealingLR(sgd, settings.epochs), 5.0


def train(settings: Settings, folder: Path) -> None:
    """Train one network unless it is there, in batches of 128 (the Transformer: 64)."""
    done = folder / f"{settings.name}.json"
    if done.exists():
        return
    net, vit = build(settings), settings.kind == "vit"
    batch = 64 if vit else BATCH
    x, y = examples(settings, "train", settings.n_train)
    optimiser, schedule, clip = optimiser_of(settings, net, -(-len(x) // batch))
    generator = torch.Generator().manual_seed(settings.seed)
    kept, start, seconds = folder / f"{settings.name}.checkpoint.pt", 0, 0.0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        start, seconds = state["epoch"], state["seconds"]
    for epoch in range(start, settings.epochs):
        began = time.process_time()
        net.train()
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            if len(rows) < 2:
                continue
            inputs = augmented(x[rows], generator, settings.data == "crops")
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.width >= 4):  # takes half as long
                loss = functional.cross_entropy(net(inputs), y[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimiser.step()
            if vit:
                schedule.step()
        if not vit:
            schedule.step()
        seconds += time.process_time() - began
        state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
        state |= {"generator": generator.get_state(), "epoch": epoch + 1, "seconds": seconds}
        torch.save(state, kept)
    save_file(
        {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()},
        folder / f"{settings.name}.safetensors",
    )
    net = load(folder, settings)
    accuracies = {split: accuracy(net, *examples(settings, split, 700)) for split in ("train", "test")}
    done.write_text(json.dumps({**asdict(settings), **accuracies, "seconds": round(seconds)}), encoding="utf-8")
    kept.unlink()


@torch.no_grad()
def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of examples that are told right."""
    return float(torch.cat([net(part).argmax(1) for part in x.split(BATCH)]).eq(y).float().mean())


def seeds(of: range, **settings: Any) -> list[Settings]:
    """One setting with several seeds; residual networks on crops of 16 pixels unless told otherwise."""
    return [Settings(**{"size": 16, **settings, "seed": seed}) for seed in of]


DEEP = seeds(range(5), depth=56, n_train=500, epochs=30)
FAMILIES = {
    "depth": [  # as many steps each; fewer crops for shallow networks, so that accuracies are about equal
        *seeds(range(3), depth=8, n_train=125, epochs=120),
        *seeds(range(5), depth=14, n_train=200, epochs=75),
        *seeds(range(3), depth=38, n_train=350, epochs=43),
        *DEEP,
    ],
    "same crops": [  # fewer epochs for shallow networks instead
        *seeds(range(5), depth=14, n_train=500, epochs=11),
        *seeds(range(3), depth=38, n_train=500, epochs=20),
        *DEEP,
    ],
    "same training": [  # the same crops and epochs: the deep ones are far less accurate
        *seeds(range(3), depth=14, n_train=250, epochs=30),
        *seeds(range(4), depth=110, n_train=250, epochs=30),
    ],
    "width": [s for width in (1, 2, 4, 8) for s in seeds(range(3), depth=14, width=width, n_train=250, epochs=30)],
    "data": [
        *seeds(range(3), depth=38, n_train=250, epochs=60),
        *seeds(range(3), depth=38, n_train=350, epochs=43),
        *seeds(range(3), depth=38, n_train=4000, epochs=6),
    ],
    "digits": [
        *seeds(range(3), depth=14, data="digits", n_train=500, epochs=30),
        *seeds(range(3), depth=56, data="digits", n_train=500, epochs=30),
    ],
    "wide and deep": [*seeds(range(5), depth=14, width=4, n_train=500, epochs=13), *DEEP],
    "cnn and transformer": [
        *seeds(range(7), depth=14, n_train=500, epochs=30),
        *seeds(range(7), kind="vit", depth=6, n_train=500, epochs=32),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("families", nargs="*", help=f"of {', '.join(FAMILIES)}; all by default")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    for family in given.families or FAMILIES:
        for settings in FAMILIES[family]:
            train(settings, given.out)
            print((given.out / f"{settings.name}.json").read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
