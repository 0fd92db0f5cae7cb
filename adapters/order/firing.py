"""In which order the modules of a model fire, found without data.

The model's own `forward` runs once on placeholders (`torch.fx.Proxy`). The modules asked about only note that they
were called and give back another placeholder, so nothing is computed. A forward pass that depends on the values or the
shapes of its data cannot be followed in this way.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from cka_plugin.adapters.order.surroundings import surroundings_kept
from cka_plugin.lending.loan import lent
from cka_plugin.lending.randomness import random_states_kept

_CONTAINERS = (dict, OrderedDict, list, set)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def firing_order(model: nn.Module, paths: Collection[str]) -> list[str] | None:
    """The calls of the modules at `paths` in one forward pass, in order; a module called twice is there twice.

    Modules inside one of `paths` are not seen. The model is afterwards what it was.

    Args:
        model: any module; its training flags, hooks, parameters and buffers are not touched.
        paths: of modules with a `forward`.

    Returns:
        Paths in the order of their calls; None where the forward pass cannot be followed without data.

    Example:
        >>> class Backwards(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.last, self.first = nn.Linear(2, 2), nn.Linear(2, 2)
        ...     def forward(self, x):
        ...         return self.last(self.first(x).relu())
        >>> firing_order(Backwards(), ["last", "first"])
        ['first', 'last']
    """
    calls: list[str] = []
    graph = fx.Graph()
    tracer = _Tracer(graph)

    def placeholder() -> fx.Proxy:
        return fx.Proxy(graph.placeholder("x"), tracer)

    def recorder(path: str) -> Callable[..., fx.Proxy]:
        def forward(*args: Any, **kwargs: Any) -> fx.Proxy:
            calls.append(path)
            return placeholder()

        return forward

    try:
        with (
            lent(model) as before,
            before.watched(),
            random_states_kept(),
            surroundings_kept(model),
            _stand_in(model),
            torch.no_grad(),
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),  # a traced graph prints its errors besides raising them
        ):
            warnings.simplefilter("ignore")
            for path in paths:
                vars(model.get_submodule(path))["forward"] = recorder(path)
            args, kwargs = _placeholders(model, placeholder)
            model(*args, **kwargs)
    except Exception:  # a stranger's forward, run on placeholders, may fail in any way: then it cannot be followed
        return None
    return calls


class _Tracer(fx.proxy.GraphAppendingTracer):
    """Placeholders meet parameters and other objects, which the graph that nobody reads need not hold."""

    trace_asserts = True  # `assert x.shape[1] <= self.longest` is taken to hold

    def create_arg(self, a: Any) -> Any:
        try:
            return super().create_arg(a)
        except NotImplementedError:
            return None


def _placeholders(model: nn.Module, placeholder: Callable[[], fx.Proxy]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments for everything that `forward` requires; its first argument where it requires nothing."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    args = [placeholder() for p in required if p.kind is not p.KEYWORD_ONLY]
    kwargs = {p.name: placeholder() for p in required if p.kind is p.KEYWORD_ONLY}
    if not required and any(p.kind is not p.KEYWORD_ONLY and p.kind is not p.VAR_KEYWORD for p in parameters):
        args = [placeholder()]
    return args, kwargs


@contextlib.contextmanager
def _stand_in(model: nn.Module) -> Iterator[None]:
    """Within, every module of `model` has copies of its own containers, no hooks and parameters without values."""
    modules = list(model.modules())
    before = [dict(vars(module)) for module in modules]
    try:
        for module in modules:
            attributes = vars(module)
            for name, value in attributes.items():
                if type(value) in _CONTAINERS:
                    attributes[name] = copy.copy(value)
            for name in _HOOKS:
                attributes[name] = OrderedDict()
            for name in ("_parameters", "_buffers"):
                attributes[name] = {key: _valueless(tensor) for key, tensor in attributes[name].items()}
            attributes["training"] = False
        yield
    finally:
        for module, attributes in zip(modules, before, strict=True):
            vars(module).clear()
            vars(module).update(attributes)


def _valueless(tensor: Tensor | None) -> Tensor | None:
    if tensor is None or nn.parameter.is_lazy(tensor):
        return tensor
    meta = torch.empty_like(tensor, device="meta")
    return nn.Parameter(meta, requires_grad=False) if isinstance(tensor, nn.Parameter) else meta


__all__ = ["firing_order"]
