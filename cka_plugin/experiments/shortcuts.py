"""What is left of a residual block when its residual branches give nothing: its shortcut.

A block computes f(shortcut(x) + branch(x)), f an activation, a normalisation or nothing; the shortcut is the identity,
or a path of its own where shapes change. With the weights of its branches at zero the block itself computes
f(shortcut(x)), in any framework and with all it returns beside. What came out is then looked at, so that blocks that do
not pass their input on are told from those that do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Layer, first_tensor

PATHS = (
    "downsample",
    "shortcut",
    "skip",
    "skip_connection",
    "proj_shortcut",
)  # what frameworks call a shortcut's modules
_ROUNDING = 1e-5  # of the largest entry


@dataclass(frozen=True)
class Silencing:
    """Which parameters of a block to set to zero, and what is then left of it.

    Attributes:
        layer: the block.
        parameters: of its residual branches.
        shortcut: what is left, in words.
    """

    layer: Layer
    parameters: list[nn.Parameter]
    shortcut: str


@contextlib.contextmanager
def silenced(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Parameters are zero within, and the very same tensors as before afterwards."""
    held = [(parameter, parameter.data) for parameter in parameters]
    try:
        for parameter, data in held:
            parameter.data = torch.zeros_like(data)
        yield
    finally:
        for parameter, data in held:
            parameter.data = data


def branch_parameters(block: nn.Module, keep_norms: bool = False) -> list[nn.Parameter]:
    """Parameters of a block outside its shortcut path; without those of its normalisations where they are to stay.

    Example:
        >>> block = nn.Module(); block.conv = nn.Linear(4, 8); block.downsample = nn.Linear(4, 8, bias=False)
        >>> [tuple(p.shape) for p in branch_parameters(block)]
        [(8, 4), (8,)]
    """
    spared = {id(p) for name in PATHS for p in _parameters_of(getattr(block, name, None))}
    if keep_norms:
        spared |= {id(p) for module in block.modules() if normalises(module) for p in module.parameters(recurse=False)}
    return [p for p in block.parameters() if id(p) not in spared]


def normalises(module: nn.Module) -> bool:
    """Whether a module normalises: batch, layer, group, RMS."""
    return "norm" in type(module).__name__.lower() or isinstance(module, nn.modules.batchnorm._BatchNorm)


def outside_parameters(model: nn.Module, path: str) -> set[int]:
    """Ids of the parameters that are held outside the block at a path, tied ones under each of their names."""
    named = model.named_parameters(remove_duplicate=False)
    return {id(parameter) for name, parameter in named if not name.startswith(f"{path}.")}


def _parameters_of(module: Any) -> Iterable[nn.Parameter]:
    return module.parameters() if isinstance(module, nn.Module) else ()


@dataclass
class Seen:
    """What went into a block and came out of it, in one forward pass over n examples."""

    block: nn.Module
    n: int
    calls: int = 0
    x: Tensor | None = None
    y: Tensor | None = None
    handles: list[Any] = field(default_factory=list)

    def __enter__(self) -> Seen:
        self.handles = [
            self.block.register_forward_pre_hook(self._before, with_kwargs=True),
            self.block.register_forward_hook(self._after),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.calls += 1
        found = first_tensor([*args, *kwargs.values()], self.n)
        self.x = None if found is None else found.clone()  # the block may change it in place

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        found = first_tensor(output, self.n)
        self.y = None if found is None else found.clone()


def what_is_left(block: nn.Module, x: Tensor | None, y: Tensor | None, kept_norms: bool) -> str | None:
    """The shortcut in words, from what a block with silenced branches made of its input; None where it is none.

    Args:
        block: the block.
        x: its input.
        y: its output.
        kept_norms: whether its normalisations kept their parameters.

    Example:
        >>> x = torch.tensor([[-1.0, 2.0], [3.0, -4.0]])
        >>> what_is_left(nn.Sequential(nn.ReLU()), x, x.relu(), False), what_is_left(nn.Linear(2, 2), x, 0 * x, False)
        ('identity and activation', None)
    """
    if x is None or y is None or not bool(torch.isfinite(y).all()) or _constant(y):
        return None
    if any(isinstance(getattr(block, name, None), nn.Module) and _works(getattr(block, name)) for name in PATHS):
        return "downsample path"
    if x.shape != y.shape:
        return None
    if _same(x, y):
        return "identity"
    activations = [
        module for module in block.modules() if not list(module.parameters()) and not list(module.children())
    ]
    for module in activations:
        with contextlib.suppress(Exception):  # a module without parameters that is no function of one tensor
            if _same(module(x.clone()), y):
                return "identity and activation"
    return "identity and norm" if kept_norms and any(map(normalises, block.modules())) else None


def why_nothing(x: Tensor | None, y: Tensor | None) -> str:
    """Why a block has no shortcut, from what it made of its input with silenced branches."""
    if x is None or y is None:
        return "it takes or returns no tensor with an axis for the examples"
    if not bool(torch.isfinite(y).all()):
        return "with its weights at zero its output is not finite"
    if _constant(y):
        return "it has no shortcut: with its weights at zero it gives every example the same"
    if x.shape != y.shape:
        return (
            f"shapes do not allow it: {tuple(x.shape[1:])} becomes {tuple(y.shape[1:])} without a path for the shortcut"
        )
    return "with its weights at zero it neither passes its input on nor forgets it"


def _works(module: nn.Module) -> bool:
    return not isinstance(module, nn.Identity) and bool(list(module.modules()))


def _constant(y: Tensor) -> bool:
    """Whether every example gives the same."""
    return bool((y - y[:1]).abs().max() <= _ROUNDING * y.abs().max())


def _same(x: Any, y: Tensor) -> bool:
    if not isinstance(x, Tensor) or x.shape != y.shape:
        return False
    return bool((x - y).abs().max() <= _ROUNDING * y.abs().max())
