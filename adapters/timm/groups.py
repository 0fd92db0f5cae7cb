"""What a timm model says of its blocks: `group_matcher` and `feature_info`.

`group_matcher` is regular expressions over paths: the stem, and every block with its stage. Where a family says nothing
there, or something other than its blocks, `SAID_FOR` says it in the same vocabulary. `feature_info` lists the modules
after which the resolution falls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import nn

Patterns: TypeAlias = Mapping[str, Any]
"""Group -> regular expression, or list of (expression, suffix); what has a suffix belongs to a block but is none."""

Groups: TypeAlias = dict[tuple[str, ...], list[str]]
"""(group, number of the stage where it has one) -> the paths of its blocks."""

SAID_FOR: dict[str, Patterns] = {
    # No group_matcher.
    "CSATv2": {"blocks": r"^stages\.(\d+)\.(\d+)"},
    "MetaFormer": {"blocks": r"^stages\.(\d+)\.blocks\.(\d+)"},
    "PoolingVisionTransformer": {"blocks": r"^transformers\.(\d+)\.blocks\.(\d+)"},
    "EfficientNetFeatures": {"blocks": r"^blocks\.(\d+)\.(\d+)"},
    "MobileNetV3Features": {"blocks": r"^blocks\.(\d+)\.(\d+)"},
    "MobileNetV5Encoder": {"blocks": r"^blocks\.(\d+)\.(\d+)"},
    # A function of parameter names, which cannot be asked for modules.
    "Cait": {"blocks": r"^blocks\.(\d+)", "class_blocks": r"^blocks_token_only\.(\d+)"},
    "InceptionV3": {"blocks": r"^Mixed_(\d)(\w)"},
    "InceptionResnetV2": {"blocks": r"^(?:mixed_\w+|repeat(?:_\d)?\.(\d+)|block8)"},
    # Its stages are groups, and the parallel blocks that follow in some give the features of three of them.
    "CoaT": {"blocks": r"^serial_blocks(\d)\.(\d+)", "parallel_blocks": r"^parallel_blocks\.(\d+)"},
    # A group larger than a block: DLA's trees and RDNet's dense stages hold the blocks. DLA's first levels are plain.
    "DLA": {"blocks": [(r"^level(\d+)\.(?:tree\d\.)*tree(\d)", None), (r"^level([01])\.(\d+)", None)]},
    "RDNet": {"blocks": r"^dense_stages\.(\d+)\.\d+\.dense_block(\d+)"},
    # The convolutions after SelecSLS's features have two stages of feature_info, but one group.
    "SelecSls": {"stem": r"^stem", "blocks": r"^features\.(\d+)", "blocks_head": r"^head\.(\d+)"},
    # Calls its first convolution the stem; in a plain network it is a block like the others.
    "VGG": {"blocks": r"^features\.(\d+)"},
}


def block_groups(model: nn.Module) -> tuple[Groups, str]:
    """The blocks of a model by group and stage, in the order of definition, and where that was read.

    Raises:
        ValueError: the model does not say.
    """
    patterns, said_by = _patterns(model)
    compiled: list[tuple[str, re.Pattern[str], bool]] = []
    for group, said in patterns.items():
        for expression, suffix in [(said, None)] if isinstance(said, str) else said or ():
            compiled.append((group, re.compile(expression), suffix is None and not group.startswith("stem")))
    found: dict[str, tuple[str, ...]] = {}
    for path, _ in model.named_modules():
        for group, pattern, is_block in compiled:  # as in timm, the first expression that fits counts
            match = pattern.match(path + ".")
            if match:
                if is_block and match.end() == len(path):
                    numbers = [number for number in match.groups() if number is not None]
                    found[path] = (group, *numbers[:-1])
                break
    groups: Groups = {}
    for path, key in found.items():
        if not any(other.startswith(path + ".") for other in found):  # a tree of blocks is none
            groups.setdefault(key, []).append(path)
    if not groups:
        raise ValueError(cannot_tell(model, "none of its modules is what its group_matcher calls a block"))
    return groups, said_by


def feature_info(model: nn.Module) -> list[tuple[str, int]]:
    """The (module, reduction) pairs of `feature_info`; a module may be a name that is no path (`stem`)."""
    info: Any = getattr(model, "feature_info", None)
    return [(entry["module"], entry["reduction"]) for entry in getattr(info, "info", info) or ()]


def has_stages(model: nn.Module) -> bool:
    """Whether the resolution falls along the blocks. (CrossViT lists each block once per branch.)"""
    info = feature_info(model)
    names = [name for name, _ in info]
    return len(set(names)) == len(names) and len({reduction for _, reduction in info}) > 1


def cannot_tell(model: nn.Module, why: str) -> str:
    """The message of a model whose layers cannot be told."""
    return (
        f"cannot tell the blocks of {type(model).__name__}: {why}; "
        'granularity="module" compares every leaf module instead'
    )


def _patterns(model: nn.Module) -> tuple[Patterns, str]:
    for cls in type(model).__mro__:
        if cls.__name__ in SAID_FOR and cls.__module__.startswith("timm."):
            return SAID_FOR[cls.__name__], "the paths of its blocks"
    matcher: Any = getattr(model, "group_matcher", None)
    if matcher is None:
        raise ValueError(cannot_tell(model, "it has no group_matcher"))
    patterns = matcher(coarse=False)
    if not isinstance(patterns, Mapping):
        raise ValueError(cannot_tell(model, "its group_matcher gives no patterns"))
    return patterns, "timm's group_matcher"
