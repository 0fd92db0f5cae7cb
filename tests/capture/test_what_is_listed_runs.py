"""What `layers` lists, `compare` runs: compiled, exported, offloaded, pruned, normed and quantised models."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import cka_plugin as cka

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


class Holds(nn.Module):
    """A part of another kind within one's own."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = part, nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


class Counts(nn.Module):
    """A module whose state TorchScript keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.count, self.rows = nn.Linear(6, 3), 0, [1]
        self.register_buffer("total", torch.zeros(3))
        self.state = torch.zeros(3)

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.rows.append(self.count)
        self.total += x.shape[0]
        self.state = self.state + 1
        return self.linear(x) + self.total + self.state


def loaded(model: Any) -> Any:
    file = io.BytesIO()
    torch.jit.save(model, file)
    file.seek(0)
    return torch.jit.load(file)


def exported(model: nn.Module) -> nn.Module:
    program = torch.export.export(model.eval(), (X[:8],), dynamic_shapes=({0: torch.export.Dim("n")},))
    return program.module()


def applied(change: Callable[[nn.Module], Any]) -> nn.Module:
    model = net()
    change(model[0])
    return model


def offloaded(model: nn.Module) -> nn.Module:
    from accelerate import cpu_offload

    return cpu_offload(model)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "scripted": lambda: torch.jit.script(net()),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(net().eval())),
    "traced": lambda: torch.jit.trace(net(), X),
    "loaded": lambda: loaded(torch.jit.script(net())),
    "exported": lambda: exported(net()),
    "a scripted part": lambda: Holds(torch.jit.script(net())),
    "a traced part": lambda: Holds(torch.jit.trace(net(), X)),
    "an exported part": lambda: Holds(exported(net())),
    "a scripted layer": lambda: nn.Sequential(torch.jit.script(nn.Linear(6, 6)), nn.Tanh(), nn.Linear(6, 3)),
    "offloaded": lambda: offloaded(net()),
    "pruned": lambda: applied(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
    "weight norm": lambda: applied(weight_norm),
    "weight norm by parametrization": lambda: applied(parametrizations.weight_norm),
    "spectral norm": lambda: applied(spectral_norm),
    "quantised": lambda: torch.ao.quantization.quantize_dynamic(net()),
    "compiled": lambda: torch.compile(net(), backend="eager"),
    "traced by fx": lambda: torch.fx.symbolic_trace(net()),
    "lazy": lambda: nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(3)),
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.mark.parametrize("granularity", ["stage", "block", "module"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_listed_runs(name: str, granularity: str) -> None:
    if name == "offloaded":
        pytest.importorskip("accelerate")
    model = MODELS[name]()
    listed = [layer.path for layer in cka.layers(model, granularity)]
    found = cka.compare({"net": model, "plain": net()}, data=X, batch_size=16, granularity=granularity, progress=False)
    assert [layer.path for layer in found.layers("net")] == listed
    assert np.isfinite(found.matrix("net", "plain")).all()


@pytest.mark.parametrize("name", ["scripted", "frozen", "traced", "loaded", "exported", "offloaded"])
def test_the_output_is_that_of_the_plain_network(name: str) -> None:
    if name == "offloaded":
        pytest.importorskip("accelerate")
    found = cka.compare({"net": MODELS[name](), "plain": net()}, data=X, batch_size=16, progress=False)
    assert found.matrix("net", "plain")[-1, -1] == pytest.approx(1, abs=1e-5)


def test_a_scripted_module_comes_back_as_it_was() -> None:
    model = torch.jit.script(Counts())
    with warnings.catch_warnings():
        warnings.simplefilter("error", cka.CKAWarning)
        cka.represent(model, X, batch_size=16, progress=False)
    assert (model.count, model.rows) == (0, [1])
    assert not model.total.any()
    assert not model.state.any()
    assert model.training
    model(X).sum().backward()


def test_an_offloaded_module_comes_back_offloaded() -> None:
    pytest.importorskip("accelerate")
    model = offloaded(net())
    before = dict(model.named_parameters())
    cka.represent(model, X, batch_size=16, progress=False)
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert torch.allclose(model(X), net()(X), atol=1e-6)


def test_a_model_on_the_meta_device_is_told_apart_from_an_offloaded_one() -> None:
    with torch.device("meta"):
        model = nn.Linear(6, 3)
    with pytest.raises(ValueError, match="meta device, without values"):
        cka.represent(model, X, progress=False)
