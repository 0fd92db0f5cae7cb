"""Which layers of a Hugging Face model fire, in which order, and what goes into and out of them."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Layer, first_tensor, tower
from cka_plugin.adapters.modules import is_norm
from tests.support.meta_run import meta_run
from tests.support.transformers_dummies import dummies, fitted

LARGEST = 1 << 21  # elements of inputs that get values


@dataclass
class Evidence:
    """What forward passes of a model, and of the models inside it, showed of its layers.

    Attributes:
        fired: paths that fired.
        problems: what contradicts the layer map.
        errors: why forward passes failed, by the path of the model that was tried.
        whole: whether the whole model ran to its end.
    """

    fired: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True)
class Call:
    """A module going in or coming out, with the identity of the first tensor that goes with it."""

    out: bool
    path: str
    tensor: int | None


def evidence(model: nn.Module, layers: Sequence[Layer]) -> Evidence:
    """Run the model, then the models inside it as long as layers are left that have not fired."""
    from transformers import PreTrainedModel

    found = Evidence()
    left = {layer.path for layer in layers}
    for path, inner in model.named_modules():
        own = [replace(x, path=_below(x.path, path)) for x in layers if not path or x.path.startswith(f"{path}.")]
        if not isinstance(inner, PreTrainedModel) or not any(x.path in left for x in layers if _holds(path, x.path)):
            continue
        for inputs in _inputs(inner, path, found):
            calls, output, error = run(inner, inputs)
            for _ in range(4):
                adjusted = fitted(inputs, error) if error is not None else None
                if adjusted is None:
                    break
                inputs = adjusted
                calls, output, error = run(inner, inputs)
            if error is None:
                found.whole = found.whole or not path
                found.problems += [] if path else _head_problems(inner, own, calls, output)
            else:
                found.errors.setdefault(path, f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}")
            out = {call.path for call in calls if call.out}
            new = {_above(x.path, path) for x in own if x.path in out} & left
            if new:
                towers = {tower(x.name) for x in layers if x.path in new}
                fired = [x for x in own if tower(x.name) in towers]
                found.problems += _problems(inner, fired, calls, ended=error is None)
                left -= new
                found.fired |= new
            if not any(x.path in left for x in layers if _holds(path, x.path)):
                break
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _holds(outer: str, path: str) -> bool:
    return not outer or path.startswith(f"{outer}.")


def _below(path: str, outer: str) -> str:
    return path[len(outer) + 1 :] if outer else path


def _above(path: str, outer: str) -> str:
    return f"{outer}.{path}" if outer else path


def _inputs(model: nn.Module, path: str, found: Evidence) -> list[dict[str, Any]]:
    try:
        return list(dummies(model))
    except (AttributeError, TypeError, KeyError, ValueError) as error:  # a configuration that states no sizes
        found.errors.setdefault(path, f"no inputs: {error}")
        return []


def run(model: nn.Module, inputs: dict[str, Any]) -> tuple[list[Call], Any, Exception | None]:
    """Every call of every module in one forward pass, its output, and the error that ended it."""
    real = not any(parameter.is_meta for parameter in model.parameters())
    if real:
        if sum(value.numel() for value in inputs.values() if isinstance(value, Tensor)) > LARGEST:
            return [], None, RuntimeError("the inputs are too large to be given values")
        inputs = {name: _with_values(value) for name, value in inputs.items()}
    calls: list[Call] = []
    alive: list[Any] = []  # so that no two tensors share an identity

    def note(out: bool, path: str, tensor: Tensor | None) -> None:
        alive.append(tensor)
        calls.append(Call(out, path, None if tensor is None else id(tensor)))

    def before(path: str) -> Any:
        return lambda _, args, kwargs: note(False, path, first_tensor([*args, *kwargs.values()]))

    def after(path: str) -> Any:
        return lambda _, args, kwargs, output: note(True, path, first_tensor(output))

    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(before(path), with_kwargs=True))
        handles.append(module.register_forward_hook(after(path), with_kwargs=True))
    output, failed = None, None
    try:
        with contextlib.nullcontext() if real else meta_run(), torch.no_grad():
            output = _forward(model)(**inputs)
    except Exception as error:  # made-up inputs may fit a model badly in any way
        failed = error
    finally:
        for handle in handles:
            handle.remove()
    alive.append(output)
    return calls, output, failed


def _with_values(value: Any) -> Any:
    return torch.randn(value.shape, dtype=value.dtype) if isinstance(value, Tensor) and value.is_meta else value


def _forward(model: nn.Module) -> Any:
    """The model, or, of one that defines no `forward`, its encoding half."""
    own = type(model).forward is not nn.Module.forward
    return model if own else getattr(model, "encode", model)


def _problems(model: nn.Module, layers: Sequence[Layer], calls: Sequence[Call], *, ended: bool) -> list[str]:
    """What one forward pass says against the layers of the towers that it ran."""
    first: dict[str, int] = {}
    for place, call in enumerate(calls):
        if call.out:
            first.setdefault(call.path, place)
    told: list[str] = []
    for side in dict.fromkeys(tower(x.name) for x in layers):
        own = [x for x in layers if tower(x.name) == side and x.kind != "head"]
        silent = [x.name for x in own if x.path not in first]
        if ended and silent:
            told.append(f"never fires: {', '.join(silent[:4])}{' ...' if len(silent) > 4 else ''}")
        order = [first[x.path] for x in own if x.path in first]
        told += [f"fires too early: {b.name}" for a, b in itertools.pairwise(own) if _late(first, a, b)]
        if order:
            told += _entry_problems(model, own, calls) + _norm_problems(model, own, calls)
    return told


def _late(first: dict[str, int], a: Layer, b: Layer) -> bool:
    return a.path in first and b.path in first and first[b.path] < first[a.path]


def _entry_problems(model: nn.Module, layers: Sequence[Layer], calls: Sequence[Call]) -> list[str]:
    """The entry gives what enters the first block, if any module does."""
    block = next((x for x in layers if x.kind == "block"), None)
    place = next((i for i, c in enumerate(calls) if block and not c.out and c.path == block.path), None)
    if block is None or place is None:
        return []
    entering = calls[place].tensor
    exact = [c.path for c in calls[:place] if c.out and c.tensor == entering and entering is not None]
    entry = next((x for x in layers if x.kind in ("stem", "embed")), None)
    beside = block.path.rpartition(".")[0]  # a block without a module of its own ends with its last part
    after = {c.path for c in calls[place:] if c.out}
    exact = [p for p in exact if not (_same(model, p) and p in after) and not _listed(model, p)]
    if entry is None or not exact or entry.path in exact or any(p.rpartition(".")[0] == beside for p in exact):
        return []
    return [f"{entry.path} is not what enters {block.name}: that is {' = '.join(exact[:3])}"]


def _same(model: nn.Module, path: str) -> bool:
    """Whether a module may serve before and after the blocks, and then tells neither apart."""
    module = model.get_submodule(path)
    return is_norm(module) or isinstance(module, nn.Dropout)


def _norm_problems(model: nn.Module, layers: Sequence[Layer], calls: Sequence[Call]) -> list[str]:
    """The norm, if any module normalises what the last block gives, is that module."""
    block = [x for x in layers if x.kind == "block"][-1]
    place = max((i for i, c in enumerate(calls) if c.out and c.path == block.path), default=None)
    if place is None:
        return []
    given = calls[place].tensor
    takers = [c.path for c in calls[place + 1 :] if not c.out and c.tensor == given and given is not None]
    inside = tuple(f"{x.path}." for x in layers if x.kind == "block")
    if block.name.startswith("stages.") or ".stages." in block.name:  # a norm inside a stage is that stage's own
        inside += tuple(f"{path}." for path in _numbered(block.path))
    before = {c.path for c in calls[:place] if c.out}  # a norm that runs between blocks too is no final norm
    norms = [
        p
        for p in takers
        if is_norm(model.get_submodule(p))
        and p not in before
        and not p.startswith(inside)
        and not _listed(model, p)
        and _near(p, block)
    ]
    norm = next((x for x in layers if x.kind == "norm"), None)
    if not norms or (norm is not None and norm.path in norms):
        return []
    return [f"norm is {norm.path if norm else 'missing'}, but {' and '.join(norms[:2])} normalises {block.name}"]


def _near(path: str, block: Layer) -> bool:
    """Whether a module lies in the tower of a block: not in a projector, or another tower, that its output goes to."""
    words = tower(block.name).split(".") if tower(block.name) else []
    depth = len(words) + (bool(words) and block.path.startswith("model."))
    return path.split(".")[:depth] == block.path.split(".")[:depth]


def _listed(model: nn.Module, path: str) -> bool:
    """Whether a module lies in a list of modules with parts: in another run of blocks (cross-attention), or its own."""
    parents = [path[:i] for i, c in enumerate(path) if c == "."]
    return any(isinstance(model.get_submodule(p), nn.ModuleList) for p in parents)


def _numbered(path: str) -> list[str]:
    """The elements of lists around a path.

    Example:
        >>> _numbered("stages.3.blocks.1")
        ['stages.3']
    """
    parts = path.split(".")
    return [".".join(parts[: i + 1]) for i, part in enumerate(parts[:-1]) if part.isdigit()]


_TASK = re.compile(r"For[A-Z]|Head|LM|WithProjection")


def _head_problems(model: nn.Module, layers: Sequence[Layer], calls: Sequence[Call], output: Any) -> list[str]:
    """The head is the module that gives the logits, if one module does."""
    logits = output.get("logits") if hasattr(output, "get") else None
    head = next((x for x in layers if x.kind == "head"), None)
    if not isinstance(logits, Tensor):
        return []
    giving = [c.path for c in calls if c.out and c.path and c.tensor == id(logits)]
    if head is None and not _TASK.search(type(model).__name__):
        return []  # a bare model that happens to score its queries
    if head is None:
        return [f"no head, but {' = '.join(giving) or 'something'} gives logits"]
    if giving and not any(_holds(path, head.path) or path == head.path for path in giving):
        return [f"head is {head.path}, but {' = '.join(giving[:3])} gives the logits"]
    if not any(c.out and c.path == head.path for c in calls):
        return [f"never fires: head ({head.path})"]
    return []
