"""Raw sounds to waveforms or spectrograms, by the model's feature extractor."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cka_plugin.adapters.modules import unwrap
from cka_plugin.adapters.transformers.forward import AUDIO_KEYS, EITHER, accepted
from cka_plugin.adapters.transformers.parts import AUDIO_MASKS, POOLING_MASK, Part, cast, digest
from cka_plugin.adapters.transformers.processors import feature_extractor_of, stated

WHOLE_TOKENS = ("nemo_speechlm", "nemotron3_5_transcribe_audio")  # take spectrograms of whole tokens, no part of one


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
        # UnivNet's noise: the same for the same examples
        drawn = {"generator": np.random.default_rng(0)} if "generator" in options else {}
        encoded = dict(made([one(sound) for sound in sounds], **call, **drawn))
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
        return cast(inputs, dtype)

    return Part(
        collate,
        f"{name}, {made.sampling_rate} Hz",
        digest("audio", name, made.to_json_string(), dtype, sorted(takes), sorted(call.items()), whole),
        one,
        side_by_side=type(made).__module__.startswith("transformers."),
    )


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


def _whole(frames: Tensor, size: int) -> Tensor:
    """(n, frames, ...) filled up at the end with zeros to a multiple of `size` frames, as processors do."""
    missing = -frames.shape[1] % size
    return torch.cat([frames, frames.new_zeros(len(frames), missing, *frames.shape[2:])], dim=1)


__all__ = ["as_samples", "audio_part"]
