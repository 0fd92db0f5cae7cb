"""Running a model of any size without weights: shapes are real, values mostly are not.

Parameters lie on the meta device. Small tensors that a forward pass makes (positions, masks, grids) are computed for
real on the CPU, so that code which branches on them goes its way; where they meet a weight the result is on the meta
device. A value that is asked of a meta tensor is taken to be zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_map

aten = torch.ops.aten
_RECURRENT = (torch.lstm, torch.gru)
LARGEST = 1 << 22  # elements of a tensor that is made for real
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor)


@contextlib.contextmanager
def meta_run() -> Iterator[None]:
    """Within, operations may mix CPU and meta tensors: the result is then on the meta device."""
    with torch.no_grad(), _KeepValues(), _Mixed():
        yield


class _KeepValues(TorchFunctionMode):
    """Tensors made of Python numbers keep them, whatever the device asked for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and not _is_meta(args[0] if args else None):
            kwargs.pop("device", None)
        if func in _RECURRENT:  # which compare the devices of their arguments before anything is dispatched
            args = tree_map(_to_meta, args)
        return func(*args, **kwargs)


class _Mixed(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if not tree_any(_is_meta, (args, kwargs)):
            if kwargs.get("device") is None or torch.device(kwargs["device"]).type != "meta":
                return func(*args, **kwargs)
            made = func(*args, **kwargs)
            return func(*args, **{**kwargs, "device": torch.device("cpu")}) if made.numel() <= LARGEST else made
        if func is aten._local_scalar_dense.default:
            return torch.zeros((), dtype=args[0].dtype).item()
        if func is aten.equal.default:
            return False
        if func is aten._grouped_mm.default:  # its meta kernel takes half precision only
            return torch.empty(*args[0].shape[:-1], args[1].shape[-1], device="meta")
        if func in INDEXING:
            args = (args[0], _positions(args[1]), *args[2:])
        if "device" in kwargs:
            kwargs["device"] = torch.device("meta")
        try:
            return func(*tree_map(_to_meta, args), **tree_map(_to_meta, kwargs))
        except (NotImplementedError, RuntimeError) as error:
            if not any(word in str(error).lower() for word in ("meta", "data-dependent", "dynamic")):
                raise
            return func(*tree_map(_zeros, args), **tree_map(_zeros, kwargs))


def _is_meta(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_meta


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) and not value.is_meta else value


def _zeros(value: Any) -> Any:
    return torch.zeros(value.shape, dtype=value.dtype) if _is_meta(value) else value


def _positions(indices: Any) -> list[Any]:
    """Masks among indices as the positions they hold: the shape of the result depends on them."""
    found: list[Any] = []
    for index in indices:
        if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8):
            found += _zeros(index).nonzero().unbind(1)
        else:
            found.append(index)
    return found
