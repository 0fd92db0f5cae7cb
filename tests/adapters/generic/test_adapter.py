"""What is made of modules that no framework knows: plain networks, known models inside, what torch makes of models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cka_plugin.adapters import adapter_of, layers
from cka_plugin.capture.hooks import Capture, Watched
from tests.support.generic_nets import (
    Block,
    Chain,
    describe,
    named,
)


class Repeated(nn.Module):
    """Repeats a row as often as there are examples: of a graph of it, placeholders tell no number of examples."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.zeros(1, 6))
        self.body = nn.Sequential(Block(), Block())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x + self.row.expand(x.shape[0], -1))


def test_in_a_plain_network_each_layer_with_its_norm_and_activation_is_a_block() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(4, 3),
    )  # fmt: skip
    assert named(model) == {"blocks.0": "2", "blocks.1": "5", "head": "8"}


def test_an_activation_that_several_layers_share_belongs_to_none() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.three(self.relu(self.two(self.relu(self.one(x)))))

    assert named(Shared()) == {"blocks.0": "one", "blocks.1": "two", "head": "three"}


def test_without_blocks_layers_go_by_their_paths_and_that_is_said() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.lstm, self.fc = nn.Embedding(9, 6), nn.LSTM(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            _, (last, _) = self.lstm(self.words(x))
            return self.fc(last[-1])

    assert named(Recurrent()) == {"words": "words", "lstm": "lstm", "head": "fc"}
    assert "no run of blocks found" in describe(Recurrent())


def test_a_module_without_children_is_one_layer() -> None:
    assert named(nn.Linear(2, 2)) == {"head": ""}
    assert named(nn.ReLU()) == {"module": ""}
    assert "one layer" in describe(nn.ReLU())


def test_layers_without_weights_go_by_their_paths() -> None:
    assert named(nn.Sequential(nn.Flatten(), nn.ReLU())) == {"0": "0", "1": "1"}


def test_a_name_that_is_taken_is_not_given_twice() -> None:
    model = Chain(head=nn.Linear(4, 6), body=nn.ModuleList(Block() for _ in range(2)), tail=nn.Linear(6, 6))
    model.add_module("out", nn.Linear(6, 3))
    found = [layer.name for layer in layers(model)]
    assert len(found) == len(set(found))
    assert named(model)["head"] == "out"


def test_the_transformer_of_torch_has_two_towers() -> None:
    found = named(nn.Transformer(8, 2, 2, 3, 16))
    assert [n for n in found if "blocks" in n] == [
        *(f"encoder.blocks.{j}" for j in range(2)),
        *(f"decoder.blocks.{j}" for j in range(3)),
    ]
    assert found["decoder.norm"] == "decoder.norm"


@pytest.mark.parametrize("masked", [False, True])
def test_every_layer_of_a_torch_encoder_is_captured_though_eval_takes_a_fast_path(masked: bool) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    padding = torch.zeros(4, 5, dtype=torch.bool)
    padding[:, 3:] = True
    inputs = {"src": torch.randn(4, 5, 8), **({"src_key_padding_mask": padding} if masked else {})}
    for granularity, least in (("block", 2), ("module", 12)):
        listed = layers(encoder, granularity)
        with Capture(Watched(encoder, adapter_of(encoder), listed, discover=True)) as capture:
            capture.run(inputs, 4)
        assert len(capture.layers) >= least
    assert "layers.0.self_attn" in {layer.path for layer in layers(encoder, "module")}


def test_a_traced_graph_is_read_by_its_leaves() -> None:
    traced = torch.fx.symbolic_trace(nn.Sequential(Block(), Block(), nn.Linear(6, 2)))
    found = named(traced)
    assert found["head"] == "2"
    assert found["blocks.0"] == "0.up"  # the blocks themselves are gone from a graph


def test_a_traced_graph_that_cannot_be_followed_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert named(torch.fx.symbolic_trace(Repeated()))
    assert capfd.readouterr().err == ""


def test_an_exported_program_is_one_layer() -> None:
    exported = torch.export.export(nn.Sequential(Block(), Block()), (torch.randn(4, 6),)).module()
    assert list(named(exported).values()) == [""]


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated
def test_a_scripted_model_is_one_layer() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)))
    assert list(named(scripted).values()) == [""]


def test_a_quantised_network_keeps_its_names() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert not list(quantised.parameters())
    assert named(quantised) == named(model)


def test_a_module_that_is_not_yet_initialised_has_layers() -> None:
    model = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(2))
    assert list(named(model)) == ["blocks.0", "blocks.1", "head"]


def test_a_known_model_inside_keeps_its_names_and_its_preparation() -> None:
    timm = pytest.importorskip("timm")
    backbone = timm.create_model("test_resnet", num_classes=0)
    model = Chain(backbone=backbone, classifier=nn.Linear(backbone.num_features, 7))
    assert adapter_of(model).name == "generic"
    inner = [layer.name for layer in layers(backbone)]
    assert list(named(model)) == [*inner, "head"]
    assert named(model)["head"] == "classifier"
    assert "'backbone' is a model that the timm adapter knows" in describe(model)
    preparation = adapter_of(model).preparation(model)
    assert preparation is not None
    assert preparation.key == adapter_of(backbone).preparation(backbone).key


def test_the_head_of_a_known_model_inside_gives_way_to_the_outer_one() -> None:
    timm = pytest.importorskip("timm")
    model = Chain(net=timm.create_model("test_vit", img_size=32), classifier=nn.Linear(1000, 7))
    assert named(model)["head"] == "classifier"
    assert named(model)["net.head"] == "net.head"
