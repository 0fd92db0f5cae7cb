"""What stands before and after the blocks of a timm model: stem or embedding, final norm, head."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import nn

from cka_plugin.adapters.modules import is_norm
from cka_plugin.adapters.timm.kinds import CONTAINERS, CONVOLUTIONS, parent

# Where the last module before the blocks is not what enters them: it fires per branch or stage, or after the first one.
STEM_FOR: dict[str, str] = {
    "CoaT": "patch_embed1",
    "CrossVit": "patch_embed.0",
    "Visformer": "patch_embed1",
    "VOLO": "patch_embed",
}

# Modules beside the way of the activations: positions for each attention or stage, an auxiliary head.
_ASIDE = re.compile(r"rope|rotary|rel_?pos|reroll|pos_?block|^aux", re.IGNORECASE)


def stem_of(model: nn.Module, first: str, in_blocks: Collection[str]) -> str | None:
    """The last module before the blocks: its output, positions and class token added, is what enters them.

    Args:
        model: the model.
        first: path of its first stage, or first block.
        in_blocks: layers that belong to a block though they stand before `first` (a plain network's first convolution).

    Returns:
        A path; None where nothing comes before the blocks.
    """
    if type(model).__name__ in STEM_FOR:
        return STEM_FOR[type(model).__name__]
    modules = dict(model.named_modules())
    for path in _around(modules, first, before=True):
        if path in in_blocks or _is_aside(modules, path):
            continue
        return f"{path}.0" if isinstance(modules[path], nn.ModuleList) else path  # one a stage: the first
    return None


def final_norm_of(model: nn.Module, last: str) -> str | None:
    """The norm after the last block and before any convolution or linear layer, also inside the head.

    A norm after a last convolution (EfficientNet's `bn2`) belongs to that, and a BatchNorm1d to the linear layer after
    it, into which timm fuses it.
    """
    modules = dict(model.named_modules())
    for sibling in _around(modules, last, before=False):
        if _is_aside(modules, sibling):
            continue
        for path, module in modules.items():
            if path != sibling and not path.startswith(sibling + "."):
                continue
            if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
                return None
            if is_norm(module) and not isinstance(module, nn.BatchNorm1d):
                holder = modules[parent(path)]
                if parent(path) and isinstance(holder, nn.ModuleList):  # one a stage: the last
                    return f"{parent(path)}.{len(holder) - 1}"
                return path
    return None


def classifier_of(model: nn.Module) -> nn.Module | None:
    """The layer that timm calls the classifier; None where the model gives features (`num_classes=0`).

    Of several (distilled, one a branch), whose mean is returned, the first.
    """
    ask: Any = getattr(model, "get_classifier", None)
    found = ask() if ask is not None else None
    while isinstance(found, tuple | list | nn.ModuleList):  # distilled heads of branches are lists in a tuple
        found = found[0] if len(found) else None
    if not isinstance(found, nn.Module):
        return None
    # A quantised layer has packed weights and no parameters.
    weighted = any(True for _ in found.parameters()) or hasattr(found, "_packed_params")
    return found if weighted else None


def head_of(model: nn.Module, blocks: Collection[str]) -> str | None:
    """The path of the module that gives the logits: the classifier, or the head module around it."""
    modules = dict(model.named_modules())
    classifier = classifier_of(model)
    path = next((path for path, module in modules.items() if module is classifier), None)
    if path is None:
        return None
    around = parent(path)
    while around and not isinstance(modules[around], CONTAINERS):
        if any(block.startswith(around + ".") for block in blocks):
            break
        path, around = around, parent(around)
    return path


def _around(modules: Mapping[str, nn.Module], path: str, before: bool) -> Iterator[str]:
    """The siblings before (nearest first) or after `path`, then those of its parent, and so on up."""
    while path:
        holder = parent(path)
        siblings = [f"{holder}.{name}" if holder else name for name, _ in modules[holder].named_children()]
        place = siblings.index(path)
        yield from reversed(siblings[:place]) if before else siblings[place + 1 :]
        path = holder


def _is_aside(modules: Mapping[str, nn.Module], path: str) -> bool:
    return bool(_ASIDE.search(path.rpartition(".")[2]) or _ASIDE.search(type(modules[path]).__name__))
