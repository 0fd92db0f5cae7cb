"""Small configurations of any Hugging Face type: the default one, its widths, depths and vocabularies cut down."""

from __future__ import annotations

import re
from typing import Any

from tests.support.transformers_types import COMPLETED, ROTARY

VOCABULARY = 300
CUTS: list[tuple[str, int]] = [  # what the name of a setting ends in, and the most that it may be
    (r"head_dim|d_kv|rotary_dim", 16),
    (
        r"num_hidden_layers|num_layers|n_layers?|(encoder|decoder|attention)_layers|depth|num_hidden_groups|num_blocks",
        2,
    ),
    (r"hidden_size|d_model|n_embd|(embed|hidden|model|emb|embedding|projection)_dim|dim|embedding_size|channels", 64),
    (r"hidden_size_per_layer_input|intermediate_size|intermediate_dim|mlp_dim|linear_units", 64),
    (r"ffn_dim|d_ff|n_inner|dim_feedforward|ffn_hidden_size", 64),
    (r"num_attention_heads|n_heads?|num_heads|attention_heads", 4),
    (r"num_key_value_heads|num_kv_heads|n_kv_heads", 2),
    (r"num_experts|num_local_experts|n_routed_experts|num_routed_experts", 16),
    (r"vocab_size", VOCABULARY),
]
MROPE = r"qwen2(_5)?_vl_text|qwen2_5_omni_(text|talker)|glm(4v|4v_moe|46v|_ocr|_image|ga)_text"
EMU_CODEC = {"codebook_size": 16, "base_channels": 32, "channel_multiplier": [1, 1, 1, 1], "hidden_size": 32}
# Settings of one type that must fit one another, where the defaults or the cuts do not.
FITTING: dict[str, dict[str, Any]] = {
    "apertus1p5": {
        "audio_token_id": 8,
        "image_token_offset": 100,
        "audio_token_offset": 116,
        "vision_config": {"codebook_size": 16},
        "audio_config": {"codebook_size": 16},
    },
    "aria": {"projector_patch_to_query_dict": {900: 2}},
    "blt": {
        "encoder_hash_byte_group_vocab": 1000,
        "encoder_config": {"hidden_size_global": 64},
        "decoder_config": {"hidden_size_global": 64},
    },
    "chameleon": {"vq_config": {"num_embeddings": 16}},
    "dbrx": {"attn_config": {"kv_n_heads": 4}},
    "deepseek_ocr2": {"vision_config": {"sam_config": {"downsample_channels": [64, 64]}}},
    "emu3": {"vq_config": EMU_CODEC},
    "fastspeech2_conformer_with_hifigan": {"vocoder_config": {"model_in_dim": 80}},
    "florence2": {"vision_config": {"projection_dim": 64}},
    "funnel": {"architectures": ["FunnelModel"]},
    "gemma3": {"mm_tokens_per_image": 4, "vision_config": {"image_size": 32, "patch_size": 8}},
    "granite4_vision": {"deepstack_layer_map": [[-2, 0], [-1, 1]], "spatial_target_layers": [0, 0, 1, 1]},
    "idefics3": {"scale_factor": 2, "vision_config": {"image_size": 64, "patch_size": 16}},
    "llama4": {
        "vision_config": {
            "intermediate_size": 256,
            "projector_input_dim": 64,
            "projector_output_dim": 64,
            "vision_output_dim": 64,
        }
    },
    "llava_next": {"vision_config": {"image_size": 336, "patch_size": 112}},
    "llava_next_video": {"vision_config": {"image_size": 336, "patch_size": 112}},
    "llava_onevision": {"vision_config": {"image_size": 384, "patch_size": 128}},
    "lw_detr": {"num_queries": 50},
    "mimi": {"upsample_groups": 64, "codebook_dim": 256},
    "mllama": {"vision_config": {"intermediate_layers_indices": [0, 1], "vision_output_dim": 192}},
    "nemo_speechlm": {"text_config": {"n_groups": 2}},
    "nemotron_h": {"n_groups": 2},
    "pocket_tts_audio_tokenizer": {"upsample_groups": 64},
    "qwen2_5_omni_thinker": {"vision_start_token_id": 7, "audio_start_token_id": 7},
    "rf_detr": {"num_queries": 50},
    "seamless_m4t": {"feature_projection_input_dim": 160},  # two frames of 80 mel bins
    "seamless_m4t_v2": {"feature_projection_input_dim": 160},
    "smolvlm": {"scale_factor": 2, "vision_config": {"image_size": 64, "patch_size": 16}},
    "t5gemma2_encoder": {"mm_tokens_per_image": 4, "vision_config": {"image_size": 32, "patch_size": 8}},
    "ultravbert": {"vision_config": {"image_size": 64, "patch_size": 16}},
    "vipllava": {"vision_feature_layers": [-1, -2]},
    "wav2vec2-bert": {"feature_projection_input_dim": 160},
}
FITTING["qwen3_omni_moe_thinker"] = FITTING["qwen2_5_omni_thinker"]


def tiny(config_class: Any) -> Any:
    """A small configuration; raises whatever the type's own checks raise where the cuts do not fit one another."""
    completed = COMPLETED.get(config_class.model_type, {})
    default = config_class(**completed)
    given = _joined(_joined(completed, _cut(default)), FITTING.get(config_class.model_type, {}))
    kinds = vars(default).get("layer_types")
    if kinds and "layer_types" not in given:  # one layer of each kind first
        count = given.get("num_hidden_layers", len(kinds))
        given["layer_types"] = [*dict.fromkeys(kinds), *kinds][:count]
    return config_class(**given)


def _joined(some: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Both, of which the second goes before the first, inside their parts too."""
    both = some | more
    for name in some.keys() & more.keys():
        if isinstance(some[name], dict) and isinstance(more[name], dict):
            both[name] = _joined(some[name], more[name])
    return both


def _cut(config: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}
    depths = getattr(config, "depths", None)
    if isinstance(depths, list | tuple):  # stages, whose widths and heads are made for one another
        return {"depths": [1] * len(depths)}
    heads = getattr(config, "num_attention_heads", None)
    given |= _rotary(config)
    for name, value in vars(config).items():
        if name.startswith("_") or name in given:
            continue
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            given[name] = {"model_type": value.model_type} | _cut(type(value)()) | _rotary(value)
        elif isinstance(value, dict) and "mrope_section" in value:
            given[name] = value | {"mrope_section": [2, 3, 3]}  # half of a head of 16
        elif isinstance(value, int) and not isinstance(value, bool):
            less = 4 if name == "num_key_value_heads" and value == heads else _less(name, value)
            if less < value:
                given[name] = less
    return given


def _rotary(config: Any) -> dict[str, Any]:
    """Three axes of positions: sections of half of what is rotated of a head of 16."""
    if not re.fullmatch(MROPE, config.model_type):
        return {}
    rotary = ROTARY | (getattr(config, "rope_parameters", None) or {})
    half = rotary.get("partial_rotary_factor", 1.0) == 0.5
    return {"rope_parameters": rotary | {"mrope_section": [1, 1, 2] if half else [2, 3, 3]}}


def _less(name: str, value: int) -> int:
    if name.endswith("_token_id") and value >= VOCABULARY:
        return 7
    for pattern, most in CUTS:
        if re.search(rf"(^|_)({pattern})$", name) and value < 10**6:
            return min(value, most)
    return value
