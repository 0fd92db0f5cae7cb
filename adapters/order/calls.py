"""In which order a module calls its children, read from the source of its `forward`.

transformers registers modules in no particular order (an embedding's norm after the blocks, a final norm before them),
and its forward passes depend too much on their data to be followed without it. But they are written plainly: children
are called as `self.name(...)`, from the top of `forward` to its end, and blocks in a loop over `self.layers`.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from dataclasses import dataclass

from torch import nn

_DEEPEST = 3  # methods calling methods


@dataclass(frozen=True)
class Mention:
    """`self.name` in a source.

    Attributes:
        name: the attribute.
        loops: the attributes over which the loops around it run.
        over: whether a loop runs over it here.
        sometimes: whether it stands under an `if` inside a loop.
    """

    name: str
    loops: frozenset[str] = frozenset()
    over: bool = False
    sometimes: bool = False


def mentions(module: nn.Module) -> list[Mention]:
    """Where the source of `forward` mentions the children of `module`, in the order in which they are reached.

    Methods of the module are looked into where they are called with arguments. Empty where there is no source
    (compiled, built at run time).

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.norm, self.layers, self.embed = nn.ReLU(), nn.ModuleList(), nn.Linear(2, 2)
        ...     def forward(self, x):
        ...         x = self.embed(x)
        ...         for layer in self.layers:
        ...             x = layer(x)
        ...         return self.norm(x)
        >>> [mention.name for mention in mentions(Net())]  # doctest: +SKIP
        ['embed', 'layers', 'norm']
    """
    children = dict(module.named_children())
    found = _of_method(type(module), "forward", _DEEPEST)  # type: ignore[arg-type]
    return [mention for mention in found if mention.name in children]


def call_order(module: nn.Module) -> list[str]:
    """The children of `module` in the order of their first mention; of definition where there is no source."""
    found = dict.fromkeys(mention.name for mention in mentions(module))
    return list(found) or [name for name, _ in module.named_children()]


def around(module: nn.Module, inward: str) -> tuple[list[str], list[str]]:
    """The children of `module` that it calls before the child `inward`, and those that it calls after it.

    What is called both before and after is in neither list if it has no part in telling the two apart: a norm or a
    dropout that serves twice. Nor is what every turn of a loop over `inward` calls.
    """
    found = mentions(module)
    places = [i for i, mention in enumerate(found) if mention.name == inward]
    if not places:
        names = [name for name, _ in module.named_children()]
        return names[: names.index(inward)], names[names.index(inward) + 1 :]
    start = next((i for i in reversed(places) if found[i].over), places[-1])
    during = {m.name for m in found if inward in m.loops and not m.sometimes}
    before = list(dict.fromkeys(m.name for m in found[:start] if m.name != inward))
    after = list(dict.fromkeys(m.name for m in found[start + 1 :] if inward not in m.loops and m.name != inward))
    twice = {name for name in before if name in after}
    return (
        [name for name in before if not (name in twice and _serves_twice(getattr(module, name)))],
        [name for name in after if name not in twice and name not in during],
    )


def _serves_twice(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__ or isinstance(module, nn.Dropout)


@functools.cache
def _of_method(owner: type, method: str, deepest: int) -> tuple[Mention, ...]:
    try:
        function = inspect.unwrap(getattr(owner, method))
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, AttributeError):  # AttributeError: what TorchScript has compiled
        return ()
    reader = _Reader(owner, deepest)
    reader.visit(tree.body[0])
    return tuple(reader.found)


class _Reader(ast.NodeVisitor):
    """Collects the mentions of `self.name` in the order in which they are evaluated."""

    def __init__(self, owner: type, deepest: int) -> None:
        self.owner = owner
        self.deepest = deepest
        self.found: list[Mention] = []
        self.loops: frozenset[str] = frozenset()
        self.over = False
        self.sometimes = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            if self.over or not _is_child(node.value):  # `self.embed.weight` only reads an attribute
                self.visit(node.value)
            return
        method = inspect.getattr_static(self.owner, node.attr, None)
        if not inspect.isfunction(method):
            self.found.append(Mention(node.attr, self.loops, self.over, self.sometimes))
        elif self.deepest and method.__module__ != "transformers.modeling_utils":
            inner = _of_method(self.owner, node.attr, self.deepest - 1)
            self.found += [
                Mention(m.name, m.loops | self.loops, m.over or self.over, m.sometimes or self.sometimes) for m in inner
            ]

    def visit_Call(self, node: ast.Call) -> None:
        if self._is_given_nothing(node):
            return
        for argument in [*node.args, *node.keywords]:
            self.visit(argument)
        method = isinstance(node.func, ast.Attribute) and _is_child(node.func.value)  # `self.encoder.encode(x)`
        self.visit(node.func.value if method else node.func)  # type: ignore[attr-defined]

    def _is_given_nothing(self, node: ast.Call) -> bool:
        """Whether a method of the module is called without arguments: what it calls sees tables, not activations.

        DeBERTa normalises its relative positions in such a method, just before its blocks.
        """
        own = isinstance(node.func, ast.Attribute) and _is_child(node.func) and not (node.args or node.keywords)
        return own and inspect.isfunction(inspect.getattr_static(self.owner, node.func.attr, None))  # type: ignore[attr-defined]

    def visit_Assign(self, node: ast.Assign) -> None:
        for part in [node.value, *node.targets]:
            self.visit(part)

    def visit_For(self, node: ast.For) -> None:
        names = self._loop_over(node.iter)
        outside = self.loops
        self.loops = outside | names
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)
        self.loops = outside

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        outside = self.sometimes
        self.sometimes = outside or bool(self.loops)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)
        self.sometimes = outside

    def visit_ListComp(self, node: ast.ListComp) -> None:
        for generator in node.generators:
            self._loop_over(generator.iter)
        self.visit(node.elt)

    def _loop_over(self, iterated: ast.expr) -> frozenset[str]:
        start = len(self.found)
        outside, self.over = self.over, not _is_range(iterated)
        self.visit(iterated)
        self.over = outside
        return frozenset(mention.name for mention in self.found[start:])


def _is_child(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _is_range(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"


__all__ = ["Mention", "around", "call_order", "mentions"]
