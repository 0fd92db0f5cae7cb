"""Which axes of an activation hold channels: told by the operations that made it, never by which size is larger.

Convolutions and pooling have their channels before the places; linear layers, embeddings and recurrent nets have theirs
last. What moves, splits, joins or adds axes afterwards is followed from operation to operation, through a forward pass.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from cka_plugin.capture.outputs import Found

Axes: TypeAlias = tuple[int, ...]  # several where channels are split, into heads or groups

_PLACES_AFTER = re.compile(r"(?:conv(?:_transpose)?|(?:adaptive_|fractional_)?(?:avg|max|lp)_pool|max_unpool)(\d)d")
_LAST = {"linear", "bilinear", "embedding", "embedding_bag", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh"}
_LAST |= {"rnn_relu", "_pad_packed_sequence"}
_SECOND = {"batch_norm", "instance_norm", "group_norm", "local_response_norm", "unfold_maps", "fold"}
_THIRD_FROM_BEHIND = {"pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"}
_SAME_AXES = {"interpolate", "upsample", "pad", "grid_sample", "glu", "cat", "concat", "concatenate", "index_select"}
_SAME_AXES |= {"gather", "take_along_dim", "topk", "sort", "repeat", "tile", "repeat_interleave"}
_REORDERED = {
    "permute",
    "transpose",
    "swapaxes",
    "swapdims",
    "movedim",
    "moveaxis",
    "t",
    "T",
    "mT",
    "H",
    "mH",
    "adjoint",
}
_REORDERED |= {"unsqueeze", "squeeze", "select", "narrow", "expand", "__getitem__", "chunk", "split", "tensor_split"}
_REORDERED |= {"unbind", "unsafe_chunk", "unsafe_split", "split_with_sizes", "unfold"}
_RESHAPED = {"reshape", "view", "flatten", "unflatten", "reshape_as", "view_as", "ravel"}
_REDUCED = {"mean", "sum", "amax", "amin", "max", "min", "std", "var", "norm", "logsumexp", "prod", "median", "nanmean"}
_PRODUCTS = {"matmul", "__matmul__", "bmm", "baddbmm", "mm"}
_PRIMES = (1000003, 1000033, 1000037, 1000039, 1000081, 1000099, 1000117, 1000121, 1000133)


class Channels(TorchFunctionMode):
    """Within it, which axes of each tensor hold channels is followed; `of` says it.

    Example:
        >>> x = torch.zeros(2, 8, 8, 8)
        >>> with Channels() as channels:
        ...     maps = torch.nn.Conv2d(8, 8, 1)(x)
        ...     turned = maps.permute(0, 2, 3, 1).flatten(1, 2)
        ...     _ = (turned + 1).relu_()
        >>> channels.of(maps), channels.of(turned), channels.of(x)
        ((1,), (2,), None)
    """

    def __init__(self) -> None:
        super().__init__()
        self._axes: Any = WeakTensorKeyDictionary()

    def of(self, x: Tensor) -> Axes | None:
        """The axes of a tensor that hold channels; None where no operation has told."""
        axes: Axes | None = self._axes.get(x)
        return axes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = [(x, self.of(x), tuple(x.shape)) for x in _tensors([*args, *kwargs.values()])]
        result = func(*args, **kwargs)
        name = _name(func)
        for x in _tensors([result]):
            if not x.is_floating_point() and not x.is_complex():
                continue
            axes = _made(_Call(name, func, args, kwargs, before), x)
            if axes:
                self._axes[x] = tuple(sorted(axes))
            elif x in self._axes:
                del self._axes[x]
        return result


def channels_of(channels: Channels, found: Found, given: Any) -> Axes | None:
    """The axes of one tensor of an output that hold channels.

    Args:
        channels: what has been followed so far.
        found: the tensor.
        given: what the module was called with. Code that cannot be followed (scripted) has kept the axes of an input
            of the same shape, where no two axes are of one size.
    """
    if found.lengths is not None:  # (n, length, ...)
        return tuple(range(2, found.x.ndim))
    if found.returned is None:
        return None
    axes = channels.of(found.returned)
    distinct = len(set(found.returned.shape)) == found.returned.ndim
    for x in _tensors(given) if axes is None and distinct else ():
        if x.shape == found.returned.shape:
            axes = channels.of(x)
            break
    return axes if axes is None or not found.complex else (*axes, found.x.ndim - 1)


_Given: TypeAlias = list[tuple[Tensor, Axes | None, tuple[int, ...]]]  # tensors, their axes and their shapes


@dataclass(frozen=True)
class _Call:
    """One operation, and the tensors that it was given, with their axes and shapes before it."""

    name: str
    func: Callable[..., Any]
    args: Any
    kwargs: Any
    before: _Given

    def argument(self, names: Sequence[str], default: Any = None) -> Any:
        """What was given under one of the names, or as the second argument."""
        named = next((self.kwargs[name] for name in names if name in self.kwargs), None)
        return named if named is not None else self.args[1] if len(self.args) > 1 else default


def _made(call: _Call, out: Tensor) -> Iterable[int] | None:
    """The axes of channels of one result of an operation."""
    name, before = call.name, call.before
    given = next(((x, axes, shape) for x, axes, shape in before if axes), None)
    after = _PLACES_AFTER.match(name)
    if after and (given is None or "pool" not in name):
        return _at(out.ndim - 1 - int(after[1]), out)
    if name in _LAST:
        return _at(out.ndim - 1, out)
    if name in _SECOND:
        return _at(1, out)
    if name in _THIRD_FROM_BEHIND:
        return _at(out.ndim - 3, out)
    if name in ("layer_norm", "rms_norm") and len(call.argument(["normalized_shape"], ())) == 1:
        return _at(out.ndim - 1, out)
    if name == "einsum":
        return _einsum(call.args, before, out)
    if name in _PRODUCTS and len(before) >= 2:
        return _product(before[-2:], out)
    if given is None:
        return None
    _, axes, shape = given
    assert axes is not None
    if name in _SAME_AXES or after:
        return axes if out.ndim == len(shape) else None
    if name == "view_as_real":
        return [*axes, out.ndim - 1]
    if name == "stack":
        at = call.argument(["dim"], 0) % out.ndim
        return [axis + (axis >= at) for axis in axes]
    if name in _RESHAPED:
        return _reshaped(axes, shape, tuple(out.shape))
    if name in _REORDERED:
        return _reordered(call, axes, shape, out)
    if name in _REDUCED:
        return axes if out.ndim == len(shape) else _reduced(call.argument(["dim", "axis"]), axes, len(shape))
    return _elementwise(before, out)


def _at(axis: int, out: Tensor) -> Axes | None:
    return (axis,) if 0 <= axis < out.ndim else None


def _elementwise(before: _Given, out: Tensor) -> Axes | None:
    """Of tensors of the result's shape, or that were expanded to it; None where they do not agree."""
    fitting = {
        axes
        for _, axes, shape in before
        if axes and len(shape) == out.ndim and all(a in (1, b) for a, b in zip(shape, out.shape, strict=True))
    }
    return fitting.pop() if len(fitting) == 1 else None


def _reshaped(axes: Axes, old: Sequence[int], new: Sequence[int]) -> list[int] | None:
    """Each run of axes lies where as many numbers come before it, and it holds as many, as it did."""
    found: list[int] = []
    for start, stop in _runs(axes):
        before, inside = math.prod(old[:start]), math.prod(old[start:stop])
        for first in range(len(new)):
            if math.prod(new[:first]) != before or (new[first] == 1 != inside):
                continue
            last = next((k for k in range(first + 1, len(new) + 1) if math.prod(new[first:k]) == inside), None)
            if last is not None:
                found += range(first, last)
                break
    return found  # what is joined with other axes is lost: heads that are folded into the batch


def _runs(axes: Axes) -> Iterator[tuple[int, int]]:
    start = previous = axes[0]
    for axis in [*axes[1:], -1]:
        if axis != previous + 1:
            yield start, previous + 1
            start = axis
        previous = axis


def _reordered(call: _Call, axes: Axes, shape: Sequence[int], out: Tensor) -> list[int] | None:
    """Where a view has its axes: the same view of a tensor without content, whose strides name its axes."""
    others = [*_flat(call.args[1:]), *call.kwargs.values()]
    if any(isinstance(other, Tensor) for other in others):  # picked by numbers
        picked = call.args[1] if len(call.args) > 1 else None
        return list(axes) if isinstance(picked, Tensor) and picked.ndim == 1 and 0 not in axes else None
    if len(shape) > len(_PRIMES) or not call.args or not isinstance(call.args[0], Tensor):
        return None
    named = torch.empty_strided(shape, _PRIMES[: len(shape)], device="meta")
    made = call.func(named, *call.args[1:], **call.kwargs)
    parts = list(_tensors([made]))
    like = next((part for part in parts if part.shape == out.shape), None)
    if like is None:
        return None
    return [
        place
        for place, stride in enumerate(like.stride())
        if any(stride and stride % _PRIMES[axis] == 0 for axis in axes)
    ]


def _reduced(dim: Any, axes: Axes, ndim: int) -> list[int] | None:
    if dim is None or isinstance(dim, Tensor):
        return None
    gone = {d % ndim for d in (dim if isinstance(dim, list | tuple) else [dim])}
    return [axis - sum(d < axis for d in gone) for axis in axes if axis not in gone]


def _product(pair: _Given, out: Tensor) -> list[int] | None:
    """(..., i, k) times (..., k, j): what is on i, j and before them stays; k, if it was channels, becomes new ones."""
    (_, a, a_shape), (_, b, b_shape) = pair
    if len(a_shape) < 2 or len(b_shape) < 2:
        return None
    i, j = out.ndim - 2, out.ndim - 1
    mine = {axis + out.ndim - len(a_shape) for axis in a or ()}
    other = {axis + out.ndim - len(b_shape) for axis in b or ()}
    found = {axis for axis in mine | other if axis < i} | ({i} & mine) | ({j} & other)
    if b is None and j in mine:  # times weights
        found.add(j)
    if a is None and i in other:
        found.add(i)
    return sorted(found) or None


def _einsum(args: Any, before: _Given, out: Tensor) -> list[int] | None:
    """The letters of channels; where one is summed over against weights, those of the weights that are new."""
    equation = args[0] if args and isinstance(args[0], str) else ""
    sides = equation.replace(" ", "").split("->")
    if len(sides) != 2 or "." in equation:
        return None
    letters = sides[0].split(",")
    if len(letters) != len(before) or len(sides[1]) != out.ndim:
        return None
    of_channels = {word[axis] for word, (_, axes, _) in zip(letters, before, strict=True) for axis in axes or ()}
    known = "".join(word for word, (_, axes, _) in zip(letters, before, strict=True) if axes)
    for word, (_, axes, _) in zip(letters, before, strict=True):
        if not axes and of_channels & (set(word) - set(sides[1])):
            of_channels |= set(word) - set(known)
    return [place for place, letter in enumerate(sides[1]) if letter in of_channels] or None


def _name(func: Any) -> str:
    name = getattr(func, "__name__", "")
    if name == "__get__":  # a property: x.T
        name = getattr(getattr(func, "__self__", None), "__name__", "")
    if name == "unfold" and not str(getattr(func, "__qualname__", "")).startswith("Tensor"):
        return "unfold_maps"
    return name if name.endswith("__") else name.removesuffix("_")  # in place or not


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _tensors(values: Any) -> Iterator[Tensor]:
    return (value for value in _flat(values) if isinstance(value, Tensor))
