"""Running a Hugging Face model on inputs of any kind: one tower or several, with or without a decoder."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Inputs, unwrap

DECODED = ("decoder_input_ids", "decoder_inputs_embeds")
LABELS = ("labels", "label", "label_ids", "start_positions", "end_positions", "next_sentence_label", "return_loss")
CODES = ("dia", "musicgen", "musicgen_melody")  # their decoders read codes of audio, which they make of sounds
CANVAS = ("diffusion_gemma",)  # their decoders refine what stands on a canvas, random tokens unless they are told
EITHER = ("seamless_m4t", "seamless_m4t_v2")  # one encoder runs, that of texts or that of sounds
TOWERS = {"text": "get_text_features", "image": "get_image_features", "audio": "get_audio_features"}
IMAGE_KEYS = ("pixel_values", "image_pixel_values", "flattened_patches", "image", "grid_thw")
AUDIO_KEYS = ("input_features", "input_values", "audio_input_features")
TEXT_KEYS = ("input_ids",)
KEYS = {"text": TEXT_KEYS, "image": IMAGE_KEYS, "audio": AUDIO_KEYS}


def accepted(model: nn.Module) -> frozenset[str]:
    """The names of the keyword arguments that the model's `forward` states."""
    return _stated(type(unwrap(model)[0]))


@functools.cache
def _stated(model_class: type[nn.Module]) -> frozenset[str]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(model_class.forward).parameters.values()
    return frozenset(p.name for p in parameters if p.kind in named and p.name != "self")


def forward(model: nn.Module, inputs: Inputs) -> Any:
    """Run the model on its inputs; labels never reach it, and nothing is cached.

    Args:
        model: a transformers model, wrapped or not.
        inputs: a mapping of keyword arguments, of which those that the model does not know are left out; a bare tensor
            goes by its type to the text, image or audio argument.

    Returns:
        What the model returns. A model of several towers that is given inputs of one runs that tower. The decoder of
        an encoder-decoder, where nothing is given for it, gets the encoder's token ids, shifted as in training (of a
        model of diffusion, as they are); behind images or audio it gets its start token.

    Raises:
        TypeError: no input is one that the model knows.
        ValueError: the model takes several kinds of input, was given some, and does not run on those alone.
    """
    inner, _ = unwrap(model)
    takes = accepted(inner)
    given = by_name(inner, inputs)
    known = {key: value for key, value in given.items() if key in takes and key not in LABELS}
    if not known:
        raise TypeError(f"{type(inner).__name__} takes {', '.join(sorted(takes))}; given only {', '.join(given)}")
    tower = _only_tower(inner, known)
    if tower is not None:
        return tower(**{key: value for key, value in known.items() if key in inspect.signature(tower).parameters})
    known |= _decoder_inputs(inner, known, takes)
    if "use_cache" in takes:
        known["use_cache"] = False
    with _padding_known(inner, known):
        given_kinds = {kind for kind, keys in KEYS.items() if any(key in known for key in keys)}
        all_kinds = [kind for kind, keys in KEYS.items() if any(key in takes for key in keys)]
        try:
            return model(**known)
        except (AttributeError, TypeError, ValueError) as error:
            if not given_kinds or given_kinds >= set(all_kinds):
                raise
            raise ValueError(
                f"{type(inner).__name__} does not run on {' and '.join(sorted(given_kinds))} alone "
                f"({type(error).__name__}: {error}): give its examples as tuples of every kind that it takes"
            ) from error


def logits(model: nn.Module, output: Any) -> Tensor | None:
    """The class scores (n, classes) of a model that classifies whole examples; None for every other head.

    Language models, token classifiers, question answering, regression and multi-label heads give None. A model that is
    not of transformers itself counts as a classifier where its logits are as many as its configuration has labels.
    """
    inner, _ = unwrap(model)
    name, config = type(inner).__name__, inner.config
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if found is None and isinstance(output, tuple) and output:
        found = output[0]
    if not isinstance(found, Tensor) or found.ndim != 2 or not found.is_floating_point() or found.shape[1] < 2:
        return None
    if getattr(config, "problem_type", None) in ("regression", "multi_label_classification"):
        return None
    if type(inner).__module__.startswith("transformers."):
        return found if "Classification" in name and "TokenClassification" not in name else None
    return found if found.shape[1] == getattr(config, "num_labels", None) else None


def text_config(config: Any) -> Any:
    """The configuration of the part that reads texts; of MusicGen, whose decoder could be one too, the encoder's."""
    try:
        return config.get_text_config()
    except ValueError:  # several could be meant
        return config.get_text_config(encoder=True)


def by_name(model: nn.Module, inputs: Inputs) -> dict[str, Any]:
    """Inputs as a mapping: bare tensors under the names of the arguments they are for."""
    takes = accepted(model)
    if isinstance(inputs, Mapping):
        return dict(inputs)
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    named: dict[str, Any] = {}
    for tensor in tensors:
        kind = "text" if not tensor.is_floating_point() else "image" if tensor.ndim >= 4 else "audio"
        name = next((key for key in KEYS[kind] if key in takes), None) or _main_input(model)
        if name in named:
            raise TypeError(
                f"two tensors for {name!r} of {type(model).__name__}: give a mapping with its argument names"
            )
        named[name] = tensor
    return named


def _main_input(model: nn.Module) -> str:
    main = model.main_input_name
    return main if isinstance(main, str) else str(main[0])


def _only_tower(model: nn.Module, known: Mapping[str, Any]) -> Any | None:
    """The method that runs the one tower whose inputs are given, where the model has several of its own."""
    takes = accepted(model)
    towers = {kind for kind, keys in KEYS.items() if any(key in takes for key in keys) and hasattr(model, TOWERS[kind])}
    given = {kind for kind, keys in KEYS.items() if any(key in known for key in keys)}
    if len(given) != 1 or given >= {kind for kind, keys in KEYS.items() if any(key in takes for key in keys)}:
        return None
    (kind,) = given
    return getattr(model, TOWERS[kind]) if kind in towers else None


def _decoder_inputs(model: nn.Module, known: Mapping[str, Any], takes: frozenset[str]) -> dict[str, Tensor]:
    """The decoder's inputs, where the model has a decoder and was given none for it."""
    config = model.config
    ids, seen = known.get("input_ids"), known.get("attention_mask")
    if config.model_type in CANVAS and ids is not None and known.get("decoder_input_ids") is None:
        seen = torch.ones_like(ids) if seen is None else seen
        after = seen.sum(1, keepdim=True) + torch.arange(ids.shape[1], device=ids.device)  # whatever is padded between
        made = {"decoder_input_ids": ids, "decoder_position_ids": after}
        return made | {"decoder_attention_mask": torch.cat([seen, seen], dim=1)}
    if not getattr(config, "is_encoder_decoder", False) or "decoder_input_ids" not in takes:
        return {}
    if config.model_type in CODES:
        books = getattr(getattr(config, "decoder", None), "num_codebooks", None)
        if ids is None or books is None or any(known.get(key) is not None for key in (*AUDIO_KEYS, *DECODED)):
            return {}
        return {"decoder_input_ids": torch.full((len(ids) * books, 1), start_token(model), device=ids.device)}
    if any(known.get(key) is not None for key in DECODED):
        return {}
    if ids is None:
        first = next(value for value in known.values() if isinstance(value, Tensor))
        return {"decoder_input_ids": torch.full((first.shape[0], 1), start_token(model), device=first.device)}
    made = {"decoder_input_ids": shifted(model, ids, seen)}
    if seen is not None and "decoder_attention_mask" in takes:
        made["decoder_attention_mask"] = seen
    return made


def shifted(model: nn.Module, ids: Tensor, seen: Tensor | None = None) -> Tensor:
    """(n, length) token ids moved one place to the right behind the start token, as the model does it in training.

    Args:
        model: an encoder-decoder of texts.
        ids: (n, length) token ids.
        seen: (n, length) their mask; None where nothing is padded.
    """
    modules = [sys.modules.get(kind.__module__) for kind in type(model).__mro__]
    own = next((f for m in modules if (f := getattr(m, "shift_tokens_right", None)) is not None), None)
    if own is not None and "decoder_start_token_id" not in inspect.signature(own).parameters:
        # mBART and its like have no start token: the last one, that of the language, comes around to the front.
        last = torch.full_like(ids[:, :1], ids.shape[1] - 1) if seen is None else seen.sum(1, keepdim=True) - 1
        start = ids.gather(1, last)
    else:
        start = torch.full_like(ids[:, :1], start_token(model))
    return torch.cat([start, ids[:, :-1]], dim=1)


def start_token(model: nn.Module) -> int:
    """The token that a decoder starts with."""
    configs = [model.config, getattr(model.config, "decoder", None), model.config.get_text_config(decoder=True)]
    for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id"):
        for config in configs:
            value = getattr(config, name, None)
            if isinstance(value, int):
                return value
    raise ValueError(
        f"{type(model).__name__} does not say which token its decoder starts with: give decoder_input_ids, or set "
        "config.decoder_start_token_id"
    )


@contextlib.contextmanager
def _padding_known(model: nn.Module, known: Mapping[str, Any]) -> Iterator[None]:
    """Decoder-only classifiers read the last token that is no padding: tell them which token pads these inputs."""
    config = text_config(model.config)
    ids, seen = known.get("input_ids"), known.get("attention_mask")
    if "SequenceClassification" not in type(model).__name__ or ids is None or not hasattr(config, "pad_token_id"):
        yield
        return
    stated = config.pad_token_id
    padding = ids[seen == 0] if seen is not None and seen.shape == ids.shape else ids.new_empty(0)
    if padding.numel():
        config.pad_token_id = int(padding[0])
    elif stated is None:
        config.pad_token_id = -1  # no token: nothing is padded
    try:
        yield
    finally:
        config.pad_token_id = stated
