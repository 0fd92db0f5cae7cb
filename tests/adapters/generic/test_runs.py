"""Where the blocks of any network are: runs of like-typed modules, with weights or without."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.adapters.generic.runs import find_bare_runs, find_runs
from tests.support.generic_nets import (
    Block,
    Chain,
    block,
    named,
)


class Mix(nn.Module):
    """A block without weights, as FNet's Fourier mixing."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.ModuleList([nn.Tanh(), nn.AvgPool1d(1), nn.AvgPool1d(1)])

    def forward(self, x: Tensor) -> Tensor:
        for module in self.inside:
            x = module(x)
        return x + torch.fft.fft(x, dim=-1).real


class Mixer(nn.Module):
    def __init__(self, listed: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        if listed:
            self.mixing = nn.ModuleList(Mix() for _ in range(3))
        else:
            self.mix1, self.mix2, self.mix3 = Mix(), Mix(), Mix()

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)[:, None]
        for mix in self.mixing if hasattr(self, "mixing") else (self.mix1, self.mix2, self.mix3):
            x = mix(x)
        return self.head(x[:, 0])


def test_like_typed_modules_without_weights_are_blocks_where_there_are_no_others() -> None:
    for listed, paths in ((True, ["mixing.0", "mixing.1", "mixing.2"]), (False, ["mix1", "mix2", "mix3"])):
        model = Mixer(listed)
        assert {layer.name: layer.path for layer in cka.layers(model)} == {
            "stem": "embed", **{f"blocks.{j}": path for j, path in enumerate(paths)}, "head": "head",
        }  # fmt: skip
        made = cka.represent(model, torch.randn(24, 6), batch_size=8, progress=False)
        assert made.layer_names == ["stem", "blocks.0", "blocks.1", "blocks.2", "head"]


def test_own_activations_between_linear_layers_are_no_blocks() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    model = nn.Sequential(nn.Linear(4, 4), Square(), nn.Linear(4, 4), Square(), nn.Linear(4, 3))
    assert find_bare_runs(model) == []
    assert [layer.path for layer in cka.layers(model) if layer.kind == "block"] == ["0", "2"]


def test_activations_and_dropouts_side_by_side_are_no_blocks() -> None:
    assert find_bare_runs(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.ReLU(), nn.Dropout(), nn.Dropout())) == []


def test_activations_side_by_side_are_blocks_where_the_weights_before_them_belong_to_no_module() -> None:
    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList(nn.Parameter(torch.randn(8, 8)) for _ in range(5))
            self.acts = nn.ModuleList(nn.ReLU() for _ in range(5))
            self.out = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            for weight, act in zip(self.weights, self.acts, strict=True):
                x = act(x @ weight)
            return self.out(x)

    assert named(Loose()) == {f"blocks.{i}": f"acts.{i}" for i in range(5)} | {"head": "out"}


def test_what_is_inside_a_block_without_weights_is_no_run_of_its_own() -> None:
    assert [run.blocks for run in find_bare_runs(nn.Sequential(Mix(), Mix()))] == [["0", "1"]]


def test_a_list_of_blocks_is_numbered_between_stem_and_head() -> None:
    model = Chain(inlet=nn.Linear(4, 6), body=nn.ModuleList(Block() for _ in range(3)), out=nn.Linear(6, 2))
    assert named(model) == {
        "stem": "inlet",
        "blocks.0": "body.0",
        "blocks.1": "body.1",
        "blocks.2": "body.2",
        "head": "out",
    }


@pytest.mark.parametrize("names", [("block1", "block2", "block3"), ("enc_1", "enc_2", "enc_3")])
def test_siblings_of_one_class_with_numbers_are_a_run(names: tuple[str, ...]) -> None:
    model = Chain(**{name: Block() for name in names}, out=nn.Linear(6, 2))
    assert named(model) == {**{f"blocks.{j}": name for j, name in enumerate(names)}, "head": "out"}


def test_two_networks_side_by_side_are_towers_and_no_run() -> None:
    twin = Chain(layers=nn.Sequential(Block(), Block()), last=nn.Linear(6, 4))
    model = Chain(student=twin, teacher=copy.deepcopy(twin))
    found = named(model)
    assert found["student.blocks.1"] == "student.layers.1"
    assert found["teacher.blocks.0"] == "teacher.layers.0"
    assert not any(name.startswith("blocks") for name in found)


def test_stages_of_like_typed_blocks_are_stages() -> None:
    model = Chain(
        conv=nn.Linear(4, 6),
        layer1=nn.Sequential(Block(6), Block(6)),
        widen=nn.Linear(6, 8),
        layer2=nn.Sequential(Block(8)),
        fc=nn.Linear(8, 3),
    )
    assert named(model) == {
        "stem": "conv",
        "stages.0.blocks.0": "layer1.0",
        "stages.0.blocks.1": "layer1.1",
        "widen": "widen",
        "stages.1.blocks.0": "layer2.0",
        "head": "fc",
    }
    assert named(model, "stage") == {
        "stem": "conv",
        "stages.0": "layer1",
        "widen": "widen",
        "stages.1": "layer2",
        "head": "fc",
    }


def test_lists_that_differ_in_a_number_are_stages_if_they_differ_in_width() -> None:
    model = Chain(
        blocks1=nn.ModuleList([Block(6), Block(6)]),
        widen=nn.Linear(6, 8),
        blocks2=nn.ModuleList([Block(8), Block(8)]),
        fc=nn.Linear(8, 3),
    )
    assert [n for n in named(model) if "blocks" in n] == [f"stages.{i}.blocks.{j}" for i in (0, 1) for j in (0, 1)]
    assert named(model, "stage")["stages.0"] == "blocks1.1"  # a ModuleList never fires: its last block ends the stage


def test_a_block_that_holds_lists_itself_stays_one_block() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(block() for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            return sum(expert(x) for expert in self.experts)

    model = Chain(body=nn.ModuleList(Experts() for _ in range(3)), out=nn.Linear(6, 2))
    assert list(named(model)) == ["blocks.0", "blocks.1", "blocks.2", "head"]


def test_pairs_in_bare_lists_cannot_fire_so_their_members_are_the_blocks() -> None:
    """`for attention, feedforward in self.layers`, as in many a repository."""

    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.ModuleList([Block(), Block()]) for _ in range(2))
            self.out = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            for attention, feedforward in self.layers:
                x = feedforward(attention(x))
            return self.out(x)

    assert list(named(Pairs()).values()) == ["layers.0.0", "layers.0.1", "layers.1.0", "layers.1.1", "out"]
    assert list(named(Pairs()))[:4] == ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]


def test_tiny_runs_in_a_stem_or_head_are_not_the_blocks() -> None:
    stem = nn.Sequential(*[nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(3)], nn.Linear(2, 32))
    model = Chain(stem=stem, trunk=nn.ModuleList(Block(32) for _ in range(2)), out=nn.Linear(32, 2))
    assert named(model) == {"stem": "stem", "blocks.0": "trunk.0", "blocks.1": "trunk.1", "head": "out"}


def test_a_single_block_in_a_list_is_a_run_of_one() -> None:
    model = Chain(inlet=nn.Linear(4, 6), layers=nn.ModuleList([Block()]), out=nn.Linear(6, 2))
    assert list(named(model)) == ["stem", "blocks.0", "head"]


def test_small_early_stages_and_stages_of_other_classes_belong_to_the_network() -> None:
    """As in EfficientNet and Twins: the first stages hold next to no weights, and the classes of blocks change."""

    class Other(Block):
        pass

    stages = [nn.Sequential(Block(4)), nn.Sequential(Block(8), Block(8)), nn.Sequential(Other(64), Other(64))]
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(*stages), nn.Linear(64, 2))
    stages_found = {name for name in named(model, "stage") if name.startswith("stages")}
    assert stages_found == {"stages.0", "stages.1", "stages.2"}
    assert [n for n in named(model) if "blocks" in n] == [
        "stages.0.blocks.0", "stages.1.blocks.0", "stages.1.blocks.1", "stages.2.blocks.0", "stages.2.blocks.1",
    ]  # fmt: skip


def test_separable_convolutions_in_a_block_do_not_make_it_a_stage() -> None:
    def separable(width: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(width, width, 3, groups=width), nn.Conv2d(width, width, 1))

    class Xception(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.rep = nn.Sequential(separable(width), nn.ReLU(), separable(width))

        def forward(self, x: Tensor) -> Tensor:
            return self.rep(x)

    model = Chain(stem=nn.Conv2d(3, 8, 3), block1=Xception(8), block2=Xception(16), block3=Xception(32))
    assert list(named(model)) == ["stem", "blocks.0", "blocks.1", "blocks.2"]


def test_a_module_dict_of_blocks_is_a_run() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleDict({"low": Block(), "high": Block()})
            self.out = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.steps["high"](self.steps["low"](x)))

    assert named(Named()) == {"blocks.0": "steps.low", "blocks.1": "steps.high", "head": "out"}


def test_numbered_blocks_of_equal_width_without_forward_order_keep_definition() -> None:
    assert [run.blocks for run in find_runs(nn.ModuleList([Block(), Block()]))] == [["0", "1"]]


def test_a_list_of_scripted_blocks_is_a_run() -> None:
    blocks = [torch.jit.script(block(6).eval()) for _ in range(3)]
    model = nn.Sequential(nn.Linear(6, 6), *blocks, nn.Linear(6, 3))
    assert named(model) == {"stem": "0", "blocks.0": "1", "blocks.1": "2", "blocks.2": "3", "head": "4"}
