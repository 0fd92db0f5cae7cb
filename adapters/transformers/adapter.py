"""Hugging Face transformers: models by hub name, local folder, or model type (`hf:bert`, untrained).

How they are built is in `loading`, the layer map in `layers`, what goes into a model and
comes out of it in `inputs`.
"""

from __future__ import annotations

import copy
import fnmatch
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer, Preparation
from cka_plugin.adapters.modules import layer_within
from cka_plugin.adapters.transformers.tuned import CONFIGURATION

LENGTH_FIRST = {"fsmt", "xlnet", "transfo-xl"}  # types whose blocks return (length, n, d)


class TransformersAdapter(Adapter):
    """Models of Hugging Face transformers."""

    name = "transformers"

    def owns(self, model: nn.Module) -> bool:
        modeling = sys.modules.get("transformers.modeling_utils")
        return modeling is not None and isinstance(model, modeling.PreTrainedModel)

    def knows(self, name: str) -> bool:
        """A local folder of a model or a PEFT adapter, or what looks like `owner/model`; model types go by `hf:`."""
        if Path(name).is_dir():
            return any((Path(name) / file).is_file() for file in ("config.json", CONFIGURATION))
        owner, slash, model = name.partition("/")
        return bool(slash and owner and model) and "/" not in model and not name.startswith((".", "~", "/"))

    def list_names(self, pattern: str = "*") -> list[str]:
        """Every model type, as `hf:bert`; the pattern is matched with and without the prefix."""
        if find_spec("transformers") is None:
            return []
        from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

        names = sorted(MODEL_MAPPING_NAMES)
        return [f"hf:{n}" for n in names if fnmatch.fnmatch(n, pattern) or fnmatch.fnmatch(f"hf:{n}", pattern)]

    def load(
        self, name: str, *, pretrained: bool = True, checkpoint: str | None = None, **model_kwargs: Any
    ) -> nn.Module:
        """Build a model; see `loading.build` for names, arguments and errors."""
        from cka_plugin.adapters.transformers.loading import build

        return build(name, pretrained=pretrained, checkpoint=checkpoint, **model_kwargs)

    def anew(self, model: nn.Module) -> nn.Module | None:
        """By its class and configuration."""
        own = type(model).__module__.startswith("transformers.")
        return type(model)(copy.deepcopy(model.config)) if own and hasattr(model, "config") else None

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        from cka_plugin.adapters.transformers.layers import layers

        return layers(model, granularity)

    def describe(self, model: nn.Module) -> str:
        from cka_plugin.adapters.transformers.layers import describe

        return describe(model)

    def preparation(self, model: nn.Module) -> Preparation | None:
        from cka_plugin.adapters.transformers import inputs as transformers_inputs

        return transformers_inputs.preparation(model)

    def preparation_by(self, model: nn.Module, processor: Any) -> Preparation | None:
        """By a tokenizer, image processor, feature extractor or processor of transformers."""
        from transformers import FeatureExtractionMixin, PreTrainedTokenizerBase, ProcessorMixin
        from transformers.image_processing_utils import BaseImageProcessor

        from cka_plugin.adapters.transformers import inputs as transformers_inputs

        kinds = (PreTrainedTokenizerBase, BaseImageProcessor, FeatureExtractionMixin, ProcessorMixin)
        return transformers_inputs.preparation(model, processor) if isinstance(processor, kinds) else None

    def forward(self, model: nn.Module, inputs: Inputs) -> Any:
        from cka_plugin.adapters.transformers import inputs as transformers_inputs

        return transformers_inputs.forward(model, inputs)

    def activation(self, model: nn.Module, layer: Layer, output: Any) -> Any:
        from cka_plugin.adapters.transformers.masks import positions_first

        return positions_first(model, layer_within(model, layer), output)

    def mask(self, model: nn.Module, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
        from cka_plugin.adapters.transformers import inputs as transformers_inputs

        return transformers_inputs.mask(model, layer_within(model, layer), inputs, length)

    def rows_known(self, model: nn.Module, leaves: bool = False) -> bool:
        """Blocks hold the batch first, but in a few types; of leaves (tables of positions, experts) nobody knows."""
        types = {getattr(getattr(module, "config", None), "model_type", None) for module in model.modules()}
        return not leaves and not types & LENGTH_FIRST

    def logits(self, model: nn.Module, output: Any) -> Tensor | None:
        from cka_plugin.adapters.transformers import inputs as transformers_inputs

        return transformers_inputs.logits(model, output)

    def class_names(self, model: nn.Module) -> list[str] | None:
        labels = getattr(getattr(model, "config", None), "id2label", None)
        if not isinstance(labels, Mapping) or not labels:
            return None
        if all(str(label) == f"LABEL_{index}" for index, label in labels.items()):  # what transformers fills in
            return None
        return [str(labels[index]) for index in sorted(labels)]
