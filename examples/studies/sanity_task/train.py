"""Train the ten networks of the study: `python examples/studies/sanity_task/train.py FOLDER [--seeds 10]`.

Each is trained on 2,000 crops of photographs with shifts and flips. A network leaves `seed-N.safetensors` (float16) and
its accuracy in `seed-N.json`; those that are there are not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
sys.path.insert(0, str(Path(__file__).parent))
from crops import crops
from tiny_ten import SIZE, TinyTen, load

N_TRAIN, EPOCHS, BATCH = 2000, 30, 100


def moved(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shifted by up to 2 pixels, and half of them mirrored."""
    padded = functional.pad(x, (2, 2, 2, 2), mode="reflect")
    down, right = torch.randint(0, 5, (2,), generator=generator).tolist()
    x = padded[:, :, down : down + SIZE, right : right + SIZE]
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(3), x)


def train(seed: int, folder: Path) -> None:
    """SGD with momentum 0.9, rate 0.05 by a cosine, weight decay 5e-4, batches of 100."""
    path = folder / f"seed-{seed}.safetensors"
    if path.with_suffix(".json").exists():
        return
    torch.manual_seed(seed)
    net, generator = TinyTen(), torch.Generator().manual_seed(seed)
    x, y = crops("train", N_TRAIN, SIZE)
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    began = time.process_time()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = functional.cross_entropy(net(moved(x[rows], generator)), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    seconds = round(time.process_time() - began)
    save_file({key: v.half() if v.is_floating_point() else v for key, v in net.state_dict().items()}, path)
    net, (x, y) = load(path), crops("test", 2100, SIZE)
    with torch.no_grad():
        right = float((net(x).argmax(1) == y).float().mean())
    path.with_suffix(".json").write_text(json.dumps({"seed": seed, "test": right, "seconds": seconds}) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        train(seed, given.folder)
        print((given.folder / f"seed-{seed}.json").read_text("utf-8").strip(), flush=True)


if __name__ == "__main__":
    main()
