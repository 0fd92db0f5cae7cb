"""Made-up inputs for any Hugging Face model: what its `forward` asks for, in its configuration's sizes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

N = 2  # examples
LENGTH = 12  # tokens
SAMPLES = 19200  # of sound
GRIDS = 1  # images given as a grid of patches
GRID = (1, 8, 8)  # frames, rows and columns of patches


def setting(config: Any, *names: str, default: Any = None) -> Any:
    """The first of `names` that the configuration, or one inside it, holds."""
    for name in names:
        for inner in _configs(config, set()):
            value = getattr(inner, name, None)
            if value is not None:
                return value
    return default


def _configs(config: Any, seen: set[int]) -> Iterator[Any]:
    if id(config) not in seen:
        seen.add(id(config))
        yield config
        for value in vars(config).values():
            if hasattr(value, "to_dict") and hasattr(value, "model_type"):
                yield from _configs(value, seen)


def ids(config: Any, *shape: int) -> Tensor:
    shape = shape or (N, LENGTH)
    size = setting(config, "vocab_size", default=100)
    count = torch.Size(shape).numel()
    return torch.arange(4, 4 + count).reshape(shape) % max(int(size if isinstance(size, int) else 100) - 1, 1)


def side(config: Any) -> tuple[int, int]:
    size = setting(config, "image_size", "input_size", "img_size", default=640)
    if isinstance(size, dict):
        size = (size["height"], size["width"])
    if isinstance(size, int):
        size = (size, size)
    return tuple(size)[-2:]  # type: ignore[return-value]


def channels(config: Any) -> int:
    found: int = setting(config, "num_channels", "in_channels", "num_input_channels", "in_chans", default=3)
    return found


def image(config: Any) -> Tensor:
    return torch.zeros(N, channels(config), *side(config), device="meta")


def width(config: Any) -> int:
    found: int = setting(config, "hidden_size", "d_model", "embed_dim", "dim")
    return found


def patches(config: Any) -> list[Tensor]:
    patch = setting(config, "patch_size", default=14)
    patch = patch if isinstance(patch, int) else 14
    depth = setting(config, "temporal_patch_size", default=1)
    count = GRIDS * GRID[0] * GRID[1] * GRID[2]
    square = torch.zeros(count, channels(config), patch, patch, device="meta")
    return [torch.zeros(count, channels(config) * depth * patch**2, device="meta"), square]


def features(config: Any) -> list[Tensor]:
    bands = setting(
        config, "num_mel_bins", "n_mels", "input_feat_per_channel", "num_mels", "mel_bins", "feature_size", "input_dim",
        "input_feat_size", "feature_projection_input_dim", default=80,
    )  # fmt: skip
    frames = 2 * setting(config, "max_source_positions", default=160)
    return [torch.zeros(N, bands, frames, device="meta"), torch.zeros(N, frames, bands, device="meta")]


def sound(config: Any) -> list[Tensor]:
    flat = torch.zeros(N, SAMPLES, device="meta")
    return [flat, flat[:, None], *features(config)]


def grids(config: Any) -> Tensor:
    return torch.tensor([GRID] * GRIDS)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.long)


def wide(config: Any, *shape: int) -> Tensor:
    return torch.zeros(*shape, width(config), device="meta")


# Argument of `forward` -> configuration -> the value, or several to try one after the other.
BUILDERS: dict[str, Callable[[Any], Any]] = {
    "input_ids": ids,
    "decoder_input_ids": ids,
    "inputs_embeds": lambda c: wide(c, N, LENGTH),
    "query_embeds": lambda c: wide(c, N, LENGTH),
    "hidden_states": lambda c: [wide(c, N, LENGTH), *patches(c)],
    "encoder_hidden_states": lambda c: wide(c, N, LENGTH),
    "attention_mask": lambda c: ones(N, LENGTH),
    "bbox": lambda c: torch.zeros(N, LENGTH, 4, dtype=torch.long),
    "pixel_values": lambda c: [image(c), *patches(c)],
    "pixel_values_videos": lambda c: torch.zeros(
        N, setting(c, "num_frames", "frames_per_clip", default=4), channels(c), *side(c), device="meta"
    ),
    "grid_thw": grids,
    "image_grid_thw": grids,
    "input_values": sound,
    "input_features": features,
    "input_features_mask": lambda c: [ones(N, f.shape[-1 - i]).bool() for i, f in enumerate(features(c))],
}


def no_weights(*shape: int) -> Tensor:
    return torch.zeros(shape, device="meta")


# Class -> configuration -> arguments beside, or instead of, those made by name.
EXTRA: dict[str, Callable[[Any], dict[str, Any]]] = {
    "ASTModel": lambda c: {"input_values": no_weights(N, c.max_length, c.num_mel_bins)},
    "ASTForAudioClassification": lambda c: {"input_values": no_weights(N, c.max_length, c.num_mel_bins)},
    "BarkFineModel": lambda c: {"input_ids": ids(c, N, LENGTH, c.n_codes_total), "codebook_idx": 1},
    "Blip2QFormerModel": lambda c: {"encoder_hidden_states": no_weights(N, LENGTH, c.encoder_hidden_size)},
    "BltModel": lambda c: {"patch_lengths": ones(N, LENGTH)},
    "ClapAudioModel": lambda c: {"input_features": no_weights(N, 1, 1001, c.num_mel_bins), "is_longer": ones(N, 1)},
    "CsmBackboneModel": lambda c: {"input_ids": ids(c, N, LENGTH, c.num_codebooks)},
    "DiaModel": lambda c: {"decoder_input_ids": ids(c, N, LENGTH, c.decoder_config.num_channels)},
    "EfficientLoFTRModel": lambda c: {"pixel_values": no_weights(N, 2, 1, 480, 640)},
    "FastSpeech2ConformerModel": lambda c: {"duration_labels": ones(N, LENGTH)},
    "FunAsrNanoEncoder": lambda c: {"input_features": no_weights(N, 40, 560), "input_features_mask": ones(N, 40)},
    "Gemma4AudioModel": lambda c: {"input_features": no_weights(N, 160, 128)},
    "Gemma4VisionModel": lambda c: {
        "pixel_values": no_weights(N, 64, 3 * c.patch_size**2), "pixel_position_ids": torch.zeros(N, 64, 2).long()
    },
    "Gemma3nAudioEncoder": lambda c: {
        "audio_mel": no_weights(N, 160, c.input_feat_size), "audio_mel_mask": torch.zeros(N, 160).bool()
    },
    "Inkling2VisionModel": lambda c: {
        "pixel_values": no_weights(64, *[c.patch_size * c.spatial_merge_size] * 2, c.num_channels),
        "image_grid_thw": torch.tensor([[1, 8, 8]]),
    },
    "LxmertModel": lambda c: {"visual_feats": no_weights(N, 5, c.visual_feat_dim), "visual_pos": no_weights(N, 5, 4)},
    "LayoutLMv3Model": lambda c: {"pixel_values": no_weights(N, 3, 224, 224)},
    "PatchTSMixerModel": lambda c: {"past_values": no_weights(N, c.context_length, c.num_input_channels)},
    "PatchTSTModel": lambda c: {"past_values": no_weights(N, c.context_length, c.num_input_channels)},
    "PerceiverModel": lambda c: {"inputs": no_weights(N, LENGTH, c.d_model)},
    "Phi4MultimodalAudioModel": lambda c: {
        "hidden_states": no_weights(N, 160, c.input_size), "mask": ones(N, 160).bool()
    },
    "Pix2StructForConditionalGeneration": lambda c: {
        "flattened_patches": no_weights(N, 64, c.vision_config.patch_embed_hidden_size + 2)
    },
    "VJEPA2Model": lambda c: {"pixel_values_videos": no_weights(1, 4, 3, c.crop_size, c.crop_size)},
    "XCLIPModel": lambda c: {"pixel_values": no_weights(N, c.vision_config.num_frames, 3, *side(c.vision_config))},
    "IdeficsModel": lambda c: {
        "pixel_values": no_weights(N, 1, 3, *side(c.vision_config)), "image_attention_mask": ones(N, LENGTH, 1)
    },
    "MllamaModel": lambda c: {
        **EXTRA["MllamaVisionModel"](c.vision_config),
        "cross_attention_mask": ones(N, LENGTH, 1, c.vision_config.max_num_tiles),
    },
    "MusicgenForConditionalGeneration": lambda c: {"decoder_input_ids": ids(c.decoder, N * c.decoder.num_codebooks, 4)},
    "MusicgenMelodyForConditionalGeneration": lambda c: {
        "decoder_input_ids": ids(c.decoder, N * c.decoder.num_codebooks, 4)
    },
    "Emu3VQVAE": lambda c: {
        "pixel_values": no_weights(N, 3, 256, 256), "image_sizes": torch.tensor([[256, 256]] * N)
    },
    "Dots3NoteAudioModel": lambda c: {
        "input_features": no_weights(N, setting(c, "num_mel_bins", "n_mels", "mel_bins", default=128), 3000),
        "chunk_sample_lengths": torch.tensor([160 * 3000] * N)
    },
    "Qwen2_5OmniAudioEncoder": lambda c: {
        "input_features": no_weights(c.num_mel_bins, 400), "feature_lens": torch.tensor([200, 200])
    },
    "Qwen3OmniMoeAudioEncoder": lambda c: {
        "input_features": no_weights(c.num_mel_bins, 400), "feature_lens": torch.tensor([200, 200])
    },
    "Qwen3ASREncoder": lambda c: {
        "input_features": no_weights(N, c.num_mel_bins, 400), "input_features_mask": ones(N, 400)
    },
    "RfDetrModel": lambda c: {"pixel_values": no_weights(N, 3, *[c.backbone_config.image_size] * 2)},
    "SegGptModel": lambda c: dict.fromkeys(
        ("pixel_values", "prompt_pixel_values", "prompt_masks"), no_weights(N, 3, 448, 448)
    ),
    "TimesFmModel": lambda c: {
        "past_values": no_weights(N, c.context_length),
        "past_values_padding": torch.zeros(N, c.context_length),
        "freq": torch.zeros(N, 1).long(),
    },
    "TimesFm2_5Model": lambda c: {"past_values": no_weights(N, c.context_length)},
    "TvpModel": lambda c: {
        "pixel_values": no_weights(N, c.num_frames, 3, *[c.max_img_size] * 2), "attention_mask": ones(N, LENGTH)
    },
    "VideoLlama3VisionModel": lambda c: {"grid_thw": torch.tensor([[1, 8, 8]]), "merge_sizes": torch.tensor([1])},
    "VideoMAEModel": lambda c: {"pixel_values": no_weights(1, c.num_frames, 3, *side(c))},
    "VivitModel": lambda c: {"pixel_values": no_weights(1, c.num_frames, 3, *side(c))},
    "MimiDecoderModel": lambda c: {"latents": no_weights(N, c.hidden_size, 20)},
    "PocketTTSAudioTokenizerDecoderModel": lambda c: {"latents": no_weights(N, c.latent_dim, 20)},
    "VibeVoiceAcousticTokenizerDecoderModel": lambda c: {"hidden_states": no_weights(N, c.hidden_size, 20)},
    "VibeVoiceAcousticTokenizerEncoderModel": lambda c: {"hidden_states": no_weights(N, 1, SAMPLES)},
    "OneFormerModel": lambda c: {"task_inputs": ids(c, N, 77)},
    "PeVideoModel": lambda c: {"input_ids": ids(c.text_config), "pixel_values_videos": no_weights(N, 2, 3, 336, 336)},
    "PeVideoEncoder": lambda c: {"pixel_values_videos": no_weights(N, 2, 3, 336, 336)},
    "SeamlessM4TTextToUnitForConditionalGeneration": lambda c: {"inputs_embeds": wide(c, N, LENGTH), "input_ids": None},
    "SeamlessM4Tv2TextToUnitForConditionalGeneration": lambda c: {
        "inputs_embeds": wide(c, N, LENGTH),
        "input_ids": None,
        "char_input_ids": ids(c, N, LENGTH),
        "char_count_per_id": ones(N, LENGTH),
    },
    "Xcodec2Model": lambda c: {
        "input_values": no_weights(N, 1, 6400),
        "input_features": no_weights(N, 20, 160),
    },
    "InklingVisionModel": lambda c: {"pixel_values": no_weights(N, 2, 40, 40, 3)},
    "JanusVQVAE": lambda c: {"pixel_values": no_weights(N, 3, 384, 384)},
    "Kosmos2_5VisionModel": lambda c: {"flattened_patches": no_weights(N, 64, c.patch_embed_hidden_size + 2)},
    "KyutaiSpeechToTextModel": lambda c: {"input_ids": ids(c, N, LENGTH, c.num_codebooks + 1)},
    "LightGlueForKeypointMatching": lambda c: {"pixel_values": no_weights(N, 2, 3, 480, 640)},
    "MiniCPMOcrVisionModel": lambda c: {"target_sizes": torch.tensor([[8, 8]] * N), **row_of_patches(c)},
    "MllamaVisionModel": lambda c: {
        "pixel_values": no_weights(N, 1, c.max_num_tiles, 3, *side(c)),
        "aspect_ratio_ids": ones(N, 1),
        "aspect_ratio_mask": ones(N, 1, c.max_num_tiles),
    },
    "Molmo2VisionModel": lambda c: {"pixel_values": no_weights(N, 729, 588)},
    "MuseGlimmerAssistantModel": lambda c: {
        "noise_embeds": wide(c, N, LENGTH), "context_hidden_states": wide(c, N, LENGTH)
    },
    "TimesformerModel": lambda c: {"pixel_values": no_weights(N, c.num_frames, c.num_channels, *side(c))},
    "Siglip2VisionModel": lambda c: {
        "pixel_values": no_weights(N, 64, 3 * c.patch_size**2),
        "pixel_attention_mask": ones(N, 64),
        "spatial_shapes": torch.tensor([[8, 8]] * N),
    },
}  # fmt: skip
for _class in ("MiniCPMV4_6VisionModel", "MiniCPMV4_7VisionModel"):
    EXTRA[_class] = EXTRA["MiniCPMOcrVisionModel"]
EXTRA["TimesformerForVideoClassification"] = EXTRA["TimesformerModel"]
for _class in ("AutoformerModel", "InformerModel", "TimeSeriesTransformerModel"):
    EXTRA[_class] = lambda c: {
        "past_values": no_weights(N, c.context_length + max(c.lags_sequence)),
        "past_observed_mask": no_weights(N, c.context_length + max(c.lags_sequence)),
        "past_time_features": no_weights(N, c.context_length + max(c.lags_sequence), c.num_time_features),
        "future_values": no_weights(N, c.prediction_length),
        "future_time_features": no_weights(N, c.prediction_length, c.num_time_features),
    }


def shared_states(config: Any) -> dict[str, Any]:
    """What an assistant takes of the model that it assists: embeddings, keys and values."""
    text = config.get_text_config()
    text.allow_global_per_layer_attribute_access = True
    state = no_weights(N, text.num_key_value_heads, LENGTH, text.head_dim)
    wider = setting(text, "num_global_key_value_heads", default=text.num_key_value_heads)
    wide_state = no_weights(N, wider, LENGTH, setting(text, "global_head_dim", default=text.head_dim))
    return {
        "inputs_embeds": no_weights(N, LENGTH, 2 * config.backbone_hidden_size),
        "position_ids": torch.arange(LENGTH)[None].expand(N, -1),
        "shared_kv_states": {"sliding_attention": (state, state), "full_attention": (wide_state, wide_state)},
    }


for _class in ("Gemma4UnifiedAssistantForCausalLM", "Gemma4AssistantForCausalLM"):
    EXTRA[_class] = shared_states
EXTRA["SuperGlueForKeypointMatching"] = EXTRA["LightGlueForKeypointMatching"]


def row_of_patches(config: Any) -> dict[str, Tensor]:
    """Images cut into patches that lie side by side."""
    return {"pixel_values": no_weights(1, 3, config.patch_size, N * 64 * config.patch_size)}


def asked(model: nn.Module) -> dict[str, inspect.Parameter]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {n: p for n, p in inspect.signature(model.forward).parameters.items() if p.kind in named}


def dummies(model: nn.Module) -> Iterator[dict[str, Any]]:
    """Keyword arguments to try on `model`, the likeliest first."""
    parameters = asked(model)
    config: Any = model.config
    wanted = [name for name, p in parameters.items() if p.default is p.empty]
    main = getattr(model, "main_input_name", "input_ids")
    wanted += [*([main] if isinstance(main, str) else main), "input_ids", "bbox"] + (
        ["decoder_input_ids"] if getattr(config, "is_encoder_decoder", False) else []
    )
    wanted = [name for name in dict.fromkeys(wanted) if name in parameters]
    extra: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
    if type(model).__name__ in EXTRA:
        extra |= EXTRA[type(model).__name__](config)
    sensed = [n for n in ("pixel_values", "input_values", "input_features", "pixel_values_videos") if n in parameters]
    beside = [n for n in ("image_grid_thw", "input_features_mask") if n in parameters]
    sets = [wanted, *([*wanted, name] for name in sensed), *([*wanted, name, *beside] for name in sensed)]
    for names in dict.fromkeys(tuple(dict.fromkeys(names)) for names in sets):
        yield from ({**variant, **extra} for variant in _variants(config, names))


def _variants(config: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    made: dict[str, list[Any]] = {}
    for name in names:
        if name in BUILDERS:
            value = BUILDERS[name](config)
            made[name] = value if isinstance(value, list) else [value]
    for i in range(max(map(len, made.values()), default=1)):
        yield {name: values[min(i, len(values) - 1)] for name, values in made.items()}


_MISFITS = (
    # what is said where a size does not fit: the axis, counted from the end, and the size that would
    (re.compile(r"same reduction dim, but got \[\d+, (?P<is>\d+)\] X \[(?P<wanted>\d+), \d+\]"), -1),
    (re.compile(r"expected input with shape \[(?:\*, )?(?P<wanted>\d+)\], but got input of size.*?(?P<is>\d+)\]"), -1),
    (re.compile(r"to have (?P<wanted>\d+) channels, but got (?P<is>\d+) channels"), 1),
)


def fitted(inputs: dict[str, Any], error: Exception) -> dict[str, Any] | None:
    """The same inputs with the size that an error asks for; None where it asks for none, or no input has that axis."""
    for expression, axis in _MISFITS:
        said = expression.search(str(error))
        if said:
            is_, wanted = int(said["is"]), int(said["wanted"])
            changed = dict(inputs)
            for name, value in inputs.items():
                if isinstance(value, Tensor) and value.is_floating_point() and value.shape[axis] == is_:
                    shape = list(value.shape)
                    shape[axis] = wanted
                    changed[name] = torch.zeros(shape, device="meta")
                    return changed
    return None
