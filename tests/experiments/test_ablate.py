"""Ablation: a block that does nothing has no effect, shortcuts are told from what is none, the model is left alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.analysis.ablation import ablation_effects
from cka_plugin.experiments.shortcuts import silenced
from tests.support.nets import ConvNet, Repeats, images

LABELS = torch.arange(48) % 5


class PostNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)  # of what is normed already, a plain norm is the identity

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.branch(x).relu())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x).tanh()


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).relu()


class Widening(nn.Module):
    """A shortcut without a path of its own: the input in the first features of a wider output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + torch.cat([x, torch.zeros_like(x)], 1)


def chain(*blocks: nn.Module, width: int = 6) -> nn.Module:
    net = nn.Module()
    net.stem, net.blocks, net.head = nn.Linear(6, 6), nn.ModuleList(blocks), nn.Linear(width, 5)

    def forward(x: Tensor) -> Tensor:
        x = net.stem(x)
        for block in net.blocks:
            x = block(x)
        return net.head(x)

    net.forward = forward
    return net


def test_a_block_that_does_nothing_has_no_effect_and_one_that_does_changes_predictions() -> None:
    net = ConvNet(seed=3)
    nn.init.zeros_(net.blocks[1].bn2.weight)
    nn.init.zeros_(net.blocks[1].bn2.bias)
    found = cka.ablate({"net": net}, images(48), LABELS, progress=False)
    idle = found.blocks[1]
    assert (idle.block, idle.difference, idle.churn, idle.p) == ("blocks.1", 0.0, 0.0, 1.0)
    assert found.blocks[2].churn > 0


def test_predictions_without_a_block_are_those_of_the_network_with_its_shortcut_in_place() -> None:
    net, x = ConvNet(seed=3).eval(), images(48)
    found = cka.ablate(net, x, LABELS, progress=False)
    for position, row in enumerate(found.blocks):
        short = ConvNet(seed=3).eval()
        short.load_state_dict(net.state_dict())
        short.blocks[position] = nn.ReLU()  # the activation follows the addition
        with torch.no_grad():
            predicted, whole = short(x).argmax(1), net(x).argmax(1)
        assert row.accuracy == pytest.approx(float((predicted == LABELS).float().mean()))
        assert row.churn == pytest.approx(float((predicted != whole).float().mean()))
    assert found.blocks[0].shortcut == "identity and activation"  # the stem gives negative numbers too
    assert {row.shortcut for row in found.blocks[1:]} == {"identity"}


def test_blocks_without_a_shortcut_are_listed_with_the_reason() -> None:
    torch.manual_seed(0)
    x = torch.randn(48, 6)
    found = cka.ablate(chain(Plain(), Plain(), Plain()), x, LABELS, progress=False)
    assert found.blocks == []
    assert all("no shortcut" in kept.reason for kept in found.kept)
    widening = cka.ablate(chain(Widening(6), Widening(12), Widening(24), width=48), x, LABELS, progress=False)
    assert "(6,) becomes (12,)" in widening.kept[0].reason


def test_a_normalisation_after_the_addition_stays() -> None:
    torch.manual_seed(0)
    found = cka.ablate(chain(PostNorm(), PostNorm(), PostNorm()), torch.randn(48, 6), LABELS, progress=False)
    assert [row.shortcut for row in found.blocks] == ["identity and norm"] * 3


def test_the_downsample_path_of_a_resnet_stays_with_its_activation() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=5).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
    x = images(48, size=32)
    found = cka.ablate(net, x, LABELS, batch_size=20, progress=False)
    assert [row.shortcut for row in found.blocks] == ["identity"] + ["downsample path"] * 3
    block = net.layer2[0]
    with torch.no_grad():
        whole = net(x).argmax(1)
        block.forward = lambda y: block.act2(block.downsample(y))
        predicted = net(x).argmax(1)
    assert found.blocks[1].churn == pytest.approx(float((predicted != whole).float().mean()))


def test_blocks_that_share_weights_with_others_or_run_often_are_kept() -> None:
    torch.manual_seed(0)
    first = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
    twin = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
    twin.linear1 = first.linear1
    third = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
    found = cka.ablate(chain(first, twin, third), torch.randn(48, 6), LABELS, progress=False)
    assert [kept.block for kept in found.kept] == ["blocks.0", "blocks.1"]
    assert "shares weights" in found.kept[0].reason
    assert [row.block for row in found.blocks] == ["blocks.2"]
    repeated = cka.ablate(Repeats(), torch.randn(48, 8), LABELS % 3, progress=False)
    assert "it runs 3 times" in repeated.kept[1].reason


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_comes_back_as_it_was_lent(fails: bool) -> None:
    net, x = ConvNet().train(), images(48)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    held = {name: (id(p), p.data_ptr()) for name, p in net.named_parameters()}
    if fails:
        with pytest.raises(RuntimeError, match="failed on a minibatch"):
            cka.ablate(net, torch.randn(48, 4, 8, 8), LABELS, progress=False)
    else:
        cka.ablate(net, x, LABELS, progress=False)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert {name: (id(p), p.data_ptr()) for name, p in net.named_parameters()} == held
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_silenced_puts_back_the_very_same_tensors_after_an_error() -> None:
    layer = nn.Linear(3, 3)
    pointer = layer.weight.data_ptr()
    with silenced(layer.parameters()):
        assert not layer.weight.any()
    with pytest.raises(KeyError), silenced(layer.parameters()):
        raise KeyError
    assert layer.weight.data_ptr() == pointer
    assert layer.weight.any()


def test_effects_are_paired() -> None:
    labels = np.arange(100) % 2
    half = np.where(np.arange(100) < 30, 1 - labels, labels)
    found = ablation_effects(labels, {"x": half}, labels)
    direct = cka.compare_errors(half, labels, labels)
    row = found.blocks[0]
    assert (row.difference, row.p) == (direct.difference, direct.mcnemar_p)
    assert row.churn == pytest.approx(direct.churn)
    assert (row.low, row.high) == direct.interval
    assert found.chance == 0.5
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["blocks"][0]["block"] == "x"
    assert list(found.to_frame().columns)[:2] == ["block", "path"]


def test_what_cannot_be_ablated_says_so() -> None:
    with pytest.raises(ValueError, match="ablate needs labels"):
        cka.ablate(ConvNet(), images(48), progress=False)
    with pytest.raises(ValueError, match="no layers of the kind block"):
        cka.ablate(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), images(48), LABELS, progress=False)


def test_a_minibatch_costs_one_pass_of_the_whole_model_and_one_for_each_block() -> None:
    net = chain(*[Residual() for _ in range(4)])
    passes = 0

    def count(*call: object) -> None:
        nonlocal passes
        passes += 1

    net.head.register_forward_hook(count)
    x = torch.randn(96, 6)
    found = cka.ablate({"net": net}, x, (x[:, 0] > 0).long(), batch_size=32, progress=False)
    assert len(found.blocks) == 4
    assert passes <= 3 * (1 + 4) + 1  # one to see how rows move with the examples


def test_convolutions_on_reordered_weights_are_silenced_too() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(160, 160, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv(x)

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 160, 3), Branch(), Branch(), Branch(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(160, 3)
    )
    x, y = torch.randn(16, 3, 6, 6), torch.arange(16) % 3
    found = cka.ablate({"net": net}, x, y, batch_size=8, progress=False)
    assert [row.shortcut for row in found.blocks] == ["identity"] * 3
    assert not found.kept


def test_classes_of_the_head_are_mapped_and_labels_that_none_means_are_said() -> None:
    net, data = ConvNet(seed=3), images(48)
    plain = cka.ablate({"net": net}, data, LABELS, progress=False)
    one_to_one = {"net": {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}}
    assert cka.ablate({"net": net}, data, LABELS, mapping=one_to_one, progress=False).accuracy == plain.accuracy
    with pytest.warns(cka.CKAWarning, match="no class of the head of net means 4: its predictions of their examples"):
        partly = cka.ablate({"net": net}, data, LABELS, mapping={"net": {0: 0, 1: 1, 2: 2, 3: 3}}, progress=False)
    with torch.no_grad():
        predicted = net.eval()(data).argmax(1)
    assert partly.accuracy == float(((predicted == LABELS) & (predicted < 4)).double().mean())
    assert [row.churn for row in partly.blocks] == [row.churn for row in plain.blocks]  # told apart outside it too
