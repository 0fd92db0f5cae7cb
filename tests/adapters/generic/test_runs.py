"""Where the blocks of any network are: runs of like-typed modules, with weights or without."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.adapters.generic.runs import find_bare_runs


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


def test_what_is_inside_a_block_without_weights_is_no_run_of_its_own() -> None:
    assert [run.blocks for run in find_bare_runs(nn.Sequential(Mix(), Mix()))] == [["0", "1"]]
