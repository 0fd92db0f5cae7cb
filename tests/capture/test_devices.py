"""On a device that works by itself: nothing waits for it while a model runs, and the numbers are those of a CPU.

No such device is needed here. Tensors on the meta device have no values, so that whatever looks at one, or copies it to
the host, raises; and what is done for other devices is done for CPU tensors where their kind is hidden.
"""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import cka_plugin as cka
from cka_plugin.adapters import registry
from cka_plugin.capture import hooks
from cka_plugin.capture.captured import HostCopy
from cka_plugin.capture.hooks import Capture, Watched
from cka_plugin.options import Options
from tests.support.small_transformers import bert, built

META = torch.device("meta")
WAITS = {"_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "_unique2", "unique_consecutive"}


class Waits(TorchDispatchMode):
    """Notes operations that wait for a GPU, as their results, or the shapes of these, are needed on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in WAITS:
            self.seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def waits_in_hooks(monkeypatch) -> Waits:
    """Notes what waits in hooks: not what the model does itself, nor what is done between minibatches."""
    waits, made = Waits(), Capture._hook

    def hook(self, position, layer):
        own = made(self, position, layer)

        def noted(*given) -> None:
            with waits:
                own(*given)

        return noted

    monkeypatch.setattr(Capture, "_hook", hook)
    return waits


def watched(model: nn.Module, granularity: str = "module") -> Watched:
    layers = registry.layers(model, granularity)
    return Watched(model, registry.adapter_of(model), layers, name="net", discover=granularity == "module")


@pytest.fixture
def as_on_a_device(monkeypatch):
    """What is done in doubt on other devices is done with CPU tensors."""
    monkeypatch.setattr(hooks, "looks_are_free", lambda device: False)


class Later(HostCopy):
    """Results that are under way until they are asked for."""

    def __init__(self, tensors) -> None:
        super().__init__([tensor.clone() for tensor in tensors])
        self.under_way = True

    def arrays(self):
        self.under_way = False
        return super().arrays()


class Shapes(HostCopy):
    """What would come to the host of tensors without values: zeros."""

    def __init__(self, tensors) -> None:
        assert all(tensor.is_meta for tensor in tensors)
        super().__init__([torch.zeros(tensor.shape) for tensor in tensors])


@pytest.mark.parametrize(
    ("name", "granularity"),
    [("resnet10t", "block"), ("resnet10t", "module"), ("convnext_atto", "block"), ("vit_tiny_patch16_224", "block")],
)
def test_no_value_is_looked_at_while_a_model_runs(monkeypatch, name: str, granularity: str) -> None:
    with META:
        model = timm.create_model(name).eval()
    monkeypatch.setattr(hooks, "HostCopy", Shapes)
    size = 224 if name.startswith("vit") else 64
    with Capture(watched(model, granularity)) as capture:
        for minibatch in range(2):
            captured = capture.begin(torch.empty(5, 3, size, size, device=META), 5, minibatch).captured()
    assert captured.vectors.shape == (len(capture.layers), 10)
    assert captured.logits.shape == (5, 1000)


def test_nothing_waits_from_the_second_minibatch_on_where_rows_are_told_on_the_first(
    as_on_a_device, waits_in_hooks
) -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=2, embed_dim=24, img_size=32).eval()
    with Capture(watched(model)) as capture:
        capture.begin(torch.randn(5, 3, 32, 32), 5, 0).captured()
        waits_in_hooks.seen.clear()
        capture.begin(torch.randn(5, 3, 32, 32), 5, 1)
    assert waits_in_hooks.seen == []


def test_on_a_cpu_values_are_looked_at_so_that_what_is_noted_here_is_seen(waits_in_hooks) -> None:
    with Capture(watched(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)))) as capture:
        for minibatch in range(2):
            waits_in_hooks.seen.clear()
            capture.run(torch.randn(5, 4), 5, minibatch)
    assert waits_in_hooks.seen == ["_local_scalar_dense"] * 4


@pytest.mark.parametrize("pooling", ["auto", "flatten", "mean", "cls", "max"])
def test_nothing_waits_for_the_mask_of_texts(as_on_a_device, waits_in_hooks, pooling: str) -> None:
    model = built(bert())
    mask = torch.ones(6, 9, dtype=torch.int64)
    mask[3:, 5:] = 0
    inputs = {"input_ids": torch.arange(54).view(6, 9) % 10, "attention_mask": mask}
    with Capture(watched(model), Options(pooling=pooling)) as capture:
        capture.begin(inputs, 6, 0).captured()
        waits_in_hooks.seen.clear()
        begun = capture.begin(inputs, 6, 1)
        assert waits_in_hooks.seen == []
        assert begun.captured().vectors.shape[0] == len(capture.layers)


class Of(nn.Module):
    """A function as a layer."""

    def __init__(self, made) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Tensor) -> Tensor:
        return self.made(x)


class Awkward(nn.Module):
    """Layers of every scale, far from the origin, constant, and not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: Of(made) for name, made in AWKWARD.items()})
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers.values():
            layer(x)
        return self.head(x)


AWKWARD = {
    "plain": lambda x: x.sin(),
    "tiny": lambda x: x * 1e-30,
    "huge": lambda x: x * 1e25,
    "far": lambda x: x + 1e6,
    "farther": lambda x: x.double() + 1e12,
    "constant": lambda x: torch.full_like(x, 3.3),
    "broken": lambda x: x / (x > 5.0),
}


def test_matrices_made_without_a_look_are_as_right_as_with_one(monkeypatch) -> None:
    data = torch.randn(96, 8, generator=torch.Generator().manual_seed(0))
    options = {"layers": ["layers.*", "head"], "granularity": "module", "batch_size": 24, "progress": False}
    net = Awkward()
    with pytest.warns(cka.CKAWarning):
        looked = cka.compare({"net": net}, data=data, **options)
    monkeypatch.setattr(hooks, "looks_are_free", lambda device: False)
    with pytest.warns(cka.CKAWarning):
        found = cka.compare({"net": net}, data=data, **options)
    assert found["net"].problems == looked["net"].problems
    assert len(found["net"].problems) == 2  # the constant one, and the broken one
    np.testing.assert_allclose(found.matrix(), looked.matrix(), atol=1e-6)


def test_a_layer_that_cannot_be_trusted_is_made_again_and_with_care_from_then_on(as_on_a_device) -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    passes = []
    net.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        net[0].weight.mul_(1e-30)
        net[0].bias.zero_()
    with Capture(watched(net)) as capture:
        capture.run(torch.randn(8, 4), 8, 0)
        before = len(passes)
        capture.run(torch.randn(8, 4), 8, 1)
        assert len(passes) == before + 1


@pytest.mark.parametrize("kept", [False, True])
def test_results_that_come_later_are_the_same_bits(monkeypatch, tmp_path, kept: bool) -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    data = torch.randn(70, 8)
    at_once = cka.represent(net, data, batch_size=16, granularity="module", progress=False)
    monkeypatch.setattr(hooks, "HostCopy", Later)
    options = {"checkpoint_dir": tmp_path / "kept"} if kept else {}
    for _ in range(1 + kept):
        later = cka.represent(net, data, batch_size=16, granularity="module", progress=False, **options)
        assert all(np.array_equal(a, b) for a, b in zip(at_once.vectors, later.vectors, strict=True))
        assert np.array_equal(at_once.logits, later.logits)


def test_a_result_of_doubt_that_comes_later_is_made_again_with_its_own_inputs(monkeypatch, as_on_a_device) -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    data = torch.randn(64, 8)
    data[32:48] *= 1e-30  # in the third minibatch products of float32 vanish
    with torch.no_grad():
        net[0].bias.zero_()
        net[2].bias.zero_()
    at_once = cka.represent(net, data, batch_size=16, granularity="module", progress=False)
    monkeypatch.setattr(hooks, "HostCopy", Later)
    later = cka.represent(net, data, batch_size=16, granularity="module", progress=False)
    assert all(np.array_equal(a, b) for a, b in zip(at_once.vectors, later.vectors, strict=True))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_running_out_of_memory_says_what_may_help(error: Exception) -> None:
    class Full(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    with pytest.raises(RuntimeError, match=r"full failed on a minibatch of float32 \(16, 3\).*smaller batch_size"):
        cka.represent({"full": nn.Sequential(nn.Linear(3, 3), Full())}, torch.randn(16, 3), progress=False)
