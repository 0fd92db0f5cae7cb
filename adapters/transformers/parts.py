"""Raw texts, images and sounds to the keyword arguments of a Hugging Face model, one kind at a time."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import unwrap
from cka_plugin.adapters.transformers.forward import AUDIO_KEYS, EITHER, accepted
from cka_plugin.adapters.transformers.processors import (
    feature_extractor_of,
    image_processor_of,
    image_size,
    longest_text,
    missing_library,
    ready_tokenizer,
    stated,
    tokenizer_of,
)

# Types whose texts are all filled up to one length: they were trained so, or spread their positions over the length.
FILLED = ("siglip", "siglip_text_model", "siglip2", "siglip2_text_model", "sam3_lite_text", "sam3_lite_text_text_model")
WHOLE_TOKENS = ("nemo_speechlm", "nemotron3_5_transcribe_audio")  # take spectrograms of whole tokens, no part of one
PREFIXED = ("paligemma",)  # texts are prompts, whose tokens see one another; without this only padded ones are causal
POOLING_MASK = "pooling_mask"  # a mask for the pooling that the model itself is not to see
AUDIO_MASKS = ("input_features_mask", "feature_attention_mask", "input_values_mask", "padding_mask", "attention_mask")
RENAMED = (  # what processors call something, and what the vision tower by itself calls it
    ("image_grid_thw", "grid_thw"),
    ("image_position_ids", "pixel_position_ids"),
    ("image_merge_sizes", "merge_sizes"),
    ("pixel_values_images", "pixel_values"),
)
SIDE = 448  # a multiple of the patches and merged patches (14, 16, 28, 32) of models that state no image size


@dataclass(frozen=True)
class Part:
    """One kind of raw example and how a list of them becomes keyword arguments.

    Attributes:
        collate: a list of raw examples to keyword arguments.
        description: one line for people.
        identity: equal for two parts that make the same arguments of the same examples.
        one: a raw example, checked, as the processor takes it.
        each: one raw example to one tensor, where `collate` is the stack of them under one name.
    """

    collate: Callable[[Sequence[Any]], dict[str, Any]]
    description: str
    identity: str
    one: Callable[[Any], Any]
    each: Callable[[Any], Tensor] | None = None


def text_part(model: nn.Module, processor: Any = None) -> Part | None:
    """Strings to token ids and their mask; None where there is no tokenizer."""
    from transformers import PreTrainedTokenizerBase

    given = getattr(processor, "tokenizer", processor)
    found = given if isinstance(given, PreTrainedTokenizerBase) else tokenizer_of(model)
    if found is None:
        return None
    tokenizer = ready_tokenizer(found, model)
    longest = longest_text(tokenizer, model)
    takes = accepted(model)
    name = type(tokenizer).__name__
    filled = longest is not None and unwrap(model)[0].config.model_type in FILLED
    kept = sorted(takes & {*tokenizer.model_input_names, "attention_mask"})
    if filled and "attention_mask" not in tokenizer.model_input_names:
        kept.remove("attention_mask")  # SigLIP's texts end in padding that the model reads

    prefix = unwrap(model)[0].config.model_type in PREFIXED and "token_type_ids" in takes

    def one(text: Any) -> str:
        if not isinstance(text, str):
            raise TypeError(f"{name} takes strings; given {type(text).__name__}")
        return text

    def collate(texts: Sequence[Any]) -> dict[str, Any]:
        encoded = tokenizer(
            [one(text) for text in texts],
            padding="max_length" if filled else True,
            truncation=longest is not None,
            max_length=longest,
            return_tensors="pt",
            return_attention_mask=True,
        )
        inputs = {key: value for key, value in encoded.items() if key in kept}
        if "attention_mask" not in inputs:
            inputs[POOLING_MASK] = encoded["attention_mask"]
        if prefix:
            inputs["token_type_ids"] = torch.zeros_like(encoded["input_ids"])
        return inputs

    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    side, pad = tokenizer.padding_side, tokenizer.pad_token
    limit = "any length" if longest is None else f"{'all' if filled else 'at most'} {longest} tokens"
    return Part(
        collate,
        f"{name}, {limit}, padded on the {side} with {pad!r}",
        digest("text", name, content, longest, filled, pad, side, kept),
        one,
    )


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

    def one(image: Any) -> Any:
        image = as_image(image, mode)
        return image if square is None else image.resize(square[::-1])

    def collate(images: Sequence[Any]) -> dict[str, Any]:
        encoded = processed([one(image) for image in images], nested)
        inputs = _cast(_renamed(encoded, takes), dtype)
        if nested and "input_ids" not in takes:  # a vision tower by itself has no axis for the images of an example
            inputs = {key: value.flatten(0, 1) if value.shape[1] == 1 else value for key, value in inputs.items()}
        if not inputs:
            raise ValueError(f"{name} makes {', '.join(encoded)}, which the model does not take without text")
        return inputs

    def each(image: Any) -> Tensor:
        return collate([image])["pixel_values"][0]

    alone = square is None and set(_renamed(shapes[0], takes)) == {"pixel_values"} and shapes[0] == shapes[1]
    cropped = getattr(made, "crop_size", None) if getattr(made, "do_center_crop", False) else None
    size = cropped or getattr(made, "size", None) or {}
    described = " ".join(f"{key} {value}" for key, value in dict(size).items())
    first = "" if square is None else f"first resized to {square[0]}x{square[1]}, "
    return Part(
        collate,
        f"{name}, {first}{described}, mean {mean}, std {getattr(made, 'image_std', None)}",
        digest("image", name, made.to_json_string(), mode, square, dtype, sorted(takes)),
        one,
        each if alone else None,
    )


def audio_part(model: nn.Module, processor: Any = None) -> Part | None:
    """1-d float arrays of samples to waveforms or spectrograms; None where no feature extractor is known."""
    from transformers import SequenceFeatureExtractor

    given = getattr(processor, "feature_extractor", processor)
    made: Any = given if isinstance(given, SequenceFeatureExtractor) else feature_extractor_of(model)
    takes = accepted(model)
    if made is None or not takes & set(made.model_input_names) & set(AUDIO_KEYS):
        return None
    name, dtype = type(made).__name__, unwrap(model)[0].dtype
    options = inspect.signature(made.__call__).parameters
    call: dict[str, Any] = {"return_tensors": "pt", "sampling_rate": made.sampling_rate}
    if "padding" in options and options["padding"].default in (None, False) and not hasattr(made, "padding"):
        call["padding"] = True
    if "return_attention_mask" in options:
        call["return_attention_mask"] = True
    config = unwrap(model)[0].config
    per_token = stated(config, "audio_length_per_tok")
    if per_token and "pad_to_multiple_of" in options:  # Voxtral Realtime: whole tokens of sound, the last in silence
        call["pad_to_multiple_of"] = per_token * made.hop_length
    whole = stated(config, "subsampling_factor") if config.model_type in WHOLE_TOKENS else 1
    longest = None
    if hasattr(made, "nb_max_samples"):  # CLAP crops longer sounds at random: cut them, the same way every time
        longest = made.nb_max_samples
        if not getattr(config, "enable_fusion", False):
            call["truncation"] = "rand_trunc"
    # wav2vec2 and others were trained without mask where their extractor says so: then only the pooling sees it.
    masked = bool(getattr(made, "return_attention_mask", True))

    def one(sound: Any) -> np.ndarray:
        return as_samples(sound, made.sampling_rate)[:longest]

    def collate(sounds: Sequence[Any]) -> dict[str, Any]:
        if "generator" in options:  # UnivNet's noise: the same for the same examples
            call["generator"] = np.random.default_rng(0)
        encoded = dict(made([one(sound) for sound in sounds], **call))
        seen = next((encoded.pop(key) for key in AUDIO_MASKS if key in encoded), None)
        inputs = {key: value for key, value in encoded.items() if key in takes}
        if whole > 1:
            inputs["input_features"], seen = _whole(inputs["input_features"], whole), _whole(seen, whole)
        if seen is not None:
            own = next((key for key in AUDIO_MASKS if key in takes), None)
            seen = torch.as_tensor(seen)
            framed = any(seen.shape[-1] in value.shape[1:] for value in inputs.values() if isinstance(value, Tensor))
            of_text = "input_ids" in takes and config.model_type not in EITHER
            if own == "attention_mask" and (of_text or not masked or not framed):
                own = None  # it is the text's, or the model was trained without it, or it counts something else
            inputs[own or POOLING_MASK] = seen
        return _cast(inputs, dtype)

    return Part(
        collate,
        f"{name}, {made.sampling_rate} Hz",
        digest("audio", name, made.to_json_string(), dtype, sorted(takes), sorted(call.items()), whole),
        one,
    )


def as_image(image: Any, mode: str = "RGB") -> Any:
    """A PIL image of the given mode: colour images as they are, every other mode converted.

    Example:
        >>> from PIL import Image
        >>> as_image(Image.new("LA", (4, 4))).mode
        'RGB'
    """
    from PIL import Image

    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise TypeError(f"an image must be a PIL image or a uint8 array; given {type(image).__name__}")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow would clip 16 bits at 255
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == mode else image.convert(mode)


def as_samples(sound: Any, sampling_rate: int) -> np.ndarray:
    """A sound as a 1-d float array; a mapping of `array` and `sampling_rate` (datasets) must state the right rate.

    Example:
        >>> as_samples({"array": np.zeros(4), "sampling_rate": 8000}, 16000)
        Traceback (most recent call last):
        ValueError: a sound of 8000 Hz: this model takes 16000 Hz; resample it first
    """
    if isinstance(sound, Mapping):
        stated = sound.get("sampling_rate", sampling_rate)
        if stated != sampling_rate:
            raise ValueError(f"a sound of {stated} Hz: this model takes {sampling_rate} Hz; resample it first")
        sound = sound["array"]
    samples = np.asarray(sound)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"a sound must be a 1-d float array of samples; given {samples.dtype} of shape {samples.shape}")
    return samples


def digest(*what: Any) -> str:
    """A short key of what its arguments are."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:24]


def _renamed(encoded: Mapping[str, Any], takes: frozenset[str]) -> dict[str, Any]:
    """What a processor made, under the names that the model takes: vision towers have names of their own."""
    names = dict(zip(encoded, encoded, strict=True))
    if "pixel_values" not in takes and "grid_thw" in takes:
        names["pixel_values"] = "hidden_states"
    for theirs, own in RENAMED:
        if theirs in names and theirs not in takes:
            names[theirs] = own
    return {names[key]: value for key, value in encoded.items() if names[key] in takes}


def _whole(frames: Tensor, size: int) -> Tensor:
    """(n, frames, ...) filled up at the end with zeros to a multiple of `size` frames, as processors do."""
    missing = -frames.shape[1] % size
    return torch.cat([frames, frames.new_zeros(len(frames), missing, *frames.shape[2:])], dim=1)


def _cast(inputs: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Pixels and samples in the precision of the model, as its own pipelines give them."""
    return {k: v.to(dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in inputs.items()}


def _shapes(encoded: Mapping[str, Any]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in encoded.items() if isinstance(value, Tensor) and value.ndim}


def _packs(wide: dict[str, torch.Size], tall: dict[str, torch.Size]) -> bool:
    """Whether images of two shapes become rows of one sequence, or arrays that do not stack and have no mask."""
    if any(shape[0] != 1 for shape in wide.values()):
        return True
    padded = any(key.endswith("mask") for key in wide) and len(wide.get("pixel_values", ())) != 5  # 5 axes: crops
    return wide != tall and not padded


def _blank(size: tuple[int, int], mode: str) -> Any:
    from PIL import Image

    return Image.new(mode, size)
