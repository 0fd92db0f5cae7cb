"""Reordered weights: the same bits as channels last, only where they can be, and nothing of it stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cka_plugin.capture import packed_weights
from cka_plugin.capture.packed_weights import weights_packed

LAST = torch.channels_last


class Insisting(nn.Conv2d):
    """A convolution with a forward pass of its own, as timm's with padding as in TensorFlow."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(nn.functional.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


def images(n: int, pixels: int) -> Tensor:
    return torch.randn(n, 128, pixels, pixels, generator=torch.Generator().manual_seed(0)).to(memory_format=LAST)


def packed(model: nn.Module) -> list[bool]:
    made = [vars(module).get("_conv_forward") for module in model.modules() if isinstance(module, nn.Conv2d)]
    return [one is not None and one._weight is not None for one in made]


@pytest.fixture
def needs_onednn() -> None:
    if not packed_weights._available():
        pytest.skip("this PyTorch has no oneDNN")


@pytest.mark.usefixtures("needs_onednn")
@pytest.mark.parametrize("options", [{"padding": 1}, {"stride": 2, "bias": False}, {"groups": 2, "dilation": 1}])
def test_packed_weights_give_what_the_weights_give(options: dict[str, int]) -> None:
    convolution = nn.Conv2d(128, 192, 3, **options)
    x, short = images(16, 6), images(5, 6)
    with torch.inference_mode():
        expected = convolution(x), convolution(short)
        with weights_packed(convolution):
            first, second, last = convolution(x), convolution(x), convolution(short)
            assert packed(convolution) == [True]
    assert torch.equal(first, second)  # whichever is first: shards and resumed runs start anywhere
    assert torch.allclose(second, expected[0], atol=1e-5)
    assert torch.allclose(last, expected[1], atol=1e-5)
    assert "_conv_forward" not in vars(convolution)


@pytest.mark.usefixtures("needs_onednn")
def test_large_maps_and_small_weights_are_left_alone() -> None:
    with torch.inference_mode():
        large = nn.Conv2d(128, 128, 3, padding=1)
        with weights_packed(large):
            large(images(16, 8))
            assert packed(large) == [False]
        small = nn.Conv2d(128, 8, 1)
        with weights_packed(small):
            assert "_conv_forward" not in vars(small)


@pytest.mark.usefixtures("needs_onednn")
def test_other_inputs_and_other_convolutions_run_as_ever() -> None:
    plain, double = nn.Conv2d(128, 128, 3), nn.Conv2d(128, 128, 3).double()
    same, insisting = nn.Conv2d(128, 128, 3, padding="same"), Insisting(128, 128, 3)
    model = nn.ModuleList([plain, double, same, insisting])
    x = images(4, 5)
    with torch.inference_mode(), weights_packed(model):
        assert [("_conv_forward" in vars(module)) for module in model] == [True, False, False, False]
        plain(x)
        assert torch.equal(plain(x.contiguous()), nn.functional.conv2d(x.contiguous(), plain.weight, plain.bias))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert plain(x).dtype == torch.bfloat16
        assert double(x.double()).dtype == torch.float64


@pytest.mark.usefixtures("needs_onednn")
def test_a_failure_within_leaves_nothing_behind() -> None:
    convolution = nn.Conv2d(128, 128, 3)
    with pytest.raises(RuntimeError, match="channels"), weights_packed(convolution):
        convolution(torch.zeros(2, 3, 5, 5))
    assert "_conv_forward" not in vars(convolution)


def test_without_onednn_nothing_happens(monkeypatch) -> None:
    monkeypatch.setattr(packed_weights, "_available", lambda: False)
    convolution = nn.Conv2d(128, 128, 3)
    with weights_packed(convolution):
        assert "_conv_forward" not in vars(convolution)
