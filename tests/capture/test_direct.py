"""Layers whose `forward` is called directly are read like others, and once."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from tests.support.layers import assert_layers


class Direct(nn.Module):
    """Blocks called by `forward`, by both ways, and one that is called both ways in one pass."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)) for _ in range(3))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0].forward(x)
        x = self.blocks[1](x)
        x = self.blocks[2].forward(x)
        return self.head(self.blocks[2](x))


def test_layers_called_by_forward_are_read() -> None:
    torch.manual_seed(0)
    net, x = Direct().eval(), torch.randn(48, 6)
    found = cka.represent({"net": net}, x, batch_size=8, progress=False)
    first = net.blocks[0](x)
    second = net.blocks[1](first)
    third = net.blocks[2](second)
    assert [layer.path for layer in found.layers] == ["blocks.0", "blocks.1", "blocks.2", "blocks.2", "head"]
    assert_layers(found, {"blocks.0": first, "blocks.1": second, "blocks.2": third})
    assert "forward" not in vars(net.blocks[0])
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in net.modules())


def test_leaves_called_by_forward_are_read_at_module_granularity() -> None:
    class Careless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head.forward(self.first.forward(x).relu())

    net, x = Careless().eval(), torch.randn(48, 6)
    found = cka.represent({"net": net}, x, batch_size=8, granularity="module", progress=False)
    assert_layers(found, {"first": net.first(x), "head": net(x)})


def test_a_forward_of_the_module_itself_comes_back() -> None:
    """accelerate and others put a `forward` on the instance."""
    net, x = Direct().eval(), torch.randn(16, 6)
    own = net.blocks[1].forward
    net.blocks[1].forward = lambda x, scale=2.0: own(x) * scale
    given = net.blocks[1].forward
    signatures = []
    net.blocks[1].register_forward_pre_hook(lambda module, _: signatures.append(str(inspect.signature(module.forward))))
    found = cka.represent({"net": net}, x, batch_size=8, progress=False)
    assert net.blocks[1].forward is given
    assert set(signatures) == {"(x, scale=2.0)"}
    assert_layers(found, {"blocks.1": net.blocks[1](net.blocks[0](x))})


def test_an_error_in_between_leaves_no_trace() -> None:
    class Failing(Direct):
        def forward(self, x: Tensor) -> Tensor:
            self.blocks[0].forward(x)
            raise ValueError("no")

    net = Failing()
    with pytest.raises(RuntimeError, match="no"):
        cka.represent({"net": net}, torch.randn(16, 6), batch_size=8, progress=False)
    assert "forward" not in vars(net.blocks[0])


def test_two_models_that_share_modules_are_read_alike_and_given_back_as_they_were() -> None:
    torch.manual_seed(0)
    inner, x = Direct().eval(), torch.randn(48, 6)
    outer = nn.Sequential(nn.Identity(), inner)
    c = cka.compare({"inner": inner, "outer": outer}, data=x, batch_size=8, granularity="module", progress=False)
    values = c.matrix("inner", "outer").diagonal()
    assert len(values) == 13
    assert torch.allclose(torch.tensor(values), torch.ones(13, dtype=torch.float64), atol=1e-5)
    assert not [module for module in outer.modules() if "forward" in vars(module)]
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in outer.modules())


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_one_model_under_several_names_is_read_once_for_each(names: tuple[str, ...]) -> None:
    net, x = Direct().eval(), torch.randn(48, 6)
    inside = nn.Sequential(net, nn.Identity())
    models = dict.fromkeys(names, net) | {"inside": inside}
    comparison = cka.compare(models, data=x, batch_size=8, progress=False)
    for name in names:
        assert len(comparison.layers(name)) == 5
        assert_layers(comparison[name], {"blocks.0": net.blocks[0](x), "head": net(x)})
    assert "forward" not in vars(net.blocks[0])
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in inside.modules())
