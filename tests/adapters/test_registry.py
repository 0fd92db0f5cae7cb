"""Which adapter a model or a name belongs to: registered ones, third parties' by entry point, built in, generic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.adapters import Adapter, Layer, adapter_of, known, layers, load_model, register_adapter, resolve
from cka_plugin.adapters import registry as adapters


class Special(nn.Sequential):
    """A model of the framework below."""


class SpecialAdapter(Adapter):
    name = "special"

    def owns(self, model: nn.Module) -> bool:
        return isinstance(model, Special)

    def knows(self, name: str) -> bool:
        return name in self.list_names()

    def list_names(self, pattern: str = "*") -> list[str]:
        return ["special_small"]

    def load(self, name: str, *, pretrained: bool = True, checkpoint: str | None = None, **kwargs: object) -> nn.Module:
        return Special(nn.Linear(2, 2))

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        return [Layer("blocks.0", "0", "block", 0.0)]


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test registers is gone after it."""
    monkeypatch.setattr(known, "_registered", [])
    monkeypatch.setattr(known, "_discovered", None)


# Registered adapters


def test_a_registered_adapter_owns_its_models_and_names() -> None:
    assert adapter_of(Special(nn.Linear(2, 2))).name == "generic"
    register_adapter(SpecialAdapter())
    assert [layer.name for layer in layers(Special(nn.Linear(2, 2)))] == ["blocks.0"]
    assert resolve("special_small")[0].name == "special"
    assert isinstance(load_model("special:special_small"), Special)


def test_the_public_name_registers_the_same() -> None:
    cka.register_adapter(SpecialAdapter())
    assert adapters.adapters()[0].name == "special"


def test_the_latest_registered_is_asked_first_and_replaces_one_of_its_name() -> None:
    class Other(SpecialAdapter):
        name = "other"

    first, second = SpecialAdapter(), SpecialAdapter()
    register_adapter(first)
    register_adapter(Other())
    assert adapter_of(Special()).name == "other"
    register_adapter(second)
    assert adapter_of(Special()) is second
    assert first not in adapters.adapters()


def test_a_registered_adapter_is_asked_before_those_that_come_with_the_package() -> None:
    timm = pytest.importorskip("timm")

    class Mine(SpecialAdapter):
        def owns(self, model: nn.Module) -> bool:
            return type(model).__module__.startswith("timm.")

    model = timm.create_model("test_resnet")
    assert adapter_of(model).name == "timm"
    register_adapter(Mine())
    assert adapter_of(model).name == "special"


@pytest.mark.parametrize("given", [SpecialAdapter, "special", None])
def test_only_instances_of_adapter_are_taken(given: object) -> None:
    with pytest.raises(TypeError, match=r"takes an instance of cka_plugin\.adapters\.Adapter; given"):
        register_adapter(given)  # type: ignore[arg-type]


def test_an_adapter_without_a_name_is_an_error() -> None:
    class Nameless(SpecialAdapter):
        name = ""

    with pytest.raises(ValueError, match="has no name: set its `name`"):
        register_adapter(Nameless())


# What an adapter may get wrong


@pytest.mark.parametrize(
    ("listed", "error", "message"),
    [
        (None, TypeError, "adapter 'special' lists for Special None: expected a list of cka_plugin.Layer"),
        ([("stem", "0", "stem", 0.0)], TypeError, r"lists for Special \('stem', '0', 'stem', 0.0\): expected a list"),
        ([Layer("a", "0", "block", 0.0), Layer("a", "1", "block", 1.0)], ValueError, "two layers 'a'"),
    ],
)
def test_layers_that_are_none_are_named_with_their_adapter(listed: object, error: type, message: str) -> None:
    class Odd(SpecialAdapter):
        def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
            return listed  # type: ignore[return-value]

    register_adapter(Odd())
    with pytest.raises(error, match=message):
        layers(Special(nn.Linear(2, 2), nn.Linear(2, 2)))


def test_what_an_adapter_must_define_is_named() -> None:
    class Bare(Adapter):
        name = "bare"

    with pytest.raises(NotImplementedError, match=r"adapter 'bare' \(Bare\) does not define layers"):
        Bare().layers(Special())


def test_a_preparation_that_is_none_is_named() -> None:
    class Odd(SpecialAdapter):
        def preparation(self, model: nn.Module) -> object:  # type: ignore[override]
            return "resize"

    register_adapter(Odd())
    with pytest.raises(TypeError, match="adapter 'special' gives 'resize' as the preparation of Special: expected a"):
        cka.represent(Special(nn.Linear(2, 2)), torch.randn(8, 2), progress=False)


# Entry points


def install(folder: Path, module: str, code: str) -> None:
    """A distribution with an entry point, as pip would leave it on the path."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cka_plugin.adapters]\n{module} = {module}:ThirdParty\n")


THIRD_PARTY = """
from torch import nn
from cka_plugin.adapters import Adapter, Layer

class Net(nn.Sequential):
    pass

class ThirdParty(Adapter):
    name = "elsewhere"
    def owns(self, model):
        return isinstance(model, Net)
    def knows(self, name):
        return name == "elsewhere_net"
    def load(self, name, *, pretrained=True, checkpoint=None, **kwargs):
        return Net(nn.Linear(2, 2))
    def layers(self, model, granularity="block"):
        return [Layer("head", "0", "head", 1.0)]
"""


def test_a_package_that_is_installed_adds_its_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "cka_elsewhere", THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    model = load_model("elsewhere_net")
    assert adapter_of(model).name == "elsewhere"
    assert [layer.name for layer in layers(model)] == ["head"]
    assert type(load_model("elsewhere:any")) is type(model)


def test_an_entry_point_that_cannot_be_loaded_is_named_and_the_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "cka_broken", "raise ImportError('no module named left_pad')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match=r"adapter 'cka_broken' \(cka_broken:ThirdParty\) .*left_pad"):
        everyone = [adapter.name for adapter in adapters.adapters()]
    assert everyone[-1] == "generic"
    assert "cka_broken" not in everyone


def test_an_entry_point_of_something_else_is_left_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "cka_other", "class ThirdParty:\n    name = 'other'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match=r"adapter 'cka_other' .* expected a class of .*Adapter with a name; it made"):
        assert "other" not in [adapter.name for adapter in adapters.adapters()]


def test_the_adapters_of_the_package_are_entry_points_and_generic_comes_last() -> None:
    everyone = [adapter.name for adapter in adapters.adapters()]
    assert everyone[-4:] == ["timm", "transformers", "torchvision", "generic"]


# Names


@pytest.mark.parametrize(
    ("name", "adapter", "bare"),
    [
        ("timm:resnet50", "timm", "resnet50"),
        ("torchvision:resnet50", "torchvision", "resnet50"),
        ("hf:bert-base-uncased", "transformers", "bert-base-uncased"),
        ("huggingface:owner/model", "transformers", "owner/model"),
        ("transformers:owner/model", "transformers", "owner/model"),
        ("resnet50", "timm", "resnet50"),
        ("resnet50.a1_in1k", "timm", "resnet50.a1_in1k"),
        ("vit_b_16", "torchvision", "vit_b_16"),
        ("google/vit-base-patch16-224", "transformers", "google/vit-base-patch16-224"),
    ],
)
def test_a_name_says_whose_it_is(name: str, adapter: str, bare: str) -> None:
    pytest.importorskip(adapter)
    found, rest = resolve(name)
    assert (found.name, rest) == (adapter, bare)


def test_a_local_folder_with_a_configuration_is_a_model_of_transformers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert resolve(str(tmp_path))[0].name == "transformers"


def test_an_unknown_name_gets_the_nearest_ones_each_once() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="unknown model 'resnet_50'; did you mean") as error:
        resolve("resnet_50")
    nearest = str(error.value).partition("did you mean ")[2].partition("?")[0].split(", ")
    assert "resnet50" in nearest
    assert len(set(nearest)) == len(nearest)
    assert "hf:resnet_50" in str(error.value)


def test_a_name_that_a_third_party_does_not_know_is_named_with_those_it_has() -> None:
    register_adapter(SpecialAdapter())
    assert resolve("special:special_small")[1] == "special_small"
    with pytest.raises(ValueError, match="special has no model 'special_smal': it has special_small"):
        load_model("special:special_smal")


def test_a_pattern_with_a_framework_lists_its_names() -> None:
    register_adapter(SpecialAdapter())
    assert adapters.names_fitting("special:*") == {"special": ["special_small"]}
    pytest.importorskip("torchvision")
    assert adapters.names_fitting("torchvision:vit_b_1*") == {"torchvision": ["vit_b_16"]}
    assert list(adapters.names_fitting("hf:bert")) == ["transformers"]


def test_an_unknown_prefix_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown prefix 'keras' in model name 'keras:resnet50'.*hf.*torchvision"):
        resolve("keras:resnet50")


def test_the_generic_adapter_builds_nothing_by_name() -> None:
    with pytest.raises(ValueError, match="unknown prefix 'generic'"):
        resolve("generic:resnet50")
    with pytest.raises(ValueError, match="does not build models by name: given 'x'"):
        adapters.adapters()[-1].load("x")


@pytest.mark.parametrize("granularity", ["blocks", "", "layer"])
def test_an_unknown_granularity_is_an_error(granularity: str) -> None:
    with pytest.raises(ValueError, match="expected one of stage, block, module"):
        layers(nn.Linear(2, 2), granularity)


def test_what_is_no_module_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"expected an nn\.Module; given str"):
        layers("resnet18")  # type: ignore[arg-type]


def test_a_layer_of_an_unknown_kind_or_depth_is_an_error() -> None:
    with pytest.raises(ValueError, match="layer kind 'neck' of 'a': expected one of stem"):
        Layer("a", "a", "neck", 0.0)
    for depth in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="expected a number in \\[0, 1\\]"):
            Layer("a", "a", "block", depth)


# Frameworks that are not there


def test_a_name_of_a_framework_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "_installed", lambda framework: framework == "torchvision")
    for name, framework in (("timm:resnet50", "timm"), ("hf:bert", "transformers"), ("owner/model", "transformers")):
        with pytest.raises(RuntimeError, match=f"not installed: pip install {framework}"):
            resolve(name)
    with pytest.raises(ValueError, match=r"unknown model 'resnet_50'.*timm, transformers not installed"):
        resolve("resnet_50")


# Imports


def test_frameworks_are_imported_only_when_a_model_of_theirs_appears() -> None:
    code = """
import sys
from torch import nn
import cka_plugin.adapters.registry as adapters
heavy = {"timm", "transformers", "torchvision", "matplotlib", "pandas"}
assert not heavy & set(sys.modules), ("import", heavy & set(sys.modules))
adapters.layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
assert not heavy & set(sys.modules), ("layers", heavy & set(sys.modules))
adapters.resolve("hf:bert")
assert not heavy & set(sys.modules), ("resolve", heavy & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
