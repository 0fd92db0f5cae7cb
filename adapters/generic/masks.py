"""Which positions of a sequence hold something, in a model of one's own: what its parts were called with tells it.

A model of a known framework inside gets its padding mask from whoever calls it, and so does an encoder of torch. While
the model runs, what such parts are called with is noted; the layers inside are averaged over that mask, as they are
where the same encoder is compared by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer
from cka_plugin.adapters.calling import named, parameters_of
from cka_plugin.adapters.known import known_owner
from cka_plugin.adapters.modules import is_activation, is_norm, module_at

# Arguments by these names are masks of the positions that come out, the nearest in meaning first: True where padded.
PADDED = ("tgt_key_padding_mask", "src_key_padding_mask", "key_padding_mask")
SEEN = ("decoder_attention_mask", "attention_mask")  # nonzero where something stands


@dataclass
class Noted:
    """What the parts of one model were called with in one forward pass.

    Attributes:
        arguments: path of a model of a known framework -> the arguments of its latest call, by name.
        masks: path of any other part -> (n, length) the mask that its latest call gave it.
        latest: the mask noted last.
    """

    arguments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    latest: Tensor | None = None

    def of(self, model: nn.Module, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
        """The mask of a layer's positions: (n, length), nonzero where they hold something; None where nobody says.

        The outermost model of a known framework around the layer decides, where there is one, by its own arguments (by
        those of the whole, where only its `forward` was called); else the nearest part around it that was given a mask.
        What works on each position by itself (a linear layer) and stands in no such part has the mask of what ran
        before it.
        """
        around = heads_of(layer.path)
        known = [(path, owner) for path in around if (owner := known_owner(module_at(model, path))) is not None]
        for path, owner in known:
            if path in self.arguments:
                return _by(owner, model, path, layer, self.arguments[path], length)
        if known and isinstance(inputs, Mapping):
            path, owner = known[0]
            return _by(owner, model, path, layer, inputs, length)
        for path in (*reversed(around), ""):
            if path in self.masks and self.masks[path].shape[1] == length:
                return self.masks[path]
        by_position = _keeps_positions(module_at(model, layer.path))
        return self.latest if by_position and self.latest is not None and self.latest.shape[1] == length else None


def _by(owner: Adapter, model: nn.Module, path: str, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
    return owner.mask(model.get_submodule(path), replace(layer, path=layer.path[len(path) + 1 :]), inputs, length)


def heads_of(path: str) -> list[str]:
    """The paths of the parts around a module, the outermost first, and of the module itself.

    Example:
        >>> heads_of("bert.encoder.0")
        ['bert', 'bert.encoder', 'bert.encoder.0']
    """
    return [path[:end] for end, c in enumerate(f"{path}.") if c == "."]


@contextlib.contextmanager
def noting(model: nn.Module) -> Iterator[Noted]:
    """Within, what the parts of `model` are called with is noted; no reference to it is kept afterwards."""
    noted = Noted()
    with contextlib.ExitStack() as stack:
        for path, module, owner in _tellers(model):
            hook = _hook(noted, path, owner)
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield noted


def _tellers(model: nn.Module) -> Iterator[tuple[str, nn.Module, Adapter | None]]:
    """The parts that may be called with a mask, and of which framework they are: models inside, and what names one."""
    known: tuple[str, ...] = ()
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        owner = known_owner(module) if path else None
        if owner is not None:
            known = (*known, f"{path}.")
        if owner is not None or (_takes_mask(module) and not path.startswith(known)):
            yield path, module, owner


def _hook(noted: Noted, path: str, owner: Adapter | None) -> Any:
    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = named(module, args, kwargs)
        if owner is not None:
            noted.arguments[path] = given
            found = next((seen for name in SEEN if (seen := given.get(name)) is not None), None)
        else:
            found = _mask_in(given)
            noted.masks.pop(path, None)
            if found is not None:
                noted.masks[path] = found
        if isinstance(found, Tensor) and found.ndim == 2:
            noted.latest = found

    return before


def _mask_in(given: Mapping[str, Any]) -> Tensor | None:
    """(n, length) the mask of the positions that come out of a call, nonzero where something stands; None without one.

    That of an attention is of its keys, which are its queries in self-attention only.
    """
    if "query" in given and given.get("key") is not given["query"]:
        return None
    for name in PADDED:
        mask = given.get(name)
        if isinstance(mask, Tensor) and mask.ndim == 2:
            return ~(torch.isneginf(mask) if mask.is_floating_point() else mask.bool())
    for name in SEEN:
        mask = given.get(name)
        if isinstance(mask, Tensor) and mask.ndim == 2 and not _is_added(mask):
            return mask
    return None


def _is_added(mask: Tensor) -> bool:
    """Whether a mask is added to attention scores: zero where something stands, not one."""
    return mask.is_floating_point() and not (bool(mask.any()) and bool(((mask == 0) | (mask == 1)).all()))


def _takes_mask(module: nn.Module) -> bool:
    return any(p.name in (*PADDED, *SEEN) or p.kind is p.VAR_KEYWORD for p in parameters_of(module))


def _keeps_positions(module: nn.Module) -> bool:
    """Whether a module works on each position by itself, and has channels on its last axis."""
    kinds = (nn.Linear, nn.LayerNorm, nn.Dropout, nn.Embedding)
    return isinstance(module, kinds) or is_activation(module) or (is_norm(module) and "RMS" in type(module).__name__)


__all__ = ["Noted", "heads_of", "noting"]
