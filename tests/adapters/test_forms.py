"""What `layers` accepts, `compare` runs: every form in which torch hands a network on gives what the network gives."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import cka_plugin as cka

Form = Callable[[nn.Module, Tensor], nn.Module]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


class Around(nn.Module):
    """One's own module around a part of another form."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.first, self.part = nn.Identity(), part

    def forward(self, x: Tensor) -> Tensor:
        return self.part(self.first(x))


def exported(model: nn.Module, x: Tensor) -> nn.Module:
    return torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("n")},)).module()


def pruned(model: nn.Module, x: Tensor) -> nn.Module:
    model = copy.deepcopy(model)
    prune.identity(model[0], "weight")
    return model


def weight_normed(model: nn.Module, x: Tensor) -> nn.Module:
    model = copy.deepcopy(model)
    parametrizations.weight_norm(model[0])
    return model


FORMS: dict[str, Form] = {
    "scripted": lambda model, x: torch.jit.script(model),
    "frozen": lambda model, x: torch.jit.freeze(torch.jit.script(model)),
    "traced": torch.jit.trace,
    "exported": exported,
    "a graph of fx": lambda model, x: torch.fx.symbolic_trace(model),
    "compiled": lambda model, x: torch.compile(model, backend="eager"),
    "data parallel": lambda model, x: nn.DataParallel(model),
    "averaged": lambda model, x: torch.optim.swa_utils.AveragedModel(model),
    "pruned": pruned,
    "weight normed": weight_normed,
    "a scripted part": lambda model, x: Around(torch.jit.script(model)),
    "a traced part": lambda model, x: Around(torch.jit.trace(model, x)),
    "an exported part": lambda model, x: Around(exported(model, x)),
    "a frozen part": lambda model, x: Around(torch.jit.freeze(torch.jit.script(model))),
    "a part of one's own": lambda model, x: Around(model),
    "one leaf": lambda model, x: model[0],
}


@pytest.mark.parametrize("granularity", ["stage", "block", "module"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_that_layers_lists_is_compared(form: str, granularity: str) -> None:
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        given = FORMS[form](model, x)
    listed = [layer.path for layer in cka.layers(given, granularity)]
    reference = nn.Sequential(model[0]) if form == "one leaf" else model
    with torch.no_grad():
        before = given(x)
    c = cka.compare({"net": reference, "form": given}, data=x, batch_size=8, granularity="module", progress=False)
    made = cka.represent({"form": given}, x, batch_size=8, granularity=granularity, progress=False)
    assert [layer.path for layer in made.layers] == listed
    assert np.isclose(c.matrix("net", "form")[-1, -1], 1, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(given(x), before)
