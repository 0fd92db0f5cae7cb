"""What is remembered of a model: its family by its framework's word, and its parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cka_plugin.models.description import described


@pytest.mark.parametrize(
    ("build", "family"),
    [
        (lambda: pytest.importorskip("timm").create_model("test_vit"), "vision_transformer"),
        (lambda: pytest.importorskip("torchvision").models.resnet18(), "resnet"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), "Sequential"),
    ],
)
def test_the_family_is_the_frameworks_own_word(build: object, family: str) -> None:
    model = build()  # type: ignore[operator]
    assert described(model) == {"family": family, "parameters": sum(p.numel() for p in model.parameters())}


def test_lazy_parameters_have_no_number_yet() -> None:
    with torch.no_grad():
        assert described(nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1)))["parameters"] == 4
