"""Patterns of model names, such as `resnet*`, as the names that fit them."""

from __future__ import annotations

from cka_plugin.adapters import registry as adapters

_WILD = "*?["


def names_of(patterns: list[str], pretrained: bool = True) -> list[str]:
    """The names that fit patterns, in the order of the patterns; what is no pattern stays as it is.

    Args:
        patterns: of timm's names, or with a framework before them: `torchvision:resnet*`. One with a dot
            (`resnet50.*`) is of timm's names with the tags of their weights.
        pretrained: only those that have pretrained weights.

    Raises:
        ValueError: nothing fits a pattern.

    Example:
        >>> names_of(["resnet18", "torchvision:resnet?8"])
        ['resnet18', 'torchvision:resnet18']
    """
    found: list[str] = []
    for pattern in patterns:
        if not any(sign in pattern for sign in _WILD):
            found.append(pattern)
            continue
        framework, colon, inner = pattern.partition(":")
        if not colon:
            framework, inner = "timm", pattern
        adapter = next((one for one in adapters.adapters() if one.name == framework), None)
        if adapter is None:
            raise ValueError(f"pattern {pattern!r}: no framework is called {framework!r}")
        fitting = adapter.list_names(inner)
        chosen = [name for name in fitting if not pretrained or adapter.has_pretrained(name)]
        if not chosen:
            untrained = f" with pretrained weights (of {len(fitting)} in all: pretrained=False)" if fitting else ""
            raise ValueError(f"no model of {framework}{untrained} fits {pattern!r}")
        found += [f"{framework}:{name}" if colon else name for name in chosen]
    return list(dict.fromkeys(found))
