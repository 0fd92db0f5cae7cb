"""What every adapter promises of every model, on one small model of each family."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from cka_plugin.adapters import Adapter, adapter_of, layers, tower
from cka_plugin.adapters.base import first_tensor
from cka_plugin.capture.hooks import Capture, Watched
from tests.support.conformance_models import (
    Case,
    N,
    generic_cases,
    timm_cases,
    torchvision_cases,
    transformers_cases,
)

CASES = {
    f"{case.adapter}-{case.name}": case
    for cases in (timm_cases, transformers_cases, torchvision_cases, generic_cases)
    for case in cases()
}
WORD = re.compile(r"([a-z][a-z_]*\.)?(stem|embed|norm|pool|head|blocks\.\d+|stages\.\d+|stages\.\d+\.blocks\.\d+)")
COARSE = ("stage", "block")


class Run:
    """A case, built and run once: its layers, and what fired with which output."""

    def __init__(self, case: Case) -> None:
        self.case = case
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = case.build().eval()
        self.adapter: Adapter = adapter_of(self.model)
        self.inputs = case.inputs(self.model)
        self.layers = {granularity: layers(self.model, granularity) for granularity in (*COARSE, "module")}
        self.fired: list[str] = []
        self.returned: dict[str, Any] = {}
        fastpath = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        handles = [module.register_forward_hook(self._hook(path)) for path, module in self.model.named_modules()]
        try:
            with torch.inference_mode():
                self.output = self.adapter.forward(self.model, self.inputs)
        finally:
            torch.backends.mha.set_fastpath_enabled(fastpath)
            for handle in handles:
                handle.remove()

    def _hook(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self.fired.append(path)
            self.returned.setdefault(path, first_tensor(output))

        return hook

    def names(self, granularity: str) -> list[str]:
        return [layer.name for layer in self.layers[granularity]]


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest) -> Run:
    return Run(CASES[request.param])


def test_the_model_belongs_to_its_framework(run: Run) -> None:
    assert run.adapter.name == run.case.adapter


@pytest.mark.parametrize("granularity", [*COARSE, "module"])
def test_names_are_unique(run: Run, granularity: str) -> None:
    names = run.names(granularity)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("granularity", COARSE)
def test_names_are_of_the_common_vocabulary(run: Run, granularity: str) -> None:
    for layer in run.layers[granularity]:
        by_path = run.case.adapter == "generic" and layer.name == layer.path
        assert by_path or WORD.fullmatch(layer.name), layer


@pytest.mark.parametrize("granularity", [*COARSE, "module"])
def test_every_path_is_a_module_of_the_model(run: Run, granularity: str) -> None:
    modules = dict(run.model.named_modules())
    assert [layer.path for layer in run.layers[granularity] if layer.path not in modules] == []


@pytest.mark.parametrize("granularity", [*COARSE, "module"])
def test_depth_rises_from_0_to_1_in_every_tower(run: Run, granularity: str) -> None:
    sides: dict[str, list[float]] = {}
    for layer in run.layers[granularity]:
        sides.setdefault(tower(layer.name), []).append(layer.depth)
    for depths in sides.values():
        assert depths == sorted(depths)
        assert 0.0 <= depths[0] <= depths[-1] <= 1.0
    everything = [layer.depth for layer in run.layers[granularity]]
    assert min(everything) == 0.0
    assert max(everything) == 1.0


@pytest.mark.parametrize("granularity", COARSE)
def test_layers_fire_in_the_listed_order(run: Run, granularity: str) -> None:
    first_call = {path: position for position, path in reversed(list(enumerate(run.fired)))}
    listed = run.layers[granularity]
    assert [layer for layer in listed if layer.path not in first_call] == []
    for side in {tower(layer.name) for layer in listed}:
        order = [first_call[layer.path] for layer in listed if tower(layer.name) == side]
        assert order == sorted(order)


def test_there_are_as_many_blocks_as_the_framework_states(run: Run) -> None:
    blocks = [layer for layer in run.layers["block"] if layer.kind == "block"]
    assert len(blocks) == run.case.blocks(run.model)


def test_numbers_count_from_0_without_gaps(run: Run) -> None:
    for granularity in COARSE:
        counted: dict[str, list[int]] = {}
        for name in run.names(granularity):
            for match in re.finditer(r"(stages|blocks)\.(\d+)", name):
                numbers = counted.setdefault(name[: match.start(2)], [])
                numbers += [] if int(match[2]) in numbers else [int(match[2])]
        for prefix, numbers in counted.items():
            assert numbers == list(range(len(numbers))), prefix


def test_blocks_lie_in_the_stages_that_are_listed(run: Run) -> None:
    def stages_of(names: list[str]) -> list[str]:
        found = (re.match(r"(.*\.)?stages\.\d+", name) for name in names)
        return list(dict.fromkeys(match[0] for match in found if match))

    assert stages_of(run.names("stage")) == stages_of(run.names("block"))
    if not stages_of(run.names("block")):  # an isotropic network
        assert run.names("stage") == run.names("block")


def test_what_is_not_in_a_stage_is_the_same_at_both_granularities(run: Run) -> None:
    def beside(granularity: str) -> list[tuple[str, str]]:
        return [(l.name, l.path) for l in run.layers[granularity] if "stages." not in l.name]

    assert beside("stage") == beside("block")


def test_a_stage_ends_with_its_last_block(run: Run) -> None:
    first_call = {path: position for position, path in reversed(list(enumerate(run.fired)))}
    blocks = {layer.name: layer.path for layer in run.layers["block"]}
    for layer in run.layers["stage"]:
        inside = [path for name, path in blocks.items() if name.startswith(f"{layer.name}.blocks.")]
        assert all(first_call[path] <= first_call[layer.path] for path in inside)


def test_the_last_layer_of_a_model_with_classes_is_its_head(run: Run) -> None:
    for granularity in COARSE:
        assert ("head" in run.names(granularity)) == run.case.head
        if run.case.head:
            assert run.layers[granularity][-1].name == "head"
            assert run.layers[granularity][-1].kind == "head"


def test_the_head_gives_the_logits(run: Run) -> None:
    """`head` is the module that makes the scores: what the adapter calls the logits is its output, or a mean of it."""
    logits = run.adapter.logits(run.model, run.output)
    if logits is None and isinstance(run.output, Mapping):
        logits = run.output.get("logits")
    if not run.case.head:
        assert run.adapter.logits(run.model, run.output) is None
        return
    if logits is None:
        pytest.skip("not a classifier of examples: its head gives a map")
    head = run.returned[run.layers["block"][-1].path]
    if head.ndim > logits.ndim:
        head = head.flatten(logits.ndim).mean(-1)  # pooled after the head (SqueezeNet, S3D)
    assert head.shape == logits.shape
    if run.case.heads == 1:
        torch.testing.assert_close(head, logits)


def test_module_granularity_lists_the_leaf_modules_but_no_identity(run: Run) -> None:
    """Written out anew: a leaf has no children; attention and what is parametrized use theirs without calling them."""
    closed = (nn.MultiheadAttention,)
    expected: dict[int, str] = {}
    inside: list[str] = []
    for path, module in run.model.named_modules():
        if any(path.startswith(f"{outer}.") for outer in inside):
            continue
        if isinstance(module, closed) or hasattr(module, "parametrizations"):
            inside.append(path)
        elif list(module.children()) or isinstance(module, nn.Identity):
            continue
        expected[id(module)] = path
    assert {layer.path for layer in run.layers["module"]} == set(expected.values())


def test_capture_finds_the_listed_layers_and_leaves_no_hook(run: Run) -> None:
    for granularity in (*COARSE, "module"):
        discover = granularity == "module" or run.case.adapter == "generic"
        hooks = count_hooks(run.model)
        with Capture(Watched(run.model, run.adapter, run.layers[granularity], discover=discover)) as capture:
            captured = capture.run(run.inputs, N)
            once = [layer.name for layer in capture.layers if "@" not in layer.name]
        assert count_hooks(run.model) == hooks
        assert captured.vectors.shape == (len(capture.layers), N * (N - 1) // 2)
        if granularity != "module":
            assert sorted(once) == sorted(run.names(granularity))
        else:
            assert len(once) >= len(run.names("block")) - 2


def count_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_describing_a_model_is_one_sentence(run: Run) -> None:
    sentence = run.adapter.describe(run.model)
    assert len(sentence) > 10
    assert "\n" not in sentence


def test_listing_layers_twice_gives_the_same(run: Run) -> None:
    assert layers(run.model, "block") == run.layers["block"]


def test_kinds_say_what_names_say(run: Run) -> None:
    for layer in run.layers["block"]:
        word = layer.name.rpartition(".")[2] if not layer.name[-1].isdigit() else "block"
        if word in ("stem", "embed", "norm", "head", "block") and WORD.fullmatch(layer.name):
            assert layer.kind == word, layer


def test_a_path_under_a_wrapper_is_a_path_of_the_wrapper() -> None:
    inner = CASES["timm-test_resnet"].build()
    model = nn.DataParallel(inner)
    plain = layers(inner, "block")
    wrapped = layers(model, "block")
    assert [layer.name for layer in wrapped] == [layer.name for layer in plain]
    for outer, inner in zip(wrapped, plain, strict=True):
        assert model.get_submodule(outer.path) is model.module.get_submodule(inner.path)
