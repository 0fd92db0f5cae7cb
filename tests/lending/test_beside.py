"""Models do not touch one another: each has its own inputs and its own random numbers."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import cka_plugin as cka
from cka_plugin.capture.inputs import own_copy
from tests.lending.writers import random_states

Draw = Callable[[Tensor], Tensor]


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


class Writes(nn.Module):
    """Changes what it is given, in one way."""

    def __init__(self, how: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.lift, self.head, self.how = nn.Linear(6, 6), nn.Linear(6, 3), how

    def forward(self, x: Tensor) -> Tensor:
        self.how(x)
        return self.head(self.lift(x))


WAYS: dict[str, Callable[[Tensor], Any]] = {
    "in place": lambda x: x.sign_(),
    "through data": lambda x: x.data.zero_(),
    "through a view": lambda x: x[:, :3].fill_(1.0),
    "through numpy": lambda x: np.sin(x.numpy(), out=x.numpy()),
    "resized": lambda x: x.t_().t_().add_(1),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_changes_its_input_changes_nothing_for_others(way: str) -> None:
    x = torch.randn(64, 6)
    before, alone = x.clone(), cka.represent(plain(), x, batch_size=16, name="plain", progress=False)
    for position in (0, 1):
        models = [("writes", Writes(WAYS[way])), ("plain", plain())]
        found = cka.compare(dict(models[::-1] if position else models), data=x, batch_size=16, progress=False)
        assert all(np.array_equal(a, b) for a, b in zip(alone.vectors, found["plain"].vectors, strict=True))
    assert torch.equal(x, before)


@pytest.mark.parametrize("way", WAYS)
def test_the_users_own_minibatches_stay_as_they_are(way: str) -> None:
    batches = [torch.randn(16, 6) for _ in range(3)]
    arrays = [np.random.default_rng(i).normal(size=(16, 6)).astype(np.float32) for i in range(2)]
    before = copy.deepcopy((batches, arrays))
    cka.represent(Writes(WAYS[way]), iter(batches), progress=False)
    cka.represent(Writes(WAYS[way]), iter([torch.from_numpy(array) for array in arrays]), progress=False)
    assert all(map(torch.equal, batches, before[0]))
    assert all(map(np.array_equal, arrays, before[1]))


def test_inputs_of_any_kind_are_copied() -> None:
    packed = pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])
    given = {"x": torch.ones(2), "more": [torch.ones(1), (np.zeros(2), "text", None)], "packed": packed}
    mine = own_copy(given)
    mine["x"].zero_()
    mine["more"][1][0][:] = 5
    mine["packed"].data.zero_()
    assert given["x"].all()
    assert not given["more"][1][0].any()
    assert isinstance(mine["packed"], PackedSequence)
    assert packed.data.all()
    assert mine["more"][1][1:] == ("text", None)


class Sampled(nn.Module):
    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, mean: Tensor) -> Tensor:
        return mean + self.draw(mean)


class Noisy(nn.Module):
    """A code that is mostly noise."""

    def __init__(self, draw: Draw, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder, self.sample, self.decoder = nn.Linear(6, 20), Sampled(draw), nn.Linear(20, 6)
        self.own, self.own_numpy = torch.Generator().manual_seed(0), np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.sample(0.1 * self.encoder(x)))


def by_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.random.standard_normal(x.shape)).to(x)  # noqa: NPY002


def by_python(x: Tensor) -> Tensor:
    return torch.tensor([random.gauss(0, 1) for _ in range(x.numel())]).view_as(x)


DRAWS: dict[str, Draw] = {
    "torch": torch.randn_like,
    "dropout": lambda x: 3 * nn.functional.dropout(torch.ones_like(x), 0.5),
    "numpy": by_numpy,
    "python": by_python,
}


def held(seed: int, name: str) -> Noisy:
    """It draws from a generator of its own, seeded like that of any other."""
    net = Noisy(torch.randn_like, seed)
    if name == "own":
        net.sample.draw = lambda x: torch.randn(x.shape, generator=net.own)
    else:
        net.sample.draw = lambda x: torch.from_numpy(net.own_numpy.normal(size=x.shape)).to(x)
    return net


def made(name: str, seed: int) -> Noisy:
    return Noisy(DRAWS[name], seed) if name in DRAWS else held(seed, name)


def compared(models: dict[str, nn.Module], **options: Any) -> cka.Comparison:
    x = torch.randn(512, 6, generator=torch.Generator().manual_seed(0))
    options = {"granularity": "module", "progress": False, **options}
    return cka.compare(models, data=x, **options)


@pytest.mark.parametrize("name", [*DRAWS, "own", "own_numpy"])
@pytest.mark.filterwarnings("ignore:left out of")
def test_unrelated_models_draw_other_noise_and_the_same_model_the_same(name: str) -> None:
    net = made(name, 1)
    states = random_states()
    found = compared({"one": net, "two": made(name, 2), "again": net, "copy": copy.deepcopy(made(name, 1))})
    del states
    sample = found["one"].layer_names.index("sample")
    assert abs(found.matrix("one", "two")[sample, sample]) < 0.1
    assert np.allclose(found.matrix("one", "again").diagonal(), 1, atol=1e-6)
    assert np.allclose(found.matrix("one", "copy").diagonal(), 1, atol=1e-6) or name.startswith("own")


@pytest.mark.filterwarnings("ignore:left out of")
def test_noise_follows_from_seed_weights_and_minibatch_alone() -> None:
    one, two = made("torch", 1), made("torch", 2)
    states = random_states()
    found = compared({"one": one, "two": two})
    assert random_states() == states
    turned = compared({"two": two, "one": one})
    assert all(map(np.array_equal, found["one"].vectors, turned["one"].vectors))
    x = torch.randn(512, 6, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {"granularity": "module", "progress": False, "name": "one"}
    parts = [cka.represent(one, x, shard=(i, 3), **options) for i in (2, 0, 1)]
    merged = cka.Representation.merge(parts)
    assert all(map(np.array_equal, found["one"].vectors, merged.vectors))
    other = cka.represent(one, x, seed=1, like=found["one"], **options)
    sample = found["one"].layer_names.index("sample")
    both = cka.compare({"seed 0": found["one"], "seed 1": other}, match="ids", progress=False)
    assert abs(both.matrix("seed 0", "seed 1")[sample, sample]) < 0.1


@pytest.mark.filterwarnings("ignore:left out of")
def test_minibatches_have_noise_of_their_own() -> None:
    x = torch.zeros(64, 6)
    x[:, 0] = torch.arange(64) % 16  # each minibatch of 16 in order holds the same examples
    seen: list[Tensor] = []
    net = made("torch", 1)
    net.sample.draw = lambda x: seen.append(torch.randn_like(x)) or seen[-1]
    cka.represent(net, iter(x.split(16)), granularity="module", progress=False)
    last = seen[-1]
    assert not any(torch.equal(last, noise) for noise in seen[:-1])


def test_a_stochastic_model_goes_on_with_the_same_noise(tmp_path: Any) -> None:
    one = made("torch", 1)
    x = torch.randn(128, 6)
    options: dict[str, Any] = {"granularity": "module", "progress": False, "name": "one", "batch_size": 32}
    whole = cka.represent(one, x, **options)
    cka.represent(one, x, checkpoint_dir=tmp_path, **options)
    for path in sorted(tmp_path.glob("*/[13].safetensors")):
        path.unlink()
    again = cka.represent(one, x, checkpoint_dir=tmp_path, **options)
    assert all(map(np.array_equal, whole.vectors, again.vectors))
