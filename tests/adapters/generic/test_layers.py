"""What is made of modules that no framework knows: blocks, stages, towers, stem and head, and what is said of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cka_plugin.adapters import adapter_of, layers
from cka_plugin.adapters import registry as adapters
from cka_plugin.adapters.base import first_tensor, is_leaf, leaf_layers, spread_depths, tower, unwrap
from cka_plugin.adapters.generic.runs import find_runs
from cka_plugin.adapters.order.firing import firing_order
from cka_plugin.capture.hooks import Capture


def named(model: nn.Module, granularity: str = "block") -> dict[str, str]:
    """Path by common name."""
    return {layer.name: layer.path for layer in layers(model, granularity)}


def describe(model: nn.Module) -> str:
    return adapter_of(model).describe(model)


def block(width: int = 6) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


class Block(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(self.norm(x)).relu())


class Chain(nn.Module):
    """Calls its children in the order in which they are given."""

    def __init__(self, **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            for module in child if isinstance(child, nn.ModuleList) else [child]:
                x = module(x)
        return x


# Runs of blocks


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


# Plain networks, and networks without blocks


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


# The order of firing


class Backwards(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 2)
        self.body = nn.ModuleList(Block() for _ in range(2))
        self.unused = nn.Linear(6, 6)
        self.inlet = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x)
        for one in reversed(self.body):
            x = one(x)
        return self.out(x)


def test_layers_are_listed_as_they_fire_not_as_they_are_defined() -> None:
    assert named(Backwards()) == {"stem": "inlet", "blocks.0": "body.1", "blocks.1": "body.0", "head": "out"}
    assert "in the order of firing" in describe(Backwards())


class Forked(nn.Module):
    """Its way depends on the values of its data."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 2)
        self.body = nn.ModuleList(Block() for _ in range(2))
        self.inlet = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x)
        if x.sum() > 0:
            x = -x
        for one in self.body:
            x = one(x)
        return self.out(x)


def test_where_the_way_depends_on_data_the_source_gives_the_order() -> None:
    assert firing_order(Forked(), ["inlet", "out"]) is None
    assert list(named(Forked()).values()) == ["inlet", "body.0", "body.1", "out"]
    assert "source" in describe(Forked())


def test_following_the_forward_pass_leaves_no_trace() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)
            self.register_buffer("calls", torch.zeros(()))
            self.seen: list[Any] = []
            self.last: Any = None

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            x = self.lin(x)
            self.seen.append(x)
            self.last = x
            torch.rand(3)
            return x

    model = Keeps().train()
    model.lin.register_forward_hook(lambda *args: pytest.fail("a hook of the user's was called"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weight, state = model.lin.weight, torch.get_rng_state()
    assert firing_order(model, ["lin"]) == ["lin"]
    assert (model.seen, model.last, model.training) == ([], None, True)
    assert model.lin.weight is weight
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert "forward" not in vars(model.lin)


def test_a_block_called_three_times_is_three_layers() -> None:
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inlet, self.layers, self.out = nn.Linear(4, 6), nn.ModuleList([Block()] * 3), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.inlet(x)
            for one in self.layers:
                x = one(x)
            return self.out(x)

    model = Looped()
    assert list(named(model)) == ["stem", "blocks.0", "head"]
    with Capture(model, adapter_of(model), layers(model), discover=True) as capture:
        capture.run(torch.randn(4, 4), 4)
    assert [layer.name for layer in capture.layers] == ["stem", "blocks.0", "blocks.0@1", "blocks.0@2", "head"]
    depths = [layer.depth for layer in capture.layers]
    assert depths == sorted(depths)


def test_blocks_that_their_owner_reaches_into_are_not_listed() -> None:
    class Reaches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.out = nn.ModuleList(Block() for _ in range(2)), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            for one in self.layers:
                x = x + one.down(one.up(x))
            return self.out(x)

    assert list(named(Reaches()).values()) == ["layers.0.up", "layers.0.down", "layers.1.up", "layers.1.down", "out"]


# What torch makes of models


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
        with Capture(encoder, adapter_of(encoder), listed, discover=True) as capture:
            capture.run(inputs, 4)
        assert len(capture.layers) >= least
    assert "layers.0.self_attn" in {layer.path for layer in layers(encoder, "module")}


def test_a_traced_graph_is_read_by_its_leaves() -> None:
    traced = torch.fx.symbolic_trace(nn.Sequential(Block(), Block(), nn.Linear(6, 2)))
    found = named(traced)
    assert found["head"] == "2"
    assert found["blocks.0"] == "0.up"  # the blocks themselves are gone from a graph


class Repeated(nn.Module):
    """Repeats a row as often as there are examples: of a graph of it, placeholders tell no number of examples."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.zeros(1, 6))
        self.body = nn.Sequential(Block(), Block())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x + self.row.expand(x.shape[0], -1))


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


# Wrappers


def test_wrappers_are_looked_through_and_paths_are_those_of_the_wrapper() -> None:
    model = Chain(inlet=nn.Linear(4, 6), body=nn.ModuleList(Block() for _ in range(2)), out=nn.Linear(6, 2))
    compiled = torch.compile(model)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for wrapped, prefix in ((compiled, "_orig_mod."), (nn.DataParallel(model), "module."), (averaged, "module.")):
        assert unwrap(wrapped)[1] == prefix
        assert named(wrapped) == {name: prefix + path for name, path in named(model).items()}
        for path in named(wrapped).values():
            wrapped.get_submodule(path)
    assert unwrap(nn.DataParallel(compiled)) == (model, "module._orig_mod.")


def test_a_wrapper_with_a_peft_model_is_looked_through_unless_it_learns_prompts() -> None:
    class Config:
        is_prompt_learning = False

    class Wrapper(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.base_model = Chain(model=model)
            self.active_peft_config = Config()

        def get_base_model(self) -> nn.Module:
            return self.base_model.model

    Wrapper.__module__ = "peft.peft_model"
    inner = Block()
    wrapper = Wrapper(inner)
    assert unwrap(wrapper) == (inner, "base_model.model.")
    wrapper.active_peft_config.is_prompt_learning = True
    assert unwrap(wrapper) == (wrapper, "")


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


# The pieces in base


def test_the_depths_of_towers_and_trunk_rise_each_on_its_own() -> None:
    names = ["stem", "text.blocks.0", "text.norm", "vision.stem", "vision.blocks.0", "vision.norm", "head"]
    spread = {l.name: l.depth for l in spread_depths([adapters.Layer(n, n, "module", 0.0) for n in names])}
    assert spread == pytest.approx(
        {
            "stem": 0, "text.blocks.0": 0, "text.norm": 1,
            "vision.stem": 0, "vision.blocks.0": 0.5, "vision.norm": 1, "head": 1,
        }
    )  # fmt: skip


def test_a_path_with_a_vocabulary_word_inside_is_no_tower() -> None:
    assert tower("encoder.layers.3.norm") == ""
    names = ["stages.0.blocks.0", "features.norm", "head"]
    assert [l.depth for l in spread_depths([adapters.Layer(n, n, "module", 0.0) for n in names])] == [0.0, 0.5, 1.0]


def test_leaves_are_closed_where_what_is_inside_is_not_called() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "normed": normed, "id": nn.Identity()})
    assert [layer.path for layer in leaf_layers(model)] == ["attention", "normed"]
    assert is_leaf(normed)


def test_the_activation_is_found_in_whatever_is_returned() -> None:
    x = torch.ones(4, 3)
    wanted = [x, (None, x), [torch.ones(4, dtype=torch.int64), x], {"a": {"b": x}}]
    assert all(first_tensor(output) is x for output in wanted)
    assert first_tensor(torch.ones(2, dtype=torch.bool)) is None
    assert first_tensor((torch.ones(3, 3), x), n=4) is x  # attention maps and states do not have one row an example
    quantised = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
    assert torch.equal(first_tensor(quantised), quantised.dequantize())


def test_distributed_data_parallel_is_looked_through(tmp_path: Path) -> None:
    dist = torch.distributed
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = Block()
        assert unwrap(nn.parallel.DistributedDataParallel(model)) == (model, "module.")
    finally:
        dist.destroy_process_group()
