"""`layers=`: names, paths or patterns choose what is compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from tests.support.nets import ConvNet, images

DATA = images(64)


@pytest.fixture(scope="module")
def whole() -> cka.Representation:
    return cka.represent(ConvNet(), DATA, name="net", granularity="module", progress=False)


def test_names_paths_and_patterns_choose_layers_whose_numbers_stay_what_they_were(whole: cka.Representation) -> None:
    names = whole.layer_names
    wanted = [names[1], whole.layers[3].path, "*head*"]
    some = cka.represent(ConvNet(), DATA, name="net", granularity="module", layers=wanted, progress=False)
    places = [whole.position_of(name) for name in some.layer_names]
    assert {1, 3} <= set(places)
    assert places == sorted(places)
    assert "head" in some.layer_names
    for mine, all_of_them in zip(some.minibatches, whole.minibatches, strict=True):
        assert np.array_equal(mine.vectors, all_of_them.vectors[places])
    assert [layer.depth for layer in some.layers] == [whole.layers[place].depth for place in places]
    assert some.options["layers"] == wanted


def test_a_module_that_is_no_layer_of_the_granularity_is_found_by_its_path() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 3))
    x = torch.randn(40, 6)
    found = cka.compare({"net": net}, data=x, granularity="module", layers=["1", "2", "1.0"], progress=False)
    assert [layer.path for layer in found.layers("net")] == ["1.0", "1", "2"]
    with torch.no_grad():
        inside = net[1](net[0](x))
    expected = cka.represent({"inside": nn.Identity()}, inside, granularity="module", progress=False)
    assert expected.layer_names == ["module"]


def test_layers_of_another_granularity_are_found_by_name() -> None:
    found = cka.compare("sample:narrow", data="sample:digits", max_examples=64, layers=["stages.1"], progress=False)
    assert found.layers("narrow")[0].name == "stages.1"


def test_layers_may_be_given_for_each_model() -> None:
    nets = {"a": ConvNet(), "b": ConvNet(seed=1)}
    found = cka.compare(nets, data=DATA, layers={"a": ["head"]}, progress=False)
    assert [layer.name for layer in found.layers("a")] == ["head"]
    assert len(found.layers("b")) > 1


def test_of_several_models_each_needs_one_of_the_layers_and_each_layer_a_model() -> None:
    nets = {"a": ConvNet(), "b": nn.Sequential(nn.Flatten(), nn.Linear(DATA[0].numel(), 8), nn.Linear(8, 3))}
    found = cka.compare(nets, data=DATA, layers=["head", "1"], progress=False)
    assert "1" in [layer.path for layer in found.layers("b")]
    with pytest.raises(ValueError, match="layers 'hed' fit nothing in a, b"):
        cka.compare(nets, data=DATA, layers=["head", "hed"], progress=False)


def test_what_fits_nothing_is_an_error_that_lists_the_layers_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"layers 'haed' fit nothing in net: it has .*head.*did you mean head"):
        cka.compare({"net": ConvNet()}, data=DATA, layers=["haed"], progress=False)
    with pytest.raises(TypeError, match="layers 'head': expected a list"):
        cka.compare({"net": ConvNet()}, data=DATA, layers="head", progress=False)


def test_saved_representations_keep_the_layers_asked_for(whole: cka.Representation) -> None:
    found = cka.compare(whole, layers=["head"])
    assert found.layers("net") == [layer for layer in whole.layers if layer.name == "head"]
    assert found.matrix("net") == pytest.approx(1.0, abs=1e-6)


def test_layers_asked_for_by_name_must_run() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare, self.head = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.used(x))

    with pytest.raises(RuntimeError, match="spare"):
        cka.compare({"net": Unused()}, data=torch.randn(40, 6), layers=["used", "spare"], progress=False)


def test_the_options_of_a_comparison_name_the_same_layers() -> None:
    assert cka.layers("timm:test_resnet", pretrained=False) == cka.layers("timm:test_resnet")
