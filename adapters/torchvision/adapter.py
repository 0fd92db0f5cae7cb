"""torchvision: every architecture of `torchvision.models.list_models()`, its weights, layers, inputs and classes."""

from __future__ import annotations

import fnmatch
import sys
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Layer, Preparation
from cka_plugin.adapters.modules import has_tables
from cka_plugin.adapters.torchvision.layers import family_of, layout_of


class TorchvisionAdapter(Adapter):
    """torchvision's models behind the common interface.

    Example:
        >>> from torchvision.models import resnet18
        >>> [layer.name for layer in TorchvisionAdapter().layers(resnet18(), "stage")]
        ['stem', 'stages.0', 'stages.1', 'stages.2', 'stages.3', 'head']
    """

    name = "torchvision"

    def owns(self, model: nn.Module) -> bool:
        """Whole models, of torchvision's classes or derived from them; not the blocks that others build with."""
        return "torchvision" in sys.modules and family_of(model) is not None

    def knows(self, name: str) -> bool:
        """An architecture, or one with its weights: `resnet50.IMAGENET1K_V1`."""
        return name.partition(".")[0] in self.list_names()

    def list_names(self, pattern: str = "*") -> list[str]:
        """Architectures that match a glob pattern."""
        if find_spec("torchvision") is None:
            return []
        from torchvision.models import list_models

        return sorted(fnmatch.filter(list_models(), pattern))

    def load(
        self, name: str, *, pretrained: bool = True, checkpoint: str | None = None, **model_kwargs: Any
    ) -> nn.Module:
        """Build an architecture, with the weights that torchvision recommends for it or those of a local file.

        Raises:
            ValueError: the name is unknown, or the file does not fit.
            FileNotFoundError: no such file.
            OSError: the weights cannot be reached; the message says what to give instead.
        """
        from cka_plugin.adapters.torchvision.weights import build

        return build(name, pretrained=pretrained, checkpoint=checkpoint, **model_kwargs)

    def anew(self, model: nn.Module) -> nn.Module | None:
        """By the builder of its class whose weights have the same names and shapes, but for the head's."""
        from cka_plugin.adapters.torchvision.weights import built_by

        name, kwargs = built_by(model)
        return None if name is None else self.load(name, pretrained=False, **kwargs)

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        """The layers at `stage` or `block` granularity.

        Raises:
            ValueError: SSD and RAFT, whose layers have no one order; the message names the way out.
        """
        return layout_of(model).layers(granularity)

    def describe(self, model: nn.Module) -> str:
        """How many blocks and stages were read from where."""
        layout = layout_of(model)
        blocks = sum(len(blocks) for _, blocks in layout.stages)
        stages = "" if layout.isotropic else f" in {len(layout.stages)} stages"
        return f"{type(model).__name__} as torchvision's {family_of(model)}: {blocks} blocks{stages}"

    def preparation(self, model: nn.Module) -> Preparation | None:
        """The transform of its weights; untrained, that of the default weights of the same architecture."""
        from cka_plugin.adapters.torchvision.inputs import preparation_of

        return preparation_of(model)

    def rows_known(self, model: nn.Module, leaves: bool = False) -> bool:
        """Those that classify images or videos hold the batch first, but tables of positions among their leaves."""
        others = (".detection.", ".optical_flow.", ".segmentation.")
        return not any(part in type(model).__module__ for part in others) and not (leaves and has_tables(model))

    def logits(self, model: nn.Module, output: Any) -> Tensor | None:
        """Those of a classifier in training mode stand before the auxiliary ones; detectors give boxes, not scores."""
        return super().logits(model, output) if layout_has_head(model) else None

    def class_names(self, model: nn.Module) -> list[str] | None:
        """The categories of the weights that the model was built with here; other weights do not say theirs."""
        from cka_plugin.adapters.torchvision.weights import classes

        weights = getattr(model, "_torchvision_weights", None)
        names = list(weights.meta.get("categories") or ()) if weights is not None else []
        return names if names and len(names) == classes(model) == len(set(names)) else None


def layout_has_head(model: nn.Module) -> bool:
    """Whether the model has class scores to give: not as a feature extractor, nor where its layers cannot be told."""
    try:
        return layout_of(model).head is not None
    except ValueError:
        return False
