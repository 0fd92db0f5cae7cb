"""How raw images become the inputs of a torchvision model: the transform that its weights come with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Inputs, Preparation, Step, by_steps
from cka_plugin.adapters.pictures import DESCRIBED, input_dtype, picture_step
from cka_plugin.adapters.steps import configured
from cka_plugin.adapters.torchvision.weights import weights_of


def preparation_of(model: nn.Module) -> Preparation | None:
    """The transform of the weights it has, or that its architecture comes with.

    None for videos, for other than three channels, and for an architecture of one's own. A model built for another
    image size gets that. Detectors take each image in its own size; for segmentation the middle of each is cut out.
    """
    first = next((m for m in model.modules() if isinstance(m, nn.modules.conv._ConvNd)), None)
    weights = weights_of(model)
    if weights is None or not isinstance(first, nn.Conv2d) or first.in_channels != 3:
        return None
    preset = weights.transforms()
    kind = type(preset).__name__
    dtype = input_dtype(model)
    if kind == "ImageClassification":
        return _classification(preset, dtype, getattr(model, "image_size", None), str(weights))
    if kind == "SemanticSegmentation":
        return _segmentation(preset, dtype, str(weights))
    return _detection(preset, dtype, str(weights)) if kind == "ObjectDetection" else None


def _classification(preset: Any, dtype: torch.dtype, size: int | None, source: str) -> Preparation:
    preset = copy.deepcopy(preset)
    if size is not None and size != preset.crop_size[0]:
        preset.resize_size = [round(preset.resize_size[0] * size / preset.crop_size[0])]
        preset.crop_size = [size]
    described = f"resize {preset.resize_size[0]}, crop {preset.crop_size[0]}, {_statistics(preset)}, as {source}"
    return _stacked(Step(configured(preset), preset), dtype, "torchvision " + repr(preset), described)


def _segmentation(preset: Any, dtype: torch.dtype, source: str) -> Preparation:
    from torchvision.transforms.functional import center_crop

    size = preset.resize_size[0]

    def each(image: Any) -> Tensor:
        return center_crop(preset(image), [size, size])

    described = f"resize {size}, crop {size}, {_statistics(preset)}, as {source}"
    key = f"torchvision segmentation {preset!r} {size} {preset.mean} {preset.std}"
    return _stacked(Step(key, each), dtype, key, described)


def _stacked(step: Step, dtype: torch.dtype, key: str, described: str) -> Preparation:
    def join(images: Sequence[Any]) -> Inputs:
        return torch.stack(list(images)).to(dtype)

    return _by_image(step, join, f"{key} {dtype}", f"{described}; {DESCRIBED}")


def _by_image(
    step: Step, join: Callable[[Sequence[Any]], Inputs], key: str, described: str, named: bool = False
) -> Preparation:
    steps = (picture_step(), step)
    return Preparation(
        ("image",),
        key,
        by_steps(steps, join),
        described,
        named=named,
        steps=steps,
        join=join,
        side_by_side=True,
    )


def _detection(preset: Any, dtype: torch.dtype, source: str) -> Preparation:
    """A detector brings its images to one size itself."""

    def join(images: Sequence[Any]) -> Inputs:
        return {"images": [image.to(dtype) for image in images]}

    described = f"values in [0, 1], as {source}; {DESCRIBED}"
    return _by_image(Step(configured(preset), preset), join, f"torchvision detection {dtype}", described, named=True)


def _statistics(preset: Any) -> str:
    mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (preset.mean, preset.std))
    return f"mean ({mean}), std ({std})"


__all__ = ["preparation_of"]
