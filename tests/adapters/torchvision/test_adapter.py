"""torchvision's models behind the common interface: whose they are, what is said of them."""

from __future__ import annotations

from torch import nn
from torchvision import models as tv

from cka_plugin.adapters import adapter_of
from tests.support.torchvision_models import (
    ADAPTER,
    bare,
    names,
)


def test_blocks_of_torchvision_in_a_network_of_ones_own_are_not_taken_for_a_model() -> None:
    model = nn.Sequential(*[tv.resnet.BasicBlock(8, 8) for _ in range(2)])
    assert adapter_of(model).name == "generic"
    assert names(model) == ["blocks.0", "blocks.1"]


def test_describing_says_the_family_and_the_number_of_blocks() -> None:
    assert ADAPTER.describe(bare("vgg11")) == "VGG as torchvision's VGG: 8 blocks in 5 stages"
    assert ADAPTER.describe(bare("vit_b_32")) == "VisionTransformer as torchvision's VisionTransformer: 12 blocks"
