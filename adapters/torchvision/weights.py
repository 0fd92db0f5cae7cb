"""Building torchvision models by name, their weights, and what those weights say of inputs and classes."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from cka_plugin.adapters.hub import reachable
from cka_plugin.adapters.torchvision.layers import layout_of
from cka_plugin.adapters.weights import load_checkpoint
from cka_plugin.lending.randomness import random_states_kept

WAY_OUT = "give a local file with checkpoint=..., or pretrained=False for the bare architecture"


def build(name: str, *, pretrained: bool, checkpoint: str | None, **model_kwargs: Any) -> nn.Module:
    """Build a torchvision model; see `Adapter.load`.

    Args:
        name: an architecture (`resnet50`), or one with its weights (`resnet50.IMAGENET1K_V1`).
        pretrained: whether to load its weights, the best ones where the name does not tell; overruled by `checkpoint`.
        checkpoint: a `.safetensors` or `.pth` file with a state dict.
        model_kwargs: what the model's builder takes: `num_classes`, `image_size`, ...; `weights` too.

    Raises:
        ValueError: an unknown name or unknown weights, or a checkpoint that does not fit the architecture.
        OSError: weights that cannot be reached, or that do not exist.
    """
    from torchvision.models import get_model, get_model_builder

    architecture, wanted = parse(name)
    takes = inspect.signature(get_model_builder(architecture)).parameters
    if "weights_backbone" in takes:  # else a detector without weights downloads those of its backbone
        model_kwargs.setdefault("weights_backbone", None)
    wanted = model_kwargs.pop("weights", wanted)
    if checkpoint is not None or not pretrained:
        if architecture.removeprefix("quantized_") in ("googlenet", "inception_v3"):
            model_kwargs.setdefault("init_weights", True)  # their default, which they warn of
        model = get_model(architecture, weights=None, **model_kwargs)
        if checkpoint is not None:
            load_checkpoint(model, checkpoint)
        return model
    weights = _weights(architecture, wanted, bool(model_kwargs.get("quantize")))
    with _downloading(name, weights.url), contextlib.redirect_stdout(sys.stderr):  # torch.hub prints what it downloads
        model = get_model(architecture, weights=weights, **model_kwargs)
    model._torchvision_weights = weights
    return model


def parse(name: str) -> tuple[str, str | None]:
    """An architecture, and the weights that the name asks for.

    Raises:
        ValueError: an unknown architecture; the nearest ones are quoted.
    """
    from torchvision.models import list_models

    architecture, _, tag = name.partition(".")
    if architecture not in list_models():
        near = difflib.get_close_matches(architecture, list_models(), n=3, cutoff=0.6)
        hint = f": did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"torchvision has no model {name!r}{hint}")
    return architecture, tag or None


def weights_of(model: nn.Module) -> Any | None:
    """The weights that `model` was built with here, else the default ones of the architecture that it is."""
    known = getattr(model, "_torchvision_weights", None)
    return known if known is not None else _default_weights(model)


def built_by(model: nn.Module) -> tuple[str | None, dict[str, Any]]:
    """The architecture whose builder gives weights of the most names and shapes of `model`, and what else it takes."""
    from torchvision.models import get_model_builder, list_models

    count = classes(model)
    kwargs = {} if count is None else {"num_classes": count}
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found: dict[str, int] = {}
    for name in list_models():
        builder = get_model_builder(name)
        if inspect.signature(builder).return_annotation in type(model).__mro__:
            with random_states_kept(), torch.device("meta"):
                bare = build(name, pretrained=False, checkpoint=None, **kwargs).state_dict()
            same = sum(shapes.get(key) == tuple(value.shape) for key, value in bare.items())
            found[name] = 2 * same - len(bare)
    best = max(found, key=lambda name: found[name], default=None)
    return (best, kwargs) if best is not None and found[best] > 0 else (None, {})


def _weights(architecture: str, wanted: Any, quantize: bool) -> Any:
    """A member of the weights of an architecture, by name or as it is; the default one if none is wanted."""
    from torchvision.models import get_model_weights

    choices = get_model_weights(architecture)
    if not quantize and architecture.startswith("quantized_"):
        choices = get_model_weights(architecture.removeprefix("quantized_"))
    if not len(choices):
        raise OSError(f"torchvision has no pretrained weights for {architecture!r}; {WAY_OUT}")
    if isinstance(wanted, choices):
        return wanted
    tag = str(wanted or "DEFAULT").rpartition(".")[2]
    if tag not in choices.__members__:
        raise ValueError(
            f"torchvision has no weights {tag!r} for {architecture!r}: it has {', '.join(choices.__members__)}"
        )
    return choices[tag]


@contextlib.contextmanager
def _downloading(name: str, url: str) -> Iterator[None]:
    """Within, weights are downloaded. Where they are neither cached nor to be reached, that is said at once."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    trouble = f"cannot reach the pretrained weights of {name!r} at {url}"
    if not cached.is_file() and not reachable(url):
        raise OSError(f"{trouble}; {WAY_OUT}")
    try:
        yield
    except OSError as error:
        raise OSError(f"{trouble} ({error}); {WAY_OUT}") from error


def _default_weights(model: nn.Module) -> Any | None:
    """Those of the builder that makes models of this class with as many parameters, whatever the number of classes.

    Detectors and segmenters without weights have other normalisations and heads than those with; for them the class is
    enough where all its builders prepare images alike.
    """
    from torchvision.models import get_model_builder, list_models

    builders = {name: inspect.signature(get_model_builder(name)).return_annotation for name in list_models()}
    names = [name for name, made in builders.items() if made in type(model).__mro__]
    candidates = [_weights(name, None, quantize=False) for name in names]
    for weights in candidates:
        if weights.meta["num_params"] in _sizes(model, weights):
            return weights
    dense = any(type(w.transforms()).__name__ in ("ObjectDetection", "SemanticSegmentation") for w in candidates)
    alike = len({repr(weights.transforms()) for weights in candidates}) == 1
    return candidates[0] if dense and alike else None


def _sizes(model: Any, weights: Any) -> set[int]:
    """How many parameters the model would have with the classes and image size of `weights`.

    With its auxiliary heads, and without: some weights count them.
    """
    classes = len(weights.meta.get("categories") or ())
    parameters = _parameters(model)
    if hasattr(model, "patch_size") and hasattr(model, "image_size"):  # a position for each patch
        positions = (weights.meta["min_size"][0] // model.patch_size) ** 2 - (model.image_size // model.patch_size) ** 2
        parameters += positions * model.hidden_dim
    parameters += _for_classes(_classifier(model), classes)
    auxiliary = [child for name, child in model.named_children() if name.lower().startswith("aux")]
    with_auxiliary = parameters + sum(_for_classes(_last_layer(child), classes) for child in auxiliary)
    return {with_auxiliary, parameters - sum(_parameters(child) for child in auxiliary)}


def _for_classes(layer: Any | None, classes: int) -> int:
    """How many more parameters a classifying layer would have with that many classes."""
    if layer is None:
        return 0
    has = int(layer.weight.shape[0])
    return _parameters(layer) // has * (classes - has)


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def classes(model: nn.Module) -> int | None:
    """How many classes the model's head has; None where it has no head."""
    head = _classifier(model)
    return None if head is None else int(head.weight.shape[0])


def _classifier(model: nn.Module) -> Any | None:
    try:
        head = layout_of(model).head
    except ValueError:
        return None
    return _last_layer(model.get_submodule(head)) if head else None


def _last_layer(head: nn.Module) -> Any | None:
    """The last linear or convolutional layer, with a row of weights for each class."""
    found = [module for module in head.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return found[-1] if found else None


__all__ = ["build", "classes", "parse", "weights_of"]
