"""What a Hugging Face model takes, and how raw examples become it.

Which kinds of input a type takes is read off the signature of its `forward`; tokenizer, image processor and feature
extractor come from where the model came from, and make of each kind what the model takes (`texts`, `images`, `sounds`).
Running the model and masking its sequences are `forward` and `masks`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from cka_plugin.adapters.base import Inputs, Preparation, unwrap
from cka_plugin.adapters.transformers.forward import (
    AUDIO_KEYS,
    EITHER,
    IMAGE_KEYS,
    KEYS,
    TEXT_KEYS,
    accepted,
    forward,
    logits,
)
from cka_plugin.adapters.transformers.images import image_part
from cka_plugin.adapters.transformers.masks import mask
from cka_plugin.adapters.transformers.parts import Part, digest
from cka_plugin.adapters.transformers.processors import processor_of
from cka_plugin.adapters.transformers.sounds import audio_part
from cka_plugin.adapters.transformers.texts import text_part
from cka_plugin.adapters.transformers.tokenizers import ready_tokenizer

BESIDE = {  # what types need besides images, texts and audio, though `forward` does not require it by its signature
    "bros": "bbox, the boxes of the words",
    "layoutlmv2": "bbox, the boxes of the words",
    "udop": "bbox, the boxes of the words",
    "lxmert": "visual_feats and visual_pos, detected regions",
    "efficientloftr": "pairs of images",
    "lightglue": "pairs of images",
    "superglue": "pairs of images",
    "kyutai_speech_to_text": "codes of audio beside the text",
    "SpeechT5Model": "what its prenets make of texts or sounds (SpeechT5ForSpeechToText takes sounds)",
}
WORDLESS = ("voxtral_realtime",)  # whose processors make the tokens of the sounds: no text is given beside them
FLAT = ("GotOcr2Processor",)  # which takes a list of images for the pages of one text
PLACING = ("Florence2Processor",)  # which put the image's tokens before the text themselves
FROM_PROCESSORS = ("grid", "mask", "sizes", "shapes", "position_ids", "qformer")
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def input_kinds(model: nn.Module) -> tuple[str, ...]:
    """The kinds of raw example a Hugging Face model takes, from its class and configuration alone.

    Args:
        model: any transformers model, on any device (`meta` too).

    Returns:
        Some of `image`, `audio` and `text`, in this order; `("video",)` for models of videos alone; `("tensor",)` for
        those that need something else (time series, states, latents, boxes).

    Example:
        >>> import torch
        >>> from transformers import ViTConfig, ViTModel
        >>> with torch.device("meta"):
        ...     input_kinds(ViTModel(ViTConfig()))
        ('image',)
    """
    inner, _ = unwrap(model)
    config = inner.config
    takes = accepted(inner)
    if needed(inner):
        return ("tensor",)
    stated = inner.input_modalities
    modalities = {stated} if isinstance(stated, str) else set(stated)
    kinds: list[str] = []
    if any(key in takes for key in IMAGE_KEYS) and _has_part(config, "vision_config"):
        frames = getattr(getattr(config, "vision_config", None) or config, "num_frames", None)
        if frames is not None or ("video" in modalities and "image" not in modalities):
            return ("video",)
        kinds.append("image")
    elif "pixel_values_videos" in takes and "pixel_values" not in takes:
        return ("video",)
    if any(key in takes for key in AUDIO_KEYS) and _has_part(config, "audio_config"):
        kinds.append("audio")
    if any(key in takes for key in TEXT_KEYS) and config.model_type not in WORDLESS:
        only_image = modalities == {"image"} and not kinds  # ImageGPT's ids are colours
        kinds.append("image" if only_image else "text")
    return tuple(kinds) or ("tensor",)


def preparation(model: nn.Module, processor: Any = None, max_length: int | None = None) -> Preparation:
    """How raw examples become the inputs of a Hugging Face model.

    Args:
        model: a transformers model, wrapped or not.
        processor: a tokenizer, image processor, feature extractor or processor to use instead of the model's own; it is
            not changed.
        max_length: where texts are cut, in tokens; as late as tokenizer and model allow by default.

    Returns:
        A preparation of the kinds that can be prepared: for CLIP without a tokenizer that is `("image",)`. For several
        kinds, raw examples are tuples in the order of `kinds`; a list of one kind alone drives its tower alone.

    Raises:
        ValueError: the model takes no images, texts or audio, or its tokenizer or processor is not to be had.
        RuntimeError: a library that the processor needs is not installed.
    """
    inner, _ = unwrap(model)
    name = type(inner).__name__
    kinds = input_kinds(inner)
    if kinds in (("video",), ("tensor",)):
        needs = "videos" if kinds == ("video",) else needed(inner) or "no images, texts or audio"
        names = ", ".join(sorted(accepted(inner))) or "it has none: compare one of its parts"
        raise ValueError(
            f"{name} takes {needs}: that cannot be prepared from raw examples; give tensors in a mapping with its own "
            f"argument names ({names})"
        )
    try:
        made = {kind: _part(kind, model, processor, max_length) for kind in kinds}
    except AssertionError as error:  # a model of timm inside that has no configuration of its data
        raise ValueError(f"{name} does not say how its examples are prepared ({error}); give tensors") from error
    parts = {kind: part for kind, part in made.items() if part is not None}
    if not parts:
        source = "tokenizer" if kinds == ("text",) else "processor"
        raise ValueError(
            f"{name} takes {' and '.join(kinds)}, but no {source} was found beside it: load the model by name or from "
            "a folder that holds one, give one with transforms=, or give tensors"
        )
    found = tuple(parts)
    key = "|".join(part.identity for part in parts.values())
    description = "; ".join(part.description for part in parts.values())
    if len(found) > 1:
        joint = _side_by_side(parts)
        if inner.config.model_type in EITHER:
            joint = _one_kind_only(name, found)
        elif has_placeholders(inner):
            if max_length is not None:
                raise ValueError(f"max_length {max_length}: {name} has images or sounds among its tokens, never cut")
            joint = _by_processor(model, processor, parts)
        key += "|" + digest("joint", name, has_placeholders(inner))
        collate = _tuples_or_one(name, parts, joint)
    else:
        only = parts[found[0]]
        collate = _bare(only.collate, only.bare) if only.bare else only.collate

    def remarks() -> list[str]:
        return [remark for part in parts.values() for remark in part.remarks()]

    alone = parts[found[0]] if len(found) == 1 else None
    join = None if alone is None or alone.join is None else _bare(alone.join, alone.bare) if alone.bare else alone.join
    return Preparation(
        kinds=found,
        key=key,
        collate=collate,
        description=description,
        named=alone is None or alone.bare is None,
        steps=() if alone is None else alone.steps,
        join=join,
        side_by_side=alone is not None and alone.side_by_side,
        limited=(lambda longest: preparation(model, processor, longest)) if "text" in parts else None,
        remarks=remarks,
    )


def _part(kind: str, model: nn.Module, processor: Any, max_length: int | None) -> Part | None:
    if kind == "text":
        return text_part(model, processor, max_length)
    return image_part(model, processor) if kind == "image" else audio_part(model, processor)


def has_placeholders(model: nn.Module) -> bool:
    """Whether images or sounds stand among the model's tokens, in places that its processor must make room for."""
    stated = (vars(model.config).get(f"{kind}_token_{what}") for kind in ("image", "audio") for what in ("id", "index"))
    return (
        hasattr(model, "get_placeholder_mask")
        or any(isinstance(value, int) for value in stated)
        or "image_embeds_position_mask" in accepted(model)
        or model.config.model_type == "idefics"
    )


def needed(model: nn.Module) -> str:
    """What the model needs that no raw image, text or sound becomes; empty where there is no such thing."""
    told = BESIDE.get(type(model).__name__) or BESIDE.get(model.config.model_type)
    if told:
        return told
    raw = {key for keys in KEYS.values() for key in keys}
    parameters = inspect.signature(type(model).forward).parameters
    required = [n for n, p in parameters.items() if p.default is p.empty and n != "self" and p.kind not in _REST]
    if not raw & set(parameters):
        return ""
    made = [n for n in required if n in raw or any(part in n for part in FROM_PROCESSORS) or _packed(n, parameters)]
    return ", ".join(n for n in required if n not in made)


def _has_part(config: Any, name: str) -> bool:
    """False where the configuration states that the model has no such part, as those of Gemma 4 may."""
    return vars(config).get(name, True) is not None


def _packed(name: str, parameters: Mapping[str, Any]) -> bool:
    return name == "hidden_states" and "grid_thw" in parameters  # Qwen's name for the patches of all images


Collate = Callable[[Sequence[Any]], Inputs]


def _bare(collate: Callable[[Sequence[Any]], dict[str, Any]], name: str) -> Collate:
    return lambda examples: collate(examples)[name]


def _tuples_or_one(name: str, parts: dict[str, Part], joint: Collate) -> Collate:
    """Tuples in the order of the parts, or examples of one kind alone."""

    def collate(examples: Sequence[Any]) -> Inputs:
        if all(isinstance(e, tuple | list) for e in examples):
            wrong = next((e for e in examples if len(e) != len(parts)), None)
            if wrong is not None:
                raise ValueError(f"{name} takes tuples of ({', '.join(parts)}); given one of {len(wrong)}")
            return joint(examples)
        kind = _kind(examples[0])
        if kind not in parts:
            raise TypeError(f"{name} takes {' and '.join(parts)} examples; given {type(examples[0]).__name__}")
        return parts[kind].collate(examples)

    return collate


def _kind(example: Any) -> str:
    if isinstance(example, str):
        return "text"
    return "audio" if isinstance(example, np.ndarray) and example.ndim == 1 else "image"


def _one_kind_only(name: str, kinds: tuple[str, ...]) -> Collate:
    def collate(examples: Sequence[Any]) -> Inputs:
        raise ValueError(f"{name} takes {' or '.join(kinds)}, not both at once: give examples of one kind")

    return collate


def _side_by_side(parts: dict[str, Part]) -> Collate:
    """Each kind by itself, all arguments together."""

    def collate(examples: Sequence[Any]) -> Inputs:
        inputs: dict[str, Any] = {}
        for part, column in zip(parts.values(), zip(*examples, strict=True), strict=True):
            inputs |= part.collate(column)
        return inputs

    return collate


def _by_processor(model: nn.Module, processor: Any, parts: dict[str, Part]) -> Collate:
    """The model's own processor puts images and sounds among the tokens, by its chat template where it has one."""
    from transformers import ProcessorMixin

    name = type(unwrap(model)[0]).__name__
    own = processor if isinstance(processor, ProcessorMixin) else processor_of(model)
    if own is not None:
        own = copy.deepcopy(own)
        own.tokenizer = ready_tokenizer(own.tokenizer, model)
    takes = accepted(model)

    def collate(examples: Sequence[Any]) -> Inputs:
        if own is None:
            raise ValueError(
                f"{name} puts {' and '.join(k for k in parts if k != 'text')} among its tokens, for which it needs its "
                "processor: load the model by name or from a folder that holds one, give one with transforms=, or give "
                "examples of one kind"
            )
        rows = [{k: part.one(e) for (k, part), e in zip(parts.items(), example, strict=True)} for example in examples]
        given: dict[str, Any] = {"text": [_prompt(own, row) for row in rows], "padding": True, "return_tensors": "pt"}
        if own.tokenizer.bos_token and given["text"][0].startswith(own.tokenizer.bos_token):
            given["add_special_tokens"] = False
        if "image" in parts:
            flat = type(own).__name__ in FLAT  # elsewhere one list of images for each text
            given["images"] = [row["image"] if flat else [row["image"]] for row in rows]
        if "audio" in parts:
            given |= {"audio": [row["audio"] for row in rows], "sampling_rate": own.feature_extractor.sampling_rate}
        encoded = own(**given)
        return {key: value for key, value in encoded.items() if key in takes}

    return collate


def _prompt(processor: Any, row: dict[str, Any]) -> str:
    """A text with the places of its image and sound, unless it states them: by the chat template, else in front."""
    text = row["text"]
    if type(processor).__name__ in PLACING:
        return text
    tokens = {kind: getattr(processor, f"{kind}_token", None) for kind in row if kind != "text"}
    if any(isinstance(token, str) and token in text for token in tokens.values()):
        return text
    if getattr(processor, "chat_template", None):
        content = [{"type": kind} for kind in tokens] + [{"type": "text", "text": text}]
        return processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    return "".join(f"{token}\n" for token in tokens.values() if isinstance(token, str)) + text


__all__ = ["accepted", "forward", "has_placeholders", "input_kinds", "logits", "mask", "preparation"]
