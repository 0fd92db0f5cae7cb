"""Small networks trained on the sample's digits or crops; each is a folder of configuration and weights.

Of the 797 digits that none was trained on, they get right: narrow 793 (99.5%), wide 792 (99.4%), deep 794 (99.6%),
vit 789 (99.0%). Of the 560 crops: crops-shallow 456 (81.4%), crops-deep 375 (67.0%),
crops-vit 465 (83.0%).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

# Those of digits: ResNets of one family, `wide` and `deep` each unlike `narrow` in one thing, and a Transformer.
MODELS = {
    "narrow": "residual network of 4 stages x 2 blocks, 8 to 32 channels (timm)",
    "wide": "residual network of 4 stages x 2 blocks, 20 to 80 channels (timm)",
    "deep": "residual network of 4 stages x 8 blocks, 8 to 32 channels (timm)",
    "vit": "Vision Transformer of 6 blocks, 64 wide, patches of 4 x 4 (Hugging Face)",
}
# Those of crops: residual networks as for CIFAR that differ in depth alone, and a Transformer.
CROP_MODELS = {
    "crops-shallow": "residual network, 14 layers deep, 16 to 64 channels",
    "crops-deep": "residual network, 56 layers deep, 16 to 64 channels",
    "crops-vit": "Vision Transformer of 6 blocks, 64 wide, patches of 4 x 4",
}


def model(name: str) -> nn.Module:
    """One of the sample's trained networks, on the CPU, float32, in `eval()`.

    They take images (n, 3, 32, 32) as `digits` gives them, those of crops (n, 3, 16, 16) as `crops` does. Weights are
    stored as float16; the accuracies stated were measured with these, loaded as float32.

    Args:
        name: `narrow`, `wide` or `deep`, a `timm.models.resnet.ResNet`, which needs timm; `vit`, a
            `transformers.ViTForImageClassification`, which needs transformers; `crops-shallow`, `crops-deep` or
            `crops-vit`, of timm.

    Raises:
        ValueError: an unknown name.
        ModuleNotFoundError: the model's framework is not installed.

    Example:
        >>> import torch
        >>> model("narrow")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    return load_folder(model_folder(name))


def models(names: Iterable[str] = tuple(MODELS)) -> dict[str, nn.Module]:
    """The networks trained on digits by name, or those that are named: of `MODELS` and `CROP_MODELS`."""
    return {name: model(name) for name in names}


def model_folder(name: str) -> Path:
    """The folder of a model: `config.json` and `model.safetensors`.

    That of `vit` is a Hugging Face folder as `from_pretrained` reads it, image processor and all. timm has no such
    format for a network built from arguments: `config.json` of the others holds the arguments.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> model_folder("vit").name
        'vit'
    """
    if name not in MODELS and name not in CROP_MODELS:
        raise ValueError(f"no sample model is called {name!r}: there are {', '.join([*MODELS, *CROP_MODELS])}")
    return Path(__file__).with_name(name)


def load_folder(folder: Path) -> nn.Module:
    """A network of the sample from a folder as the scripts in `examples` write it: float32, in `eval()`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = _load_transformers(folder) if "model_type" in config else _load_timm(folder, config)
    return network.eval()


def _require(package: str, name: str) -> None:
    if find_spec(package) is None:
        raise ModuleNotFoundError(
            f"the sample model {name!r} needs {package}, which is not installed: pip install {package}", name=package
        )


def build_resnet(arguments: dict[str, Any], pretrained_cfg: dict[str, Any]) -> nn.Module:
    """An untrained `timm.models.resnet.ResNet` of basic blocks for small images: no pooling in the stem.

    Args:
        arguments: of `ResNet`, such as `layers` and `channels`, four of each.
        pretrained_cfg: timm's description of a model's inputs and classes, of which its own tools take the transform.
    """
    from timm.models.resnet import BasicBlock, ResNet

    network = ResNet(BasicBlock, **arguments)
    network.maxpool = nn.Identity()  # 32 pixels would shrink to 1 in the last stage
    network.pretrained_cfg = network.default_cfg = pretrained_cfg
    return network


def build_cifar_resnet(arguments: dict[str, Any], pretrained_cfg: dict[str, Any]) -> nn.Module:
    """A `timm.models.resnet.ResNet` of three stages as He et al. 2016 have it for CIFAR, 6 `blocks` + 2 layers deep."""
    from timm.models.resnet import BasicBlock, ResNet

    layers, classes = [arguments["blocks"]] * 3 + [1], arguments["num_classes"]
    network = ResNet(BasicBlock, layers, classes, stem_type="deep", stem_width=8, channels=[16, 32, 64, 64])
    network.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
    network.maxpool, network.layer4 = nn.Identity(), nn.Identity()
    network.feature_info = network.feature_info[:4]
    network.pretrained_cfg = network.default_cfg = pretrained_cfg
    return network


def build_small_vit(arguments: dict[str, Any], pretrained_cfg: dict[str, Any]) -> nn.Module:
    """An untrained `timm.models.vision_transformer.VisionTransformer`."""
    from timm.models.vision_transformer import VisionTransformer

    network = VisionTransformer(**arguments)
    network.pretrained_cfg = network.default_cfg = pretrained_cfg
    return network


BUILDERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], nn.Module]] = {
    "resnet": build_resnet,
    "cifar_resnet": build_cifar_resnet,
    "small_vit": build_small_vit,
}


def _load_timm(folder: Path, config: dict[str, Any]) -> nn.Module:
    _require("timm", folder.name)
    from safetensors.torch import load_file

    build = BUILDERS[config.get("builder", "resnet")]
    network = build(config["arguments"], config["pretrained_cfg"])
    network.load_state_dict(load_file(folder / "model.safetensors"))  # copied into float32
    return network


def _load_transformers(folder: Path) -> nn.Module:
    _require("transformers", folder.name)
    from transformers import ViTForImageClassification
    from transformers.utils import logging

    # Only from_pretrained reads the file's parameter names in every version: transformers 5 renamed them in memory.
    shows_bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return ViTForImageClassification.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    finally:
        if shows_bar:
            logging.enable_progress_bar()
