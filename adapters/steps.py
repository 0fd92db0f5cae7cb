"""Preparations that go example by example, in steps: what several models' preparations have in common is done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor, nn

_OF_MODULES = frozenset(vars(nn.Module()))  # how a module keeps its books
_HELD = ("_parameters", "_buffers", "_modules")
_PLAIN = (str, int, float, bool, bytes, type(None), Enum)


@dataclass(frozen=True)
class Step:
    """One step of a preparation.

    Attributes:
        key: equal for two steps that make the same of the same.
        make: an example, as the step before it left it, to what the next step takes. It does not change what it is
            given, which may be another preparation's too, and can run in several threads.
    """

    key: str
    make: Callable[[Any], Any]


def prepared(example: Any, steps: Sequence[Step], known: MutableMapping[tuple[str, ...], Any] | None = None) -> Any:
    """One raw example after all steps.

    Args:
        example: it.
        steps: of one preparation.
        known: what steps of other preparations made of the same example, by the keys up to there; is added to.

    Example:
        >>> double, negative = Step("double", lambda x: 2 * x), Step("negative", lambda x: -x)
        >>> known = {}
        >>> prepared(3, [double], known), prepared(3, [double, negative], known), len(known)
        (6, -6, 2)
    """
    if known is None:
        for step in steps:
            example = step.make(example)
        return example
    keys = tuple(step.key for step in steps)
    done = next((n for n in range(len(keys), 0, -1) if keys[:n] in known), 0)
    made = known[keys[:done]] if done else example
    for place in range(done, len(steps)):
        made = known[keys[: place + 1]] = steps[place].make(made)
    return made


def by_steps(steps: Sequence[Step], join: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
    """What `Preparation.collate` is where it goes by steps: each example through all of them, then `join`."""
    return lambda raw: join([prepared(example, steps) for example in raw])


def configured(transform: Any) -> str:
    """The key of a transform that is an object: its class and all that it was set to.

    What cannot be told (a function it holds, an array) makes the key that of this object alone: it is shared with none.

    Example:
        >>> from torchvision import transforms
        >>> configured(transforms.CenterCrop(224)) == configured(transforms.CenterCrop(224))
        True
        >>> configured(transforms.CenterCrop(224)) == configured(transforms.CenterCrop(192))
        False
    """
    kind = type(transform)
    own = vars(transform)
    settings = {name: value for name, value in own.items() if name not in _OF_MODULES} | {
        name: own[name] for name in _HELD if own.get(name)
    }
    try:
        told = _told(settings)
    except TypeError:
        return f"{kind.__module__}.{kind.__qualname__} at {id(transform)}"
    return f"{kind.__module__}.{kind.__qualname__} {told}"


def _told(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, Tensor) and value.numel() <= 64:
        return f"{value.dtype} {value.tolist()!r}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_told(part)}" for key, part in sorted(value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_told(part) for part in value) + "]"
    raise TypeError(type(value).__name__)


__all__ = ["Step", "by_steps", "configured", "prepared"]
