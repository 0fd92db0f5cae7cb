"""Hooks: activations are read when they are made, and a model comes back as it was lent."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.adapters import register_adapter
from cka_plugin.adapters.base import Adapter, Layer
from tests.support import reference
from tests.support.nets import ConvNet, Repeats, images


def test_in_place_changes_after_a_module_do_not_reach_its_activation() -> None:
    model = ConvNet()
    data = images(32)
    comparison = cka.compare({"net": model}, data=data, granularity="module", batch_size=32, progress=False)
    names = comparison["net"].layer_names
    batch = data[torch.tensor(comparison["net"].example_ids)]
    # bn2 is followed by `+=` and an in-place ReLU; bn1 by an in-place ReLU.
    paths = [layer.path for layer in comparison.layers("net")]
    kept = reference.activations(model, paths, [batch])
    found = comparison.matrix("net")
    for one in ("bn1", "bn2"):
        i = next(k for k, name in enumerate(names) if name.endswith(f"0.{one}"))
        j = next(k for k, name in enumerate(names) if name.endswith("0.conv1"))
        assert found[i, j] == pytest.approx(reference.minibatch_cka(kept[paths[i]], kept[paths[j]]), abs=1e-6)
        assert found[i, i + 1] < 0.9999


def test_a_module_called_k_times_gives_k_layers() -> None:
    model = Repeats()
    representation = cka.represent(model, torch.randn(20, 8), granularity="module", progress=False)
    assert [layer.path for layer in representation.layers] == ["first", "shared", "shared", "shared", "head"]
    names = representation.layer_names
    assert names[2] == f"{names[1]}@1"
    assert names[3] == f"{names[1]}@2"
    depths = [layer.depth for layer in representation.layers]
    assert depths == sorted(depths)
    assert len(set(names)) == 5


class Outputs(nn.Module):
    def __init__(self, wrap) -> None:
        super().__init__()
        self.linear, self.wrap = nn.Linear(6, 5), wrap

    def forward(self, x: Tensor):
        return self.wrap(self.linear(x))


class Chain(nn.Module):
    def __init__(self, wrap, unwrap) -> None:
        super().__init__()
        self.block, self.unwrap, self.head = Outputs(wrap), unwrap, nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.unwrap(self.block(x)))


def model_output(x: Tensor):
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=x)


class OneLayer(Adapter):
    name = "chain"

    def owns(self, model: nn.Module) -> bool:
        return isinstance(model, Chain)

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        return [Layer("blocks.0", "block", "block", 0.5), Layer("head", "head", "head", 1.0)]


@pytest.fixture
def chain_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    from cka_plugin.adapters import known

    monkeypatch.setattr(known, "_registered", [])
    register_adapter(OneLayer())


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (lambda x: (x, None), lambda y: y[0]),
        (lambda x: {"attention": None, "hidden": x}, lambda y: y["hidden"]),
        (lambda x: [torch.arange(3), x], lambda y: y[1]),
        (model_output, lambda y: y.last_hidden_state),
    ],
    ids=["tuple", "dict", "list", "ModelOutput"],
)
def test_outputs_that_are_no_tensors_are_understood(chain_adapter: None, wrap, unwrap) -> None:
    model = Chain(wrap, unwrap)
    comparison = cka.compare({"net": model}, data=torch.randn(20, 6), batch_size=20, progress=False)
    inner = cka.compare({"net": model}, data=torch.randn(20, 6), granularity="module", progress=False)
    assert comparison.matrix("net").shape == (2, 2)
    assert np.isfinite(inner.matrix("net")).all()


def snapshot(model: nn.Module) -> dict:
    return {
        "training": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "parameters": [
            (id(p), p.data_ptr(), p.dtype, p.device, p.stride(), p.requires_grad) for p in model.parameters()
        ],
        "buffers": [(id(b), b.dtype, b.device) for b in model.buffers()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "values": [v.clone() for v in model.state_dict().values()],
    }


def assert_as_lent(model: nn.Module, before: dict, rng: Tensor, grad: bool) -> None:
    after = snapshot(model)
    values, kept = after.pop("values"), before.pop("values")
    assert after == before
    assert all(torch.equal(a, b) for a, b in zip(values, kept, strict=True))
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.is_grad_enabled() == grad


def mixed_model() -> nn.Module:
    model = ConvNet()
    model.train()
    model.blocks[1].eval()
    model.head.weight.requires_grad_(False)
    return model


@pytest.mark.parametrize("grad", [True, False])
def test_the_model_comes_back_as_it_was_lent(grad: bool) -> None:
    model = mixed_model()
    before, rng = snapshot(model), torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    with torch.set_grad_enabled(grad):
        cka.represent(model, torch.utils.data.DataLoader(images(), shuffle=True, batch_size=16), progress=False)
        assert_as_lent(model, before, rng, grad)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=["exception", "ctrl-c"])
def test_the_model_comes_back_as_it_was_lent_after(error: BaseException) -> None:
    model = mixed_model()
    calls = []

    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(1)
            if len(calls) == 2:
                raise error
            return x

    model.pool = nn.Sequential(model.pool, Failing())
    before, rng = snapshot(model), torch.get_rng_state()
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        cka.represent(model, images(), batch_size=16, progress=False)
    assert_as_lent(model, before, rng, True)


def test_a_model_can_be_trained_after_it_cached_tensors_while_compared() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
            self.cache = None

        def forward(self, x: Tensor) -> Tensor:
            if self.cache is None:
                self.cache = torch.ones(4)
            return self.head(self.first(x) * self.cache)

    model = Caching()
    cka.represent(model, torch.randn(16, 4), granularity="module", progress=False)
    model(torch.randn(3, 4)).sum().backward()
    assert model.first.weight.grad is not None


def test_random_models_are_repeatable_whatever_runs_beside_them() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            return self.head(h + torch.randn_like(h))

    model, other = Noisy(), Noisy()
    data = torch.randn(40, 4)
    alone = cka.represent(model, data, granularity="module", batch_size=20, name="model", progress=False)
    beside = cka.compare(
        {"other": other, "model": model}, data=data, granularity="module", batch_size=20, progress=False
    )
    for x, y in zip(alone.vectors, beside["model"].vectors, strict=True):
        assert np.array_equal(x, y)


def test_one_module_under_two_names_is_one_with_itself() -> None:
    model = ConvNet()
    comparison = cka.compare({"a": model, "b": model}, data=images(), progress=False)
    assert np.allclose(np.diag(comparison.matrix("a", "b")), 1.0, atol=1e-6)


def test_autocast_is_of_the_forward_only() -> None:
    model = ConvNet()
    plain = cka.represent(model, images(), name="float32", progress=False)
    half = cka.represent(model, images(), name="bfloat16", precision="bfloat16", progress=False)
    diagonal = np.diag(cka.compare(plain, half).matrix())
    assert (diagonal > 0.99).all()
    assert (diagonal < 0.9999999).any()
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_float64_models_keep_float64() -> None:
    model = copy.deepcopy(ConvNet()).double()
    comparison = cka.compare({"net": model}, data=images().double(), progress=False)
    assert np.isfinite(comparison.matrix("net")).all()


def test_sequence_first_outputs_are_read_by_example() -> None:
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=False), 3, enable_nested_tensor=False
    )
    batched = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3, enable_nested_tensor=False
    )
    batched.load_state_dict(encoder.state_dict())

    class SequenceFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, x: Tensor) -> Tensor:
            return self.encoder(x.transpose(0, 1)).transpose(0, 1)

    class BatchFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = batched

        def forward(self, x: Tensor) -> Tensor:
            return self.encoder(x)

    data = torch.randn(40, 10, 8)
    for n in (10, 20):  # also where the number of examples equals the length
        comparison = cka.compare({"s": SequenceFirst(), "b": BatchFirst()}, data=data, batch_size=n, progress=False)
        assert np.allclose(np.diag(comparison.matrix("s", "b")), 1.0, atol=1e-5)


def test_a_model_that_fails_on_the_batch_is_named_with_the_shape() -> None:
    with pytest.raises(RuntimeError, match=r"net failed on a minibatch of float32 \(16, 3, 5\)"):
        cka.represent(ConvNet(), torch.randn(32, 3, 5), name="net", batch_size=16, progress=False)
