"""Modules called by `module.forward(x)`, which passes hooks by: their activations are read all the same.

fastai's WeightDropout calls its module so (fastai issue 2850), and much code written in a hurry does.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

# Two models may share a module, and be watched at the same time: whoever is done first lies below the other.
_BELOW: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()  # what stood there before
_OVER: weakref.WeakSet[Any] = weakref.WeakSet()


class DirectCalls:
    """While it is entered, `hook(module, args, output)` also runs where only the `forward` of a module is called.

    Args:
        hooks: what is called, a module at a time.

    Attributes:
        seen: the modules whose `forward` was called directly.

    Example:
        >>> net, outputs = nn.Linear(2, 3), []
        >>> with DirectCalls([(net, lambda module, args, output: outputs.append(output.shape))]):
        ...     _ = net(torch.zeros(1, 2)), net.forward(torch.zeros(4, 2))
        >>> outputs
        [torch.Size([4, 3])]
    """

    def __init__(self, hooks: list[tuple[nn.Module, Callable[[nn.Module, Any, Any], None]]]) -> None:
        self.seen: list[nn.Module] = []
        self._hooks = [(m, hook) for m, hook in hooks if not isinstance(m, torch.jit.ScriptModule)]
        self._called: dict[int, int] = {}  # by `__call__`, and so about to be seen by hooks
        self._undo: dict[int, Callable[[], None]] = {}

    def __enter__(self) -> DirectCalls:
        for module, hook in self._hooks:
            if id(module) not in self._undo:  # under two names it is one layer
                self._watch(module, hook)
        return self

    def __exit__(self, *error: object) -> None:
        for undo in self._undo.values():
            undo()
        self._undo = {}

    def begin(self) -> None:
        """A pass begins; an earlier one may have ended in an error."""
        self._called = {}

    def only_seen(self) -> None:
        """Leave alone all modules but those whose `forward` has been called directly so far."""
        kept = {id(module) for module in self.seen}
        for module, _ in self._hooks:
            if id(module) not in kept and id(module) in self._undo:
                self._undo.pop(id(module))()

    def _watch(self, module: nn.Module, hook: Callable[[nn.Module, Any, Any], None]) -> None:
        forward: Any = module.forward

        def before(*_: Any) -> None:
            self._called[id(module)] = self._called.get(id(module), 0) + 1

        @functools.wraps(forward)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if watched in _OVER:
                return forward(*args, **kwargs)
            if self._called.get(id(module), 0):
                self._called[id(module)] -= 1
                return forward(*args, **kwargs)
            output = forward(*args, **kwargs)
            if all(module is not other for other in self.seen):
                self.seen.append(module)
            hook(module, args, output)
            return output

        handle = module.register_forward_pre_hook(before)
        _BELOW[watched] = vars(module).get("forward")
        vars(module)["forward"] = watched

        def undo() -> None:
            handle.remove()
            _OVER.add(watched)
            top = vars(module).get("forward")
            while top in _OVER:
                top = _BELOW[top]
            if top is None:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = top

        self._undo[id(module)] = undo
