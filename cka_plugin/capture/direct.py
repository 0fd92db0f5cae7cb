"""Modules called by `module.forward(x)`, which passes hooks by: their activations are read all the same.

fastai's WeightDropout calls its module so (fastai issue 2850), and much code written in a hurry does.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

Hook: TypeAlias = Callable[[nn.Module, Any, Any], None]


class DirectCalls:
    """While it is entered, `hook(module, args, output)` also runs where only the `forward` of a module is called.

    Args:
        hooks: what is called, a module at a time.

    Example:
        >>> net, outputs = nn.Linear(2, 3), []
        >>> with DirectCalls([(net, lambda module, args, output: outputs.append(output.shape))]):
        ...     _ = net(torch.zeros(1, 2)), net.forward(torch.zeros(4, 2))
        >>> outputs
        [torch.Size([4, 3])]
    """

    def __init__(self, hooks: list[tuple[nn.Module, Hook]]) -> None:
        self._hooks = [(m, hook) for m, hook in hooks if not isinstance(m, torch.jit.ScriptModule)]
        self._watches: list[tuple[_Watch, Hook]] = []

    def __enter__(self) -> DirectCalls:
        for module, hook in self._hooks:
            watch = _watches.get(module)
            if watch is None:
                watch = _watches[module] = _Watch(module)
            watch.listeners.append(hook)
            self._watches.append((watch, hook))
        return self

    def __exit__(self, *error: object) -> None:
        self._leave(self._watches)
        self._watches = []

    def begin(self) -> None:
        """A pass begins; an earlier one may have ended in an error."""
        for watch, _ in self._watches:
            watch.called = 0

    def only_seen(self) -> None:
        """Leave alone all modules but those whose `forward` has been called directly so far."""
        self._leave([(watch, hook) for watch, hook in self._watches if not watch.seen])
        self._watches = [(watch, hook) for watch, hook in self._watches if watch.seen]

    def _leave(self, watches: list[tuple[_Watch, Hook]]) -> None:
        for watch, hook in watches:
            watch.listeners.remove(hook)
            if not watch.listeners:
                watch.undo()


class _Watch:
    """The `forward` of one module, wrapped once for all that listen: one model may be compared under two names."""

    def __init__(self, module: nn.Module) -> None:
        self.listeners: list[Hook] = []
        self.called = 0  # by `__call__`, and so about to be seen by hooks
        self.seen = False
        self._module = weakref.ref(module)
        self._own, forward = vars(module).get("forward"), module.forward
        self._handle = module.register_forward_pre_hook(self._before)

        @functools.wraps(forward)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self.called or not self.listeners:
                self.called = max(self.called - 1, 0)
                return forward(*args, **kwargs)
            output = forward(*args, **kwargs)
            self.seen = True
            for listener in list(self.listeners):
                listener(module, args, output)
            return output

        vars(module)["forward"] = watched

    def _before(self, *_: Any) -> None:
        self.called += 1

    def undo(self) -> None:
        """The module is as it was."""
        self._handle.remove()
        module = self._module()
        if module is None:
            return
        _watches.pop(module, None)
        if self._own is None:
            vars(module).pop("forward", None)
        else:
            vars(module)["forward"] = self._own


_watches: weakref.WeakKeyDictionary[nn.Module, _Watch] = weakref.WeakKeyDictionary()
