"""Untrained weights are drawn as they first were: by the framework's builder, by layers, by what holds them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

import cka_plugin as cka
from tests.lending.writers import described


def trained(net: nn.Module) -> nn.Module:
    """With other weights, as after training."""
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor))
    return net


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    first, second = a.state_dict(), b.state_dict()
    assert list(first) == list(second)
    unlike = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert not unlike


def named(name: str, seed: int = 0) -> nn.Module:
    return cka.untrained(name, seed=seed)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_a_model_of_timm_has_the_weights_of_its_name(name: str) -> None:
    import timm

    assert_same_weights(cka.untrained(trained(timm.create_model(name)), seed=3), named(f"timm:{name}", 3))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_a_model_of_torchvision_has_the_weights_of_its_name(name: str) -> None:
    from torchvision.models import get_model

    assert_same_weights(cka.untrained(trained(get_model(name))), named(f"torchvision:{name}"))


def test_a_model_of_transformers_has_the_weights_of_its_configuration() -> None:
    import transformers

    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=40
    )
    torch.manual_seed(5)
    net = transformers.BertForSequenceClassification(config)
    first = {name: value.clone() for name, value in net.state_dict().items()}
    fresh = cka.untrained(trained(net), seed=5)
    assert all(torch.equal(value, first[name]) for name, value in fresh.state_dict().items())


def test_another_head_on_a_known_model_is_drawn_by_itself() -> None:
    import timm

    net = timm.create_model("test_resnet")
    net.fc = nn.Linear(net.num_features, 7)
    fresh, whole = cka.untrained(trained(net)), named("timm:test_resnet")
    assert torch.equal(fresh.conv1[0].weight, whole.conv1[0].weight)
    assert fresh.fc.weight.shape == (7, net.num_features)
    assert fresh.fc.weight.abs().max() <= 1 / net.num_features**0.5


def test_a_known_model_inside_ones_own_is_drawn_by_its_framework() -> None:
    import timm

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = timm.create_model("test_vit", num_classes=0), nn.Linear(64, 3)

    fresh = cka.untrained(trained(Own()))
    torch.default_generator.manual_seed(0)
    assert_same_weights(fresh.backbone, timm.create_model("test_vit", num_classes=0))


class Masked(nn.Module):
    """With an initialiser for its parts, as masked autoencoders have, and one of no parts."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(4))
        self.body = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
        self.initialize_weights()

    def initialize_weights(self) -> None:
        nn.init.normal_(self.token, std=0.02)
        self.apply(self._init_weights)

    def _init_weights(self, part: nn.Module) -> None:
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)


def layers() -> dict[str, Callable[[], nn.Module]]:
    return {
        "plain": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Conv1d(3, 4, 2), nn.Embedding(5, 4)),
        "recurrent": lambda: nn.Sequential(nn.LSTM(4, 5, 2), nn.GRUCell(5, 3)),
        "attention": lambda: nn.MultiheadAttention(8, 2),
        "transformer": lambda: nn.Transformer(8, 2, 2, 2, 16),
        "encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3, enable_nested_tensor=False),
        "initialisers": Masked,
    }


@pytest.mark.parametrize("name", [name for name in layers() if name not in ("encoder", "initialisers")])
def test_layers_of_pytorch_are_drawn_as_their_constructors_do(name: str) -> None:
    torch.manual_seed(2)
    net = layers()[name]()
    first = {key: value.clone() for key, value in net.state_dict().items()}
    fresh = cka.untrained(trained(net), seed=2)
    unlike = [key for key, value in fresh.state_dict().items() if not torch.equal(value, first[key])]
    assert not unlike


def test_layers_that_a_transformer_copies_are_alike() -> None:
    fresh = cka.untrained(trained(layers()["encoder"]()))
    assert_same_weights(fresh.layers[0], fresh.layers[2])


def test_initialisers_of_the_whole_come_last() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh = cka.untrained(trained(Masked()))
    assert fresh.token.abs().max() < 0.2
    assert not fresh.body[0].bias.any()
    assert bool((fresh.body[1].weight == 1).all())


def three() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def pruned(method: Callable[[nn.Module], object]) -> Callable[[], nn.Sequential]:
    def made() -> nn.Sequential:
        net = three()
        method(net[0])
        return net

    return made


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).mT if x.shape[0] == x.shape[1] else x * 2


def twice_pruned(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", 0.3)
    prune.random_unstructured(layer, "weight", 0.3)
    prune.l1_unstructured(layer, "bias", 2)


COMPUTED = {
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned twice": twice_pruned,
    "weight norm": weight_norm,
    "weight norm by parametrization": parametrizations.weight_norm,
    "spectral norm": spectral_norm,
    "spectral norm by parametrization": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "a parametrization of one's own": lambda layer: parametrize.register_parametrization(layer, "weight", Symmetric()),
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_that_are_computed_start_as_the_layers_do(name: str) -> None:
    net = pruned(COMPUTED[name])()
    x = torch.randn(16, 6)
    trained(net)
    if "pruned" in name:  # the masks are no weights
        net = pruned(COMPUTED[name])()
    net(x).sum().backward()
    before = described(net)
    with warnings.catch_warnings():
        warnings.simplefilter("error", cka.CKAWarning)
        fresh = cka.untrained(net)
    assert described(net) == before
    assert torch.isfinite(fresh(x)).all()
    assert not torch.allclose(fresh(x), net(x))
    if name != "orthogonal" and "one's own" not in name:
        assert fresh[0].weight.abs().max() <= 1 / 6**0.5 + 1e-6 or "spectral" in name
    if "pruned" in name:
        assert torch.equal(fresh[0].weight_mask, net[0].weight_mask)
        assert torch.equal(fresh[0].weight == 0, net[0].weight_mask == 0)
    fresh(x).sum().backward()
    cka.compare({"net": net, "fresh": fresh}, data=x, batch_size=8, granularity="module", progress=False)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.jit.script(three()), "TorchScript"),
        (lambda: nn.Sequential(torch.jit.script(three()), nn.Linear(3, 2)), r"Sequential\.0: it was compiled"),
        (lambda: torch.ao.quantization.quantize_dynamic(three()), "is quantised"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), "waits for its first forward pass"),
    ],
    ids=["scripted", "a scripted part", "quantised", "lazy"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_nothing_can_initialise_is_said(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(ValueError, match=f"untrained cannot initialise .*{said}"):
        cka.untrained(make())
