"""Forward passes that change their model, each in one way, and all that there is in a model as plain data."""

from __future__ import annotations

import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 200  # 200 x 200 weights are too many to be copied beforehand

Does = Callable[[Any, Tensor], Any]


class Net(nn.Module):
    """Three layers, and after the first of them whatever is tried; a tensor that it gives goes on in its place."""

    def __init__(self, does: Does = lambda net, h: None, **attributes: Any) -> None:
        super().__init__()
        self.lift, self.mid, self.head = nn.Linear(6, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("table", torch.zeros(WIDTH, WIDTH), persistent=False)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.does, self.extra = does, 1
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        h = self.lift(x)
        made = self.does(self, h)
        return self.head(self.mid(torch.tanh(made if isinstance(made, Goes) else h)))


class Goes(Tensor):
    """A tensor to go on with."""


@dataclass
class Memory:
    count: int = 0
    rows: list[Tensor] = field(default_factory=list)


class Store:
    """Of the user's own, no data class."""

    def __init__(self) -> None:
        self.by_name: dict[str, Any] = {"a": [1, {"b": {2}}]}


def _actnorm(net: Any, h: Tensor) -> None:
    if not net.seen:
        net.lift.bias.data.copy_(h.mean(0))
        net.mid.weight.data.view(-1).mul_(2)
        net.seen.fill_(1)


def _backward(net: Any, h: Tensor) -> None:
    with torch.enable_grad():
        net.mid(h.detach()).sum().backward()


def _batch_norm(net: Any, h: Tensor) -> None:
    F.batch_norm(h, net.norm.running_mean, net.norm.running_var, training=True)


def _train_a_part(net: Any, h: Tensor) -> None:
    net.norm.train()
    net.norm(h)


IN_PLACE: dict[str, Does] = {
    "parameters and buffers through data": _actnorm,
    "a buffer in place": lambda net, h: net.seen.add_(len(h)),
    "a large buffer through a view": lambda net, h: net.table.data[0].fill_(1.0),
    "a large weight": lambda net, h: net.mid.weight.detach().mul_(0.5),
    "statistics of a batch norm by function": _batch_norm,
    "statistics of a part that trains": _train_a_part,
    "gradients": _backward,
    "a buffer through numpy": lambda net, h: net.norm.running_mean.numpy().__setitem__(0, 1.0),
}
REPLACED: dict[str, Does] = {
    "a buffer replaced": lambda net, h: setattr(net, "seen", net.seen + 1),
    "a buffer made at the first call": lambda net, h: net.register_buffer("made", h[0].clone()),
    "data of a weight replaced": lambda net, h: setattr(net.mid.weight, "data", net.mid.weight * 0.9),
    "a weight replaced": lambda net, h: setattr(net.mid, "weight", nn.Parameter(net.mid.weight * 0.9)),
    "requires_grad": lambda net, h: net.mid.weight.requires_grad_(False),
    "strides of a weight": lambda net, h: net.mid.weight.detach().t_(),
    "a module made at the first call": lambda net, h: net.add_module("more", nn.ReLU()),
    "a hook": lambda net, h: net.mid.register_forward_hook(lambda *args: None),
    "an attribute made": lambda net, h: setattr(net, "calls", getattr(net, "calls", 0) + 1),
    "an attribute deleted": lambda net, h: vars(net).pop("extra", None),
    "forward replaced": lambda net, h: setattr(net, "forward", lambda x: net.head(net.mid(net.lift(x)))),
    "a class changed": lambda net, h: setattr(net, "__class__", type("Other", (Net,), {})),
}
ATTRIBUTES: dict[str, tuple[Callable[[], Any], Callable[[Any, Tensor], Any]]] = {
    "a dict": (dict, lambda held, h: held.__setitem__("n", held.get("n", 0) + len(h))),
    "an ordered dict": (lambda: OrderedDict({0: 1}), lambda held, h: held.__setitem__(len(held), h)),
    "a default dict": (lambda: defaultdict(list), lambda held, h: held["x"].append(1)),
    "a list": (lambda: [1], lambda held, h: held.append(h)),
    "nested containers": (lambda: ([{"a": {1}}],), lambda held, h: held[0][0]["a"].add(5)),
    "a queue": (lambda: deque([1, 2], maxlen=2), lambda held, h: held.append(1)),
    "a tensor": (lambda: torch.ones(3), lambda held, h: held.mul_(2)),
    "a large tensor": (lambda: torch.ones(300, 100), lambda held, h: held.data.mul_(2)),
    "a tensor in a list": (lambda: [torch.ones(2)], lambda held, h: held[0].add_(1)),
    "an array": (lambda: np.zeros(4), lambda held, h: held.__iadd__(1)),
    "a name space": (lambda: SimpleNamespace(n=0), lambda held, h: setattr(held, "n", held.n + 1)),
    "a data class": (Memory, lambda held, h: (held.rows.append(h), setattr(held, "count", 3))),
    "an object": (Store, lambda held, h: held.by_name["a"][1]["b"].add(3)),
    "a generator": (torch.Generator, lambda held, h: torch.rand(1, generator=held)),
    "a generator of numpy": (lambda: np.random.default_rng(0), lambda held, h: held.random()),
    "an old generator of numpy": (lambda: np.random.RandomState(0), lambda held, h: held.rand()),
    "a generator of Python": (lambda: random.Random(0), lambda held, h: held.random()),
    "a hidden module": (lambda: [nn.Linear(2, 2)], lambda held, h: held[0].bias.data.zero_()),
}


def writers() -> dict[str, Callable[[], Net]]:
    """What a model does -> how it is made."""
    made: dict[str, Callable[[], Net]] = {}
    for name, does in {**IN_PLACE, **REPLACED}.items():
        made[name] = lambda does=does: Net(does)  # type: ignore[misc]
    for name, (value, change) in ATTRIBUTES.items():
        made[name] = lambda value=value, change=change: Net(  # type: ignore[misc]
            lambda net, h: change(net.held, h), held=value()
        )
    return made


def described(held: Any) -> Any:
    """All that there is in an object, as plain data that can be compared."""
    if isinstance(held, Tensor):
        kind = (held.dtype, held.device, held.stride(), held.requires_grad, held.data_ptr(), id(held))
        return (kind, held.detach().numpy().tobytes(), described(held.grad) if held.is_leaf else None)
    if isinstance(held, np.ndarray):
        return held.tobytes()
    if isinstance(held, torch.Generator | np.random.RandomState):
        return str(held.get_state())
    if isinstance(held, np.random.Generator):
        return str(held.bit_generator.state)
    if isinstance(held, random.Random):
        return held.getstate()
    if isinstance(held, dict):
        return [(key, described(value)) for key, value in held.items()]
    if isinstance(held, list | tuple | deque):
        return [described(value) for value in held]
    if isinstance(held, nn.Module | Memory | Store | SimpleNamespace):
        return (type(held).__name__, described(vars(held)))
    return set(held) if isinstance(held, set) else held if isinstance(held, bool | int | float | str) else id(held)


def random_states() -> Any:
    """Those of PyTorch, NumPy and Python."""
    state = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), state[1].tolist(), state[2:], random.getstate()


def assert_works(net: nn.Module, x: Tensor) -> None:
    """A forward pass and a training step work."""
    assert net(x).shape[0] == len(x)
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    net.train()(x).sum().backward()
    optimiser.step()
