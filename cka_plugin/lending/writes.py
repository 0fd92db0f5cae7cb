"""What a forward pass writes to tensors that were there before it: seen as it happens, with the old values kept.

Every operation of PyTorch passes through the dispatcher, and says in its schema which of its arguments it writes to;
so a write is seen by whatever name, view or `.data` it goes, and only what is written needs a copy. Version counters
would not do: they miss what is written through `.data`, and have no old values.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

COPIED = 1 << 14  # elements; smaller tensors are copied beforehand: there are kernels whose schemas keep writes quiet


class Writes(TorchDispatchMode):
    """Within it, tensors of `held` that are written to have their values kept, from before the first write.

    Args:
        held: tensors, which must live as long as this does.

    Attributes:
        kept: the position in `held` of each tensor that was written to -> a copy of what it was.

    Example:
        >>> weight = torch.ones(2)
        >>> with Writes([weight, torch.ones(2)]) as writes:
        ...     _ = weight.data.view(1, 2).mul_(3)
        >>> writes.kept
        {0: tensor([1., 1.])}
    """

    supports_higher_order_operators = True  # `cond`, `flex_attention`: run as they are

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self._held = list(held)
        self._in_storage: dict[int, list[int]] = {}
        self.kept: dict[int, Tensor] = {}
        for position, tensor in enumerate(self._held):
            for storage in storages(tensor):
                self._in_storage.setdefault(storage, []).append(position)

    def _see(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if (written := _written(func)) is not None:
            for tensor in written.of(args, kwargs):
                for storage in storages(tensor):
                    for position in self._in_storage.pop(storage, ()):
                        if position not in self.kept:
                            self.kept[position] = self._held[position].detach().clone()
        return func(*args, **kwargs)


# Set from outside: what stands in the class is wrapped so that its first call imports the compiler: seconds.
Writes.__torch_dispatch__ = Writes._see  # type: ignore[method-assign, assignment]


class _Arguments:
    """Which arguments of an operation it writes to."""

    def __init__(self, places: list[tuple[int, str]], training: tuple[int, str] | None = None) -> None:
        self._places, self._training = places, training

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
        if self._training is not None and not _argument(self._training, args, kwargs):
            return
        for place in self._places:
            given = _argument(place, args, kwargs)
            for value in given if isinstance(given, list | tuple) else (given,):
                if isinstance(value, Tensor):
                    yield value


def _argument(place: tuple[int, str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[place[0]] if place[0] < len(args) else kwargs.get(place[1])


@functools.cache
def _written(func: Any) -> _Arguments | None:
    """None where an operation writes to none of its arguments."""
    schema = getattr(func, "_schema", None)
    if schema is None:  # operators of higher order: what they run comes by one by one
        return None
    places = [
        (position, argument.name)
        for position, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    if places:
        return _Arguments(places)
    # Batch normalisation in training writes to its running statistics, and its schemas do not say so.
    names = {argument.name: position for position, argument in enumerate(schema.arguments)}
    statistics = [(position, name) for name, position in names.items() if name in ("running_mean", "running_var")]
    training = next(((names[n], n) for n in ("training", "train", "use_input_stats") if n in names), None)
    return _Arguments(statistics, training) if statistics and training is not None else None


def storages(tensor: Tensor) -> Iterator[int]:
    """Addresses of what a tensor lies in: its storage; the parts of a sharded or quantised one; none without values."""
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from storages(getattr(tensor, name))
    elif tensor.layout == torch.strided and tensor.device.type != "meta" and not torch.nn.parameter.is_lazy(tensor):
        address = tensor.untyped_storage().data_ptr()
        if address:
            yield address
