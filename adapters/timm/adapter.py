"""timm: every architecture of `timm.list_models()`, its weights, layers, inputs and class names."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer, Preparation
from cka_plugin.adapters.modules import has_tables
from cka_plugin.adapters.timm.ends import classifier_of
from cka_plugin.adapters.timm.inputs import preparation_of
from cka_plugin.adapters.timm.layers import described, layout_of
from cka_plugin.adapters.timm.weights import build


class TimmAdapter(Adapter):
    """timm's models behind the common interface.

    Example:
        >>> import timm
        >>> model = timm.create_model("test_resnet")
        >>> [layer.name for layer in TimmAdapter().layers(model, "stage")]
        ['stem', 'stages.0', 'stages.1', 'stages.2', 'stages.3', 'head']
    """

    name = "timm"

    def owns(self, model: nn.Module) -> bool:
        """A model of timm, or of a class made from one; timm's blocks and layers on their own are any module."""
        ours = any(cls.__module__.startswith("timm.models.") for cls in type(model).__mro__)
        return ours and hasattr(model, "feature_info")

    def knows(self, name: str) -> bool:
        if find_spec("timm") is None or ":" in name or "/" in name:
            return False
        import timm

        return bool(timm.is_model(name.partition(".")[0]))

    def list_names(self, pattern: str = "*") -> list[str]:
        """Architectures that match a glob pattern; with a dot in it (`resnet50.*`), those with a tag of weights too."""
        if find_spec("timm") is None:
            return []
        import timm

        names = timm.list_models() + (timm.list_models(pretrained=True) if "." in pattern else [])
        return sorted(fnmatch.filter(names, pattern))

    def has_pretrained(self, name: str) -> bool:
        import timm

        return bool(timm.models.is_model_pretrained(name))

    def load(
        self, name: str, *, pretrained: bool = True, checkpoint: str | None = None, **model_kwargs: Any
    ) -> nn.Module:
        return build(name, pretrained=pretrained, checkpoint=checkpoint, **model_kwargs)

    def anew(self, model: nn.Module) -> nn.Module | None:
        """By the name of its architecture, which every model that `timm.create_model` has built remembers."""
        architecture = (getattr(model, "pretrained_cfg", None) or {}).get("architecture")
        if not architecture or not self.knows(architecture):
            return None
        classes = getattr(model, "num_classes", None)
        return self.load(architecture, pretrained=False, **({} if classes is None else {"num_classes": classes}))

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        return layout_of(model).layers(granularity)

    def describe(self, model: nn.Module) -> str:
        return described(layout_of(model), type(model).__name__)

    def preparation(self, model: nn.Module) -> Preparation | None:
        return preparation_of(model)

    def forward(self, model: nn.Module, inputs: Inputs) -> Any:
        if isinstance(inputs, Mapping) and "patches" in inputs:  # NaFlexViT takes its dict of patches as one argument
            return model(dict(inputs))
        return super().forward(model, inputs)

    def activation(self, model: nn.Module, layer: Layer, output: Any) -> Any:
        """The blocks of TNT return pixels and patches; what becomes of the image is in the patches."""
        return output[1] if type(model).__name__ == "TNT" and layer.kind == "block" else output

    def mask(self, model: nn.Module, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
        """Only NaFlexViT pads: an image has as many patches as its shape gives, after the class and register tokens."""
        if not isinstance(inputs, Mapping) or inputs.get("patch_valid") is None:
            return None
        valid: Tensor = inputs["patch_valid"].bool()
        n, patches = valid.shape
        if length < patches:  # pooled already
            return torch.ones(n, length, dtype=torch.bool, device=valid.device)
        return torch.cat([valid.new_ones(n, length - patches), valid], dim=1)

    def rows_known(self, model: nn.Module, leaves: bool = False) -> bool:
        """All of timm's models hold the batch first; among their leaves there may be some of tables of positions."""
        return not (leaves and has_tables(model))

    def logits(self, model: nn.Module, output: Any) -> Tensor | None:
        return super().logits(model, output) if classifier_of(model) is not None else None

    def class_names(self, model: nn.Module) -> list[str] | None:
        """The names in the model's configuration, or ImageNet's where its weights' tag says so (`a1_in1k`)."""
        cfg = getattr(model, "pretrained_cfg", None) or {}
        classes = getattr(model, "num_classes", None)
        if not classes or classes != cfg.get("num_classes"):
            return None
        own = cfg.get("label_names")
        if own and len(own) == classes:
            descriptions = cfg.get("label_descriptions") or {}
            return [str(descriptions.get(label, label)) for label in own]
        if classes == 1000 and re.search(r"(^|_)in1k$", cfg.get("tag") or ""):
            return list(_imagenet_classes())
        return None


@cache
def _imagenet_classes() -> tuple[str, ...]:
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    names = info.label_descriptions()
    seen = Counter(names)  # "crane" is a bird and a machine: such names get their WordNet number
    return tuple(f"{n} ({s})" if seen[n] > 1 else n for n, s in zip(names, info.label_names(), strict=True))
