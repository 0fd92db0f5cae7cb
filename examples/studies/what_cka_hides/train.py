"""Train the plain ReLU networks: `python examples/studies/what_cka_hides/train.py FOLDER [--seeds 3]`; seconds each.

Sixteen hidden layers of 32 units without norms or shortcuts (`PlainReLU`), trained on 1,000 crops of photographs of 16
pixels. A network leaves `plain-N.safetensors` (float16); those that are there are not trained again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from crops import crops
from networks import PlainReLU

SIZE, N_TRAIN, EPOCHS, BATCH = 16, 1000, 60, 50


def plain() -> PlainReLU:
    """The network, untrained."""
    return PlainReLU(depth=16, width=32, features=3 * SIZE**2)


def load(path: Path) -> PlainReLU:
    """A network as `train` left it, in eval mode."""
    net = plain()
    net.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return net.eval()


def train(seed: int, folder: Path) -> None:
    """SGD with momentum 0.9, rate 0.01 by a cosine, weight decay 1e-4, batches of 50, gradients of at most norm 5."""
    path = folder / f"plain-{seed}.safetensors"
    if path.exists():
        return
    torch.manual_seed(seed)
    net = plain()
    x, y = crops("train", N_TRAIN, SIZE)
    optimiser = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = functional.cross_entropy(net(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
        schedule.step()
    save_file({key: value.half() for key, value in net.state_dict().items()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        train(seed, given.folder)
        x, y = crops("test", 700, SIZE)
        with torch.no_grad():
            right = (load(given.folder / f"plain-{seed}.safetensors")(x).argmax(1) == y).float().mean()
        print(f"plain-{seed}: {right:.1%} of 700 test crops right", flush=True)


if __name__ == "__main__":
    main()
