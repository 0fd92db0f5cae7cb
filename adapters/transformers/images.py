"""Raw images to pixel values, by the model's image processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Size, Tensor, nn

from cka_plugin.adapters.modules import unwrap
from cka_plugin.adapters.pictures import DESCRIBED, picture_step
from cka_plugin.adapters.steps import Step, by_steps, prepared
from cka_plugin.adapters.transformers.forward import accepted
from cka_plugin.adapters.transformers.parts import Part, cast, digest
from cka_plugin.adapters.transformers.processors import image_processor_of, image_size, missing_library

RENAMED = (  # what processors call something, and what the vision tower by itself calls it
    ("image_grid_thw", "grid_thw"),
    ("image_position_ids", "pixel_position_ids"),
    ("image_merge_sizes", "merge_sizes"),
    ("pixel_values_images", "pixel_values"),
)
SIDE = 448  # a multiple of the patches and merged patches (14, 16, 28, 32) of models that state no image size


def image_part(model: nn.Module, processor: Any = None) -> Part | None:
    """PIL images to pixel values; None where no image processor is known.

    Images of which the processor makes arrays of different shapes, without masking what it pads, are first brought to
    one square size: else the model packs them into one sequence, in which no axis holds the examples.
    """
    from transformers.image_processing_utils import BaseImageProcessor

    given = getattr(processor, "image_processor", processor)
    made = given if isinstance(given, BaseImageProcessor) else image_processor_of(model)
    if made is None:
        return None
    takes = accepted(model)
    name, dtype = type(made).__name__, unwrap(model)[0].dtype
    mean = getattr(made, "image_mean", None)
    mode = "L" if isinstance(mean, Sequence) and len(mean) == 1 else "RGB"

    def processed(images: Sequence[Any], nested: bool) -> dict[str, Any]:
        try:
            encoded = made([[image] for image in images] if nested else list(images), return_tensors="pt")
        except ImportError as error:
            raise RuntimeError(missing_library(model, error)) from error
        return dict(encoded) if isinstance(encoded, Mapping) else {"pixel_values": encoded}

    # Idefics and its like take a list for the images of one example.
    wide, tall = _blank((160, 96), mode), _blank((96, 160), mode)
    nested = all(shape[0] == 1 for shape in _shapes(processed([wide, wide], False)).values())
    shapes = [_shapes(processed([image], nested)) for image in (wide, tall)]
    square = None
    if _packs(*shapes):
        square = image_size(unwrap(model)[0].config) or (SIDE, SIDE)

    steps = [picture_step(mode)]
    if square is not None:
        size = square[::-1]
        steps.append(Step(f"bicubic {size}", lambda image: image.resize(size)))

    def join(images: Sequence[Any]) -> dict[str, Any]:
        encoded = processed(images, nested)
        inputs = cast(_renamed(encoded, takes), dtype)
        if nested and "input_ids" not in takes:  # a vision tower by itself has no axis for the images of an example
            inputs = {key: value.flatten(0, 1) if value.shape[1] == 1 else value for key, value in inputs.items()}
        if not inputs:
            raise ValueError(f"{name} makes {', '.join(encoded)}, which the model does not take without text")
        return inputs

    alone = square is None and set(_renamed(shapes[0], takes)) == {"pixel_values"} and shapes[0] == shapes[1]
    cropped = getattr(made, "crop_size", None) if getattr(made, "do_center_crop", False) else None
    sizes = cropped or getattr(made, "size", None) or {}
    described = " ".join(f"{key} {value}" for key, value in dict(sizes).items())
    first = "" if square is None else f"first resized to {square[0]}x{square[1]}, "
    return Part(
        by_steps(steps, join),
        f"{name}, {first}{described}, mean {mean}, std {getattr(made, 'image_std', None)}; {DESCRIBED}",
        digest("image", name, made.to_json_string(), mode, square, dtype, sorted(takes)),
        lambda image: prepared(image, steps),
        "pixel_values" if alone else None,
        steps=tuple(steps),
        join=join,
        side_by_side=type(made).__module__.startswith("transformers."),
    )


def _renamed(encoded: Mapping[str, Any], takes: frozenset[str]) -> dict[str, Any]:
    """What a processor made, under the names that the model takes: vision towers have names of their own."""
    names = dict(zip(encoded, encoded, strict=True))
    if "pixel_values" not in takes and "grid_thw" in takes:
        names["pixel_values"] = "hidden_states"
    for theirs, own in RENAMED:
        if theirs in names and theirs not in takes:
            names[theirs] = own
    return {names[key]: value for key, value in encoded.items() if names[key] in takes}


def _shapes(encoded: Mapping[str, Any]) -> dict[str, Size]:
    return {key: value.shape for key, value in encoded.items() if isinstance(value, Tensor) and value.ndim}


def _packs(wide: dict[str, Size], tall: dict[str, Size]) -> bool:
    """Whether images of two shapes become rows of one sequence, or arrays that do not stack and have no mask."""
    if any(shape[0] != 1 for shape in wide.values()):
        return True
    padded = any(key.endswith("mask") for key in wide) and len(wide.get("pixel_values", ())) != 5  # 5 axes: crops
    return wide != tall and not padded


def _blank(size: tuple[int, int], mode: str) -> Any:
    from PIL import Image

    return Image.new(mode, size)


__all__ = ["image_part"]
