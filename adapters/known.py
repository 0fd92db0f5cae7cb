"""The adapters that are known: those that came with the package, by entry points, or by `register_adapter`.

A model may hold one of another framework (a classifier of one's own around BERT, a detector of transformers around a
ResNet of timm): then the adapter of that framework is found here, and nobody imports it. Loading an adapter imports no
framework.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from torch import nn

from cka_plugin.adapters.base import Adapter
from cka_plugin.warnings import warn

ENTRY_POINT_GROUP = "cka_plugin.adapters"
BUILT_IN = ("timm", "transformers", "torchvision")

_registered: list[Adapter] = []
_discovered: list[Adapter] | None = None


def register_adapter(adapter: Adapter) -> None:
    """Add an adapter; it is asked before those that come with the package, the latest first.

    Args:
        adapter: an instance of `Adapter`, with a `name` of its own.

    Raises:
        TypeError: what was given is not an `Adapter`.
        ValueError: it has no name.
    """
    if not isinstance(adapter, Adapter):
        raise TypeError(f"register_adapter takes an instance of cka_plugin.adapters.Adapter; given {adapter!r}")
    if not adapter.name:
        raise ValueError(f"the adapter {adapter!r} has no name: set its `name`")
    _registered[:] = [a for a in _registered if a.name != adapter.name]
    _registered.insert(0, adapter)


def known_adapters() -> list[Adapter]:
    """The adapters in the order in which they are asked: registered, by entry point, built in."""
    global _discovered
    if _discovered is None:
        _discovered = _by_entry_points()
    return [*_registered, *_discovered]


def known_owner(model: nn.Module) -> Adapter | None:
    """The known adapter whose framework `model` (unwrapped) is of; None where it is of none.

    Example:
        >>> known_owner(nn.Linear(2, 2)) is None
        True
    """
    return next((adapter for adapter in known_adapters() if adapter.owns(model)), None)


def _by_entry_points() -> list[Adapter]:
    found: dict[str, Adapter] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            adapter = entry.load()()
            if not (isinstance(adapter, Adapter) and adapter.name):
                raise TypeError(
                    f"expected a class of cka_plugin.adapters.base.Adapter with a name; it made {adapter!r}"
                )
            found.setdefault(entry.name, adapter)
        except Exception as error:  # a stranger's package must not take everyone else's models away
            if entry.name in BUILT_IN:
                raise
            warn(
                f"the adapter {entry.name!r} ({entry.value}) is left out, as it cannot be loaded: "
                f"{type(error).__name__}: {error}",
                UserWarning,
            )
    third_parties = [a for name, a in found.items() if name not in BUILT_IN]
    return third_parties + [found[name] for name in BUILT_IN if name in found]


__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "known_adapters", "known_owner", "register_adapter"]
