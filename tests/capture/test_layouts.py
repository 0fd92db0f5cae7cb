"""Convolutional networks run with the channels last; nobody notices but by the clock."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.capture.inputs import own_copy
from cka_plugin.capture.layouts import gains_from_channels_last, weights_channels_last

CPU = torch.device("cpu")


SEEN: list[bool] = []  # no attribute: what a pass does to these is undone


class Network(nn.Module):
    """Wide enough to be run channels last; records how its inputs were laid out."""

    def __init__(self, insists: bool = False) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *[nn.Sequential(nn.Conv2d(3 if i == 0 else 160, 160, 3, padding=1), nn.ReLU()) for i in range(4)]
        )
        self.depthwise = nn.Conv2d(160, 160, 3, groups=160)
        self.head = nn.Linear(160, 5)
        self.insists = insists
        SEEN.clear()

    def forward(self, x: Tensor) -> Tensor:
        SEEN.append(x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous())
        x = self.depthwise(self.blocks(x))
        if self.insists:
            x.view(len(x), -1)  # fails where the channels are last
        return self.head(x.mean((2, 3)))


@pytest.fixture
def data() -> Tensor:
    return torch.randn(24, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_a_convolutional_network_runs_channels_last_and_comes_back_with_its_own_tensors(data: Tensor) -> None:
    torch.manual_seed(0)
    network = Network()
    before = {
        name: (tensor.data_ptr(), tensor.stride(), tensor.clone()) for name, tensor in network.state_dict().items()
    }
    cka.compare({"net": network}, data=data, batch_size=8, progress=False)
    assert len(SEEN) >= 3
    assert all(SEEN)
    for name, tensor in network.state_dict().items():
        pointer, stride, values = before[name]
        assert (tensor.data_ptr(), tensor.stride()) == (pointer, stride), name
        assert torch.equal(tensor, values), name


def test_the_numbers_are_those_of_the_default_format_up_to_rounding(data: Tensor, monkeypatch) -> None:
    torch.manual_seed(0)
    network = Network()
    last = cka.compare({"net": network}, data=data, batch_size=8, progress=False).matrix("net")
    monkeypatch.setattr("cka_plugin.capture.layouts.LEAST_WEIGHTS", 10**12)
    plain = cka.compare({"net": network}, data=data, batch_size=8, progress=False).matrix("net")
    assert SEEN[-1] is False
    assert np.abs(last - plain).max() < 1e-5


def test_a_network_that_insists_on_its_strides_runs_as_it_was_lent(data: Tensor) -> None:
    torch.manual_seed(0)
    network = Network(insists=True)
    comparison = cka.compare({"net": network}, data=data, batch_size=8, progress=False)
    assert SEEN[0] is True
    assert SEEN[1:] == [False] * len(SEEN[1:])
    assert len(SEEN) >= 4
    assert np.isfinite(comparison.matrix("net")).all()


def test_a_failure_of_the_network_itself_is_still_an_error(data: Tensor) -> None:
    network = Network()
    network.head = nn.Linear(7, 5)
    with pytest.raises(RuntimeError, match="net failed on a minibatch of float32"):
        cka.compare({"net": network}, data=data, batch_size=8, progress=False)


def test_transformers_small_networks_and_other_devices_keep_their_format() -> None:
    assert gains_from_channels_last(Network(), CPU)
    assert not gains_from_channels_last(Network(), torch.device("cuda"))
    assert gains_from_channels_last(Network(), torch.device("cuda"), half=True)
    assert not gains_from_channels_last(nn.Sequential(nn.Conv2d(3, 768, 16, 16), nn.Linear(768, 768)), CPU)
    assert not gains_from_channels_last(nn.Sequential(*[nn.Conv2d(8, 8, 3) for _ in range(9)]), CPU)


def test_one_channel_weights_get_strides_that_say_channels_last() -> None:
    """`contiguous` leaves them, both formats being the same bytes; convolutions then choose the slow way."""
    network = Network()
    with weights_channels_last(network):
        assert network.depthwise.weight.stride() == (9, 1, 3, 1)
    assert network.depthwise.weight.stride() == (9, 9, 3, 1)


def test_only_images_among_the_inputs_change_their_layout() -> None:
    given = {"pixel_values": torch.zeros(2, 3, 4, 4), "input_ids": torch.zeros(2, 5, dtype=torch.int64)}
    laid_out = own_copy(given, channels_last=True)
    assert laid_out["pixel_values"].is_contiguous(memory_format=torch.channels_last)
    assert laid_out["input_ids"].stride() == given["input_ids"].stride()
    assert all(laid_out[name].data_ptr() != given[name].data_ptr() for name in given)
    one_channel = torch.rand(2, 1, 4, 4, requires_grad=True)  # whose strides tell no format, and stay
    copied, (in_a_list,) = own_copy((one_channel, [given["pixel_values"]]), channels_last=True)
    assert copied.stride() == one_channel.stride()
    assert copied.requires_grad
    assert torch.equal(copied, one_channel)
    assert in_a_list.is_contiguous()
