"""Make what the package's demo shows: crops of photographs, two residual networks and a Vision Transformer.

    pip install ".[all]" scikit-image
    python examples/studies/photographs/train_sample.py FOLDER                # trains in FOLDER; 2 minutes of a core
    python examples/studies/photographs/train_sample.py FOLDER --out PACKAGE  # writes elsewhere than in the package

All three are trained on the same 500 crops. The residual networks are settings of `train.py`, which says how they are
trained; the Transformer takes AdamW, a one-cycle rate of at most 0.001 and 80 epochs. The seeds are 0 and were fixed
in advance, but that of the deep network: see SEED.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))
from crops import CLASSES, MEAN, STD, crops
from train import Settings, augmented, train

from cka_plugin import sample
from cka_plugin.sample.zoo import build_small_vit

N_TRAIN, N_TEST, SIZE = 500, 560, 16
SEED = 1  # of the deep network, chosen for its large block; on these crops seeds 0, 2 and 3 have one too
RESIDUAL = {
    "crops-shallow": Settings(depth=14, n_train=N_TRAIN, epochs=30, size=SIZE),
    "crops-deep": Settings(depth=56, n_train=N_TRAIN, epochs=30, size=SIZE, seed=SEED),
}
VIT = {
    "img_size": SIZE,
    "patch_size": 4,
    "embed_dim": 64,
    "depth": 6,
    "num_heads": 4,
    "mlp_ratio": 2,
    "num_classes": len(CLASSES),
}
EPOCHS, BATCH, RATE = 80, 64, 1e-3


def described(name: str) -> dict[str, Any]:
    """What timm's tools want to know of a network: with this, they prepare pictures as `crops` does."""
    return {
        "architecture": name,
        "tag": "crops",
        "input_size": [3, SIZE, SIZE],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "num_classes": len(CLASSES),
        "label_names": CLASSES,
        "license": "apache-2.0",
    }


def train_vit() -> nn.Module:
    """The Transformer, trained from random weights."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = build_small_vit(VIT, described("crops-vit")).train()
    x, y = crops("train", N_TRAIN, SIZE)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.05)
    steps = EPOCHS * -(-N_TRAIN // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    for _ in range(EPOCHS):
        for rows in torch.randperm(N_TRAIN, generator=generator).split(BATCH):
            loss = functional.cross_entropy(network(augmented(x[rows], generator, flips=True)), y[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return network.eval()


def write(folder: Path, builder: str, arguments: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    """A network as `sample.model` reads it, its weights as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    config = {"builder": builder, "arguments": arguments, "pretrained_cfg": described(folder.name)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_crops(path: Path) -> None:
    """The first test crops of each photograph that are not the same picture twice (sky), as bytes."""
    x, y = crops("test", 2 * N_TEST, SIZE)
    pixels = (x * STD + MEAN).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    each = N_TEST // len(CLASSES)
    distinct = [list({p.tobytes(): p for p in pixels[y == label]}.values())[:each] for label in range(len(CLASSES))]
    np.savez_compressed(path, pixels=np.stack([p for turn in zip(*distinct, strict=True) for p in turn]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(sample.__file__).parent)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    write_crops(given.out / "crops.npz")
    for name, settings in RESIDUAL.items():
        train(settings, given.folder)
        state = load_file(given.folder / f"{settings.name}.safetensors")
        arguments = {"blocks": (settings.depth - 2) // 6, "num_classes": len(CLASSES)}
        write(given.out / name, "cifar_resnet", arguments, state)
    kept = given.folder / "crops-vit.safetensors"
    if not kept.exists():
        save_file(train_vit().state_dict(), kept)
    write(given.out / "crops-vit", "small_vit", VIT, load_file(kept))
    images, labels, _ = sample.crops()
    for name in sample.CROP_MODELS:
        with torch.inference_mode():
            right = int((sample.model(name)(images).argmax(1).numpy() == labels).sum())
        print(f"{name}: {right} of {N_TEST} crops ({right / N_TEST:.1%})")


if __name__ == "__main__":
    main()
