"""Which positions of a Hugging Face model's hidden sequences hold something: the masks that pooling averages over."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cka_plugin.adapters.base import Inputs, Layer, tower, unwrap
from cka_plugin.adapters.transformers.forward import AUDIO_KEYS, CODES, KEYS, accepted, by_name
from cka_plugin.adapters.transformers.parts import AUDIO_MASKS, POOLING_MASK

VISION_WORDS = ("vision", "visual", "image", "pixel")
TEXT_THEN_IMAGE = ("layoutlmv3", "vilt")  # types whose blocks read both kinds in one sequence
IMAGE_THEN_TEXT = ("flava", "git")
WINDOWS = ("attention_window", "block_size", "local_attn_chunk_length", "lsh_attn_chunk_length")
CODECS = ("encodec", "dac", "mimi", "mimi_encoder", "univnet", "wavtokenizer", "wavtokenizer_encoder")
CODECS += ("pocket_tts_audio_tokenizer", "pocket_tts_audio_tokenizer_encoder", "voxtral_realtime_encoder")
CODECS += ("muse_spark_audio", "musicgen", "voxtral_realtime")
CLASS_THEN_FRAMES = ("pe_audio", "pe_audio_encoder")
STEADY = (*CODECS, *CLASS_THEN_FRAMES)  # types whose layers, fed by convolutions that pad, keep a constant rate
CHANNELS_FIRST = ("squeezebert", "encodec", "dac", "univnet", "wavtokenizer", "wavtokenizer_encoder")
STRIDES = (2, 4, 8)  # of front ends that give no formula
LENGTHS = ("_get_feat_extract_output_lengths", "_get_subsampling_output_length")


def mask(model: nn.Module, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
    """Which of the `length` positions of a layer's output count, for each example.

    What a layer's positions are is read off the part of the model that holds it: the innermost module around it whose
    `forward` takes token ids, images or sounds.

    Args:
        model: the model that ran.
        layer: the layer whose output has shape (n, length, d).
        inputs: what `forward` was given.
        length: number of positions.

    Returns:
        (n, length), nonzero where a position counts; None where the positions are no sequence of varying length.
    """
    inner, _ = unwrap(model)
    given = by_name(inner, inputs)
    around = list(modules_around(model, layer.path))
    kinds = next((found for module in around if (found := _kinds(module))), frozenset())
    words = f"{tower(layer.name)}.{layer.path}".lower()
    if any(word in words for word in VISION_WORDS):
        kinds = frozenset({"image"})
    if _in_decoder(around, layer.path):
        found = _decoder_tokens(inner.config, given, length)
        if found is None and inner.config.model_type in CODES:
            return _frames(inner, around, given, length)
        return found
    if kinds == {"text"}:
        return _tokens(inner.config, given, length)
    if kinds == {"audio"}:
        return _frames(inner, around, given, length)
    if kinds == {"image"}:
        seen = given.get("pixel_attention_mask")  # of patches, in models of images of any shape
        return seen if isinstance(seen, Tensor) and seen.ndim == 2 and seen.shape[1] == length else None
    found = _tokens(inner.config, given, length)
    if found is None and "input_ids" in given:
        found = _joined(inner.config, given, length)
    return found if found is not None else _frames(inner, around, given, length)


def positions_first(model: nn.Module, layer: Layer, output: Any) -> Any:
    """What a layer returned, with positions before channels, as masks have it: (n, length, d).

    The blocks of SqueezeBERT and of codecs of audio are convolutions over positions, and give channels before them.
    """
    if layer.kind != "block" or not isinstance(output, Tensor) or output.ndim != 3:
        return output
    turned = _type_around(list(modules_around(model, layer.path))) in CHANNELS_FIRST
    return output.transpose(1, 2) if turned else output


def _type_around(around: list[nn.Module]) -> str:
    """The type of the innermost model around a layer: a codec inside a model of music is still one."""
    return next((m.config.model_type for m in around if hasattr(getattr(m, "config", None), "model_type")), "")


def modules_around(model: nn.Module, path: str) -> Iterator[nn.Module]:
    """The module at `path` and those that hold it, from the inside out."""
    parts = path.split(".") if path else []
    for end in range(len(parts), -1, -1):
        yield model.get_submodule(".".join(parts[:end]))


def _kinds(module: nn.Module) -> frozenset[str]:
    takes = accepted(module)
    return frozenset(kind for kind, keys in KEYS.items() if any(key in takes for key in keys))


def _in_decoder(around: list[nn.Module], path: str) -> bool:
    """Whether the layer lies in the decoder of an encoder-decoder."""
    parts = path.split(".")
    for depth, module in enumerate(reversed(around)):
        config = getattr(module, "config", None)
        if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in accepted(module):
            return any("decoder" in part for part in parts[depth:])
    return False


def _tokens(config: Any, given: Mapping[str, Any], length: int) -> Tensor | None:
    """The mask of token ids, ones where there is none, as long as the layer is."""
    ids, embedded = given.get("input_ids"), given.get("inputs_embeds")
    if ids is None and embedded is None:
        return None
    shape = embedded.shape[:-1] if ids is None else ids.shape
    seen = given.get("attention_mask", given.get(POOLING_MASK))
    if seen is None or seen.shape != shape:
        seen = torch.ones(shape, dtype=torch.long, device=(embedded if ids is None else ids).device)
    return _fitted(config, seen.flatten(0, -2), length)  # of several texts an example, one after the other


def _fitted(config: Any, seen: Tensor, length: int) -> Tensor | None:
    """(n, tokens) as (n, length), for types that lengthen or shorten what they were given; None where none says so."""
    tokens = seen.shape[1]
    if tokens == length:
        return seen
    windows = [getattr(config, name, None) for name in WINDOWS]
    window = math.lcm(*(max(w) if isinstance(w, list | tuple) else w for w in windows if w))
    if length == -(-tokens // window) * window:  # filled up on the right to whole windows of attention
        return F.pad(seen, (0, length - tokens))
    if length == tokens * (1 + (getattr(config, "ngram", None) or 0)):  # ProphetNet's streams, one after the other
        return seen.repeat(1, length // tokens)
    prompt = getattr(config, "prompt_length", None) or 0
    if length == tokens + prompt:  # CPM-Ant's prompt comes first
        return F.pad(seen, (prompt, 0), value=1)
    if config.model_type == "funnel" and length < tokens:
        return _funnelled(config, seen, length)
    rate = getattr(config, "downsampling_rate", None)
    if rate and length == tokens // rate:  # CANINE's molecules of characters
        return F.max_pool1d(seen.float()[:, None], rate)[:, 0]
    return None


def _funnelled(config: Any, seen: Tensor, length: int) -> Tensor | None:
    """The mask as Funnel pools it from stage to stage: pairs of which both count, the class token by itself."""
    while seen.shape[1] > length:
        if config.separate_cls:
            seen = torch.cat([seen[:, :1], seen[:, :-1] if config.truncate_seq else seen], dim=1)
        seen = -F.max_pool1d(-seen.float()[:, None], 2, ceil_mode=True)[:, 0]
    return seen if seen.shape[1] == length else None


def _joined(config: Any, given: Mapping[str, Any], length: int) -> Tensor | None:
    """The mask of tokens and patches in one sequence."""
    seen = _tokens(config, given, given["input_ids"].shape[1])
    if seen is None or length <= seen.shape[1]:
        return None
    patches = seen.new_ones(len(seen), length - seen.shape[1])
    pixels = given.get("pixel_mask")
    if pixels is not None:  # the class token, the patches with pixels of the image, and what fills them up
        grid = [side // config.patch_size for side in pixels.shape[-2:]]
        filled = F.interpolate(pixels[:, None].float(), size=grid).sum((1, 2, 3))
        patches = (torch.arange(patches.shape[1], device=seen.device) < filled[:, None] + 1).to(seen.dtype)
    if config.model_type in TEXT_THEN_IMAGE:
        return torch.cat([seen, patches], dim=1)
    return torch.cat([patches, seen], dim=1) if config.model_type in IMAGE_THEN_TEXT else None


def _decoder_tokens(config: Any, given: Mapping[str, Any], length: int) -> Tensor | None:
    """The mask of what the decoder was given, or of the encoder's tokens where they are the decoder's too."""
    ids = given.get("decoder_input_ids")
    if ids is not None:
        return _tokens(config, {"input_ids": ids, "attention_mask": given.get("decoder_attention_mask")}, length)
    found = _tokens(config, given, length)
    if found is None and length == 1:  # the start token alone, behind images or audio
        some = next(value for value in given.values() if isinstance(value, Tensor))
        return torch.ones(len(some), 1, dtype=torch.long, device=some.device)
    return found


def _frames(model: nn.Module, around: list[nn.Module], given: Mapping[str, Any], length: int) -> Tensor | None:
    """The mask of samples or frames at the layer's rate, by the model's own formulas for what its front end leaves."""
    seen = next((given[key] for key in (*AUDIO_MASKS, POOLING_MASK) if isinstance(given.get(key), Tensor)), None)
    sound = next((given[key] for key in AUDIO_KEYS if key in given), None)
    if seen is None and sound is not None:  # nothing is padded; which axis is time differs between types
        for total in map(torch.tensor, sound.shape[1:]):
            if any(int(left) == length for left in _left_of(model, around, total[None])):
                return torch.ones(len(sound), length, dtype=torch.long, device=sound.device)
    if seen is None or seen.ndim != 2:
        return None
    totals = _left_of(model, around, torch.tensor([seen.shape[1]]))
    for total, counts in zip(totals, _left_of(model, around, seen.long().sum(1)), strict=True):
        if int(total) == length:
            return (torch.arange(length, device=seen.device) < counts[:, None]).long()
    kinds = {_type_around(around), model.config.model_type}
    if kinds & set(STEADY):  # the share of the samples that is sound
        first = 1 if kinds & set(CLASS_THEN_FRAMES) else 0
        counts = (seen.long().sum(1) * (length - first) / seen.shape[1]).ceil() + first
        return (torch.arange(length, device=seen.device) < counts[:, None]).long()
    return None


def _left_of(model: nn.Module, around: list[nn.Module], counts: Tensor) -> list[Tensor]:
    """How many positions there are of (k,) samples or frames, at each of the rates of the model."""
    rates = [counts]
    named = [(module, name) for module in around for name in LENGTHS if hasattr(module, name)]
    if not named:  # the front end stands beside the layers
        named = [(module, name) for module in model.modules() for name in LENGTHS if hasattr(module, name)]
    for module, name in named:
        formula = getattr(module, name)
        adapters = ({"add_adapter": False}, {}) if "add_adapter" in inspect.signature(formula).parameters else ({},)
        for kwargs in adapters:
            left = _applied(formula, counts, kwargs)
            rates += list(left) if isinstance(left, tuple) else [left]
    squeeze = getattr(model.config, "squeeze_factor", None)
    rates += [left // squeeze for left in rates] if squeeze else []
    return rates + [-(-counts // stride) for stride in STRIDES]


def _applied(formula: Any, counts: Tensor, kwargs: Mapping[str, Any]) -> Any:
    try:
        return formula(counts, **kwargs)
    except (TypeError, ValueError, RuntimeError):  # some formulas (Moonshine) are written for plain numbers
        return torch.tensor([int(formula(int(count), **kwargs)) for count in counts], device=counts.device)
