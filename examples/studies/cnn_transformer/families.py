"""The two architectures of the study, and how a trained network of them is read."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from networks import ResNet

from cka_plugin.sample import CROP_CLASSES

SIZE = 16


def build(family: str) -> nn.Module:
    """A network, untrained: CNN of 9 residual blocks, 8 to 32 channels; ViT of 8 blocks, 40 wide, patches of 4 x 4."""
    if family == "cnn":
        return ResNet(20, 0.5, len(CROP_CLASSES))
    return VisionTransformer(SIZE, 4, num_classes=len(CROP_CLASSES), embed_dim=40, depth=8, num_heads=4, mlp_ratio=2)


def load(folder: Path, name: str) -> nn.Module:
    """A network as `train` left it, in eval mode."""
    net = build(name.split("-")[0])
    net.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return net.eval()
