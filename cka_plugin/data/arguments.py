"""What a model takes: the arguments of its `forward`, read off its signature."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from cka_plugin.adapters.base import Preparation
from cka_plugin.data.content import Key

WHOLE = (
    "batch",
    "minibatch",
    "batch_dict",
    "sample",
    "samples",
    "example",
    "examples",
    "item",
    "data_dict",
    "input_dict",
)
_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_OF_MAPPINGS = ("get", "keys", "values", "items")


@dataclass(frozen=True)
class Takes:
    """What one model takes, and what the user said about it.

    Attributes:
        name: the model's, for messages.
        preparation: how raw examples become its inputs; None where nobody says.
        placed: names of the arguments that can be given by place, in order.
        named: names of all that can be given by name.
        required: names of those that must be given.
        more_placed, more_named: it takes any others (`*args`, `**kwargs`).
        whole: it takes a minibatch as one mapping.
        lists: it takes the examples as a list, each of its own size.
        dtype: that of all its weights; None where they differ or there are none.
        embeds: it looks numbers up in tables, so whole numbers stay whole.
        padding: the number that fills up token ids.
        inputs: which members are its inputs, where the user said it: names or places, or argument -> name or place.
        alone: the user's own function of model and minibatch runs it.
        said: what was left out with a warning, said once.
    """

    name: str
    preparation: Preparation | None = None
    placed: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    more_placed: bool = False
    more_named: bool = False
    whole: bool = False
    lists: bool = False
    dtype: torch.dtype | None = None
    embeds: bool = False
    padding: int = 0
    inputs: Sequence[Key] | Mapping[str, Key] | None = None
    alone: bool = False
    said: set[Any] = field(default_factory=set, compare=False)

    @property
    def tokens(self) -> bool:
        """Whether it takes token ids and their mask by the names that transformers gave them."""
        return {"input_ids", "attention_mask"} <= self.named


def takes(
    name: str,
    module: nn.Module,
    preparation: Preparation | None = None,
    inputs: Any = None,
    forward: Callable[[nn.Module, Any], Any] | None = None,
) -> Takes:
    """What a model takes.

    Args:
        name: the model's.
        module: it.
        preparation: how raw examples become its inputs.
        inputs: a name or place of a member, several of them, or a mapping from arguments to such.
        forward: the user's own function of model and minibatch.

    Example:
        >>> found = takes("net", nn.Bilinear(2, 2, 3))
        >>> found.placed, found.required
        (('input1', 'input2'), ('input1', 'input2'))
    """
    parameters = _parameters(module)
    placed = tuple(p.name for p in parameters if p.kind in _PLACED)
    required = tuple(p.name for p in parameters if p.default is p.empty and p.kind in {*_PLACED, *_NAMED})
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
    config = getattr(module, "config", None)
    pad = getattr(config, "pad_token_id", None)
    return Takes(
        name=name,
        preparation=preparation,
        placed=placed,
        named=frozenset(p.name for p in parameters if p.kind in _NAMED),
        required=required,
        more_placed=any(p.kind is p.VAR_POSITIONAL for p in parameters),
        more_named=any(p.kind is p.VAR_KEYWORD for p in parameters),
        whole=len(required) == 1 and _is_mapping(module, parameters[0]),
        lists=bool(placed) and _is_list(parameters[0]),
        dtype=dtypes.pop() if len(dtypes) == 1 else None,
        embeds=any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in module.modules()),
        padding=pad if isinstance(pad, int) else 0,
        inputs=[inputs] if isinstance(inputs, str | int) else inputs,
        alone=forward is not None,
    )


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    """Those of `forward`, without the module itself."""
    if isinstance(module, torch.jit.ScriptModule):
        return [_of_schema(argument) for argument in module.forward.schema.arguments[1:]]  # type: ignore[attr-defined]
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (ValueError, TypeError):  # written in C, or made at run time
        return [inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)]


def _of_schema(argument: Any) -> inspect.Parameter:
    default = argument.default_value if argument.has_default_value() else inspect.Parameter.empty
    return inspect.Parameter(argument.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


def _is_list(parameter: inspect.Parameter) -> bool:
    """Whether an argument is stated to be a list, as those of torchvision's detectors are."""
    return str(parameter.annotation).replace("typing.", "").lower().startswith(("list[", "sequence["))


def _is_mapping(module: nn.Module, parameter: inspect.Parameter) -> bool:
    """Whether an argument is used as a mapping: by its type hint, by how `forward` reads it, or by its name."""
    stated = str(parameter.annotation).lower()
    if any(word in stated for word in ("dict", "mapping", "batchencoding")):
        return True
    if "tensor" in stated or isinstance(module, torch.jit.ScriptModule):  # whose arguments are typed
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(module).forward)))
    except (OSError, TypeError, SyntaxError, AttributeError):  # made at run time, or compiled: only the name is left
        return parameter.name in WHOLE
    return any(_reads_mapping(node, parameter.name) for node in ast.walk(tree)) or parameter.name in WHOLE


def _reads_mapping(node: ast.AST, name: str) -> bool:
    def is_it(value: ast.AST | None) -> bool:
        return isinstance(value, ast.Name) and value.id == name

    if isinstance(node, ast.Subscript) and is_it(node.value):
        return isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
    if isinstance(node, ast.Attribute) and is_it(node.value):
        return node.attr in _OF_MAPPINGS
    return isinstance(node, ast.keyword) and node.arg is None and is_it(node.value)
