"""Make what `cka_plugin.sample` holds: the digits with their split, and four networks trained on the training digits.

    pip install ".[all]" scikit-learn
    python examples/train_demo_zoo.py                # everything; about 15 minutes of one core
    python examples/train_demo_zoo.py narrow vit     # only these, on the digits that are there
    python examples/train_demo_zoo.py --out FOLDER   # somewhere else than in the package

Training sees the 1,000 training digits and no others; the number of epochs and every setting below is fixed in advance,
and the held-out digits are looked at once, after the last epoch, with the weights as they were stored. The same seed
gives the same weights on the same machine (one thread, deterministic algorithms).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from cka_plugin import sample
from cka_plugin.sample.zoo import build_resnet, load_folder

PACKAGE = Path(sample.__file__).parent
SPLIT_SEED = 0
TRAINING_EXAMPLES = 1000
BATCH_SIZE = 50


@dataclass(frozen=True)
class Recipe:
    """How one network is made.

    Attributes:
        config: of its architecture, for timm's `ResNet` or transformers' `ViTConfig`.
        epochs: passes over the training digits.
        learning_rate: the highest of a one-cycle schedule.
        weight_decay: of AdamW.
        seed: of weights, order and augmentation.
    """

    config: dict[str, Any]
    epochs: int
    learning_rate: float
    weight_decay: float = 0.05
    seed: int = 0


def resnet(blocks: int, width: int) -> dict[str, Any]:
    """Arguments of timm's ResNet: four stages of 16 x 16 to 2 x 2 pixels after a stem of three 3 x 3 convolutions."""
    channels = [width, 2 * width, 3 * width, 4 * width]
    return {
        "layers": [blocks] * 4,
        "channels": channels,
        "stem_type": "deep",
        "stem_width": width // 2,
        "num_classes": 10,
    }


VIT = {
    "image_size": 32,
    "patch_size": 4,
    "hidden_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}

RECIPES = {
    "narrow": Recipe(resnet(blocks=2, width=8), epochs=40, learning_rate=5e-3),
    "wide": Recipe(resnet(blocks=2, width=20), epochs=40, learning_rate=5e-3),
    "deep": Recipe(resnet(blocks=8, width=8), epochs=40, learning_rate=5e-3),
    "vit": Recipe(VIT, epochs=100, learning_rate=1e-3),
}


def write_digits(path: Path) -> None:
    """scikit-learn's digits with a split that is random within classes."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    everything = np.arange(len(labels))
    _, held_out = train_test_split(everything, train_size=TRAINING_EXAMPLES, stratify=labels, random_state=SPLIT_SEED)
    np.savez_compressed(
        path,
        images=images.reshape(-1, 8, 8).astype(np.uint8),
        labels=labels.astype(np.uint8),
        held_out=np.isin(everything, held_out).astype(np.uint8),
    )


def build(name: str) -> nn.Module:
    """The untrained network, with what its framework says of inputs and classes."""
    config = RECIPES[name].config
    if name == "vit":
        from transformers import ViTConfig, ViTForImageClassification

        names = dict(enumerate(sample.CLASS_NAMES))
        return ViTForImageClassification(
            ViTConfig(**config, id2label=names, label2id={label: index for index, label in names.items()})
        )
    return build_resnet(config, timm_description(name))


def timm_description(name: str) -> dict[str, Any]:
    """What timm's tools want to know of a network: with this, they prepare `digit_images` as `digits` are."""
    return {
        "architecture": name,
        "tag": "digits",
        "input_size": [3, 32, 32],
        "pool_size": [2, 2],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": 10,
        "label_names": sample.CLASS_NAMES,
        "first_conv": "conv1.0",
        "classifier": "fc",
        "license": "apache-2.0",
    }


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image turned by up to 12 degrees, scaled by up to 12% each way, and shifted by up to 4 of its 32 pixels."""

    def uniform(bound: float) -> Tensor:
        return (2 * torch.rand(len(images), generator=generator) - 1) * bound

    angle, wide, high = uniform(math.radians(12)), 1 + uniform(0.12), 1 + uniform(0.12)
    right, down = uniform(4 / 16), uniform(4 / 16)
    rows = [wide * angle.cos(), -high * angle.sin(), right, wide * angle.sin(), high * angle.cos(), down]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1  # what comes in from outside is paper, -1


def scores(network: nn.Module, images: Tensor) -> Tensor:
    """The logits (n, 10), from timm's tensor or transformers' output."""
    output = network(images)
    return output if isinstance(output, Tensor) else output.logits


def train(name: str, images: Tensor, labels: Tensor) -> nn.Module:
    """A network trained from random weights on `images` (n, 3, 32, 32) and `labels` (n,)."""
    recipe = RECIPES[name]
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    network = build(name).train()
    steps = len(images) // BATCH_SIZE
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1
    )
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator)[: steps * BATCH_SIZE]
        total = 0.0
        for chosen in order.split(BATCH_SIZE):
            loss = F.cross_entropy(scores(network, augment(images[chosen], generator)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() / steps
        if (epoch + 1) % 10 == 0:
            print(f"{name}: epoch {epoch + 1} of {recipe.epochs}, training loss {total:.4f}", flush=True)
    return network.eval()


def save(name: str, network: nn.Module, folder: Path) -> None:
    """The network as a local folder of its framework, floating-point weights as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    if name == "vit":
        from transformers import ViTImageProcessor

        network.half().save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        write_json(folder / "config.json", config | {"dtype": "float32"})  # what to load them as
        half = [0.5, 0.5, 0.5]
        processor = ViTImageProcessor(size={"height": 32, "width": 32}, resample=2, image_mean=half, image_std=half)
        processor.save_pretrained(folder)
        return
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = {"class": "timm.models.resnet.ResNet", "block": "timm.models.resnet.BasicBlock", "stem_pool": None}
    details = {"arguments": RECIPES[name].config, "pretrained_cfg": timm_description(name)}
    write_json(folder / "config.json", config | details)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@torch.inference_mode()
def accuracy(network: nn.Module, split: str) -> float:
    images, labels, _ = sample.digits(split)
    predictions = torch.cat([scores(network, part).argmax(dim=1) for part in images.split(100)])
    return (predictions.numpy() == labels).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}; none: all, and the digits")
    parser.add_argument("--out", type=Path, default=PACKAGE, help="the folder to write to")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(RECIPES))
    if unknown:
        parser.error(f"no network is called {', '.join(unknown)}: there are {', '.join(RECIPES)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.names:
        write_digits(options.out / "digits.npz")
    images, labels, _ = sample.digits("train")
    for name in options.names or RECIPES:
        start = time.process_time()
        network = train(name, images, torch.from_numpy(labels))
        save(name, network, options.out / name)
        stored = load_folder(options.out / name)
        seconds = time.process_time() - start
        parameters = sum(parameter.numel() for parameter in stored.parameters())
        size = (options.out / name / "model.safetensors").stat().st_size
        print(f"{name}: held-out accuracy {accuracy(stored, 'test'):.4f}, training {accuracy(stored, 'train'):.4f}")
        print(f"{name}: {parameters:,} parameters, {size:,} bytes, {seconds:.0f} s of one core", flush=True)


if __name__ == "__main__":
    main()
