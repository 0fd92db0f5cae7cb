"""Every model type of transformers, built on the meta device from its default configuration."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


def visual_names(name: str, count: int, first: int) -> dict[str, int]:
    """Names and ids of the tokens of images in a vocabulary; Chameleon's write digits as letters."""
    digits = str.maketrans("0123456789", "ABCDEFGHIJ")
    return {name.format(code=code, letters=str(code).translate(digits)): first + code for code in range(count)}


CHAMELEON = {"<image>": 4} | visual_names("IMGIMG{letters}Z", 8192, 5)
EMU = {"<image>": 4, "<|extra_200|>": 3} | visual_names("<|visual token {code:06d}|>", 32768, 5)
REPVIT = {
    "model_type": "timm_wrapper",
    "architecture": "repvit_m1",
    "num_classes": 1000,
    "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
}
# Kernel, channels before and after, stride and squeeze of each block. A line of text is read along its width, which is
# therefore kept; text is found in maps each half the size of the one before.
WIDE = [
    [[3, 16, 32, 1, False]],
    [[3, 32, 64, 1, False], [3, 64, 64, 1, False]],
    [[3, 64, 128, [2, 1], False], [3, 128, 128, 1, False]],
    [[3, 128, 256, [1, 2], False], *[[5, 256, 256, 1, False]] * 4],
    [[5, 256, 512, [2, 1], True], [5, 512, 512, 1, True], [5, 512, 512, [2, 1], False], [5, 512, 512, 1, False]],
]
PYRAMID = {
    "model_type": "pp_lcnet_v4",
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
    "block_configs": [
        [[3, 96, 96, 1, True]],
        [[3, 96, 96, 2, False], [3, 96, 96, 1, False]],
        [[3, 96, 192, 2, False], [3, 192, 192, 1, True]],
        [[3, 192, 384, 2, False], [3, 384, 384, 1, True]],
    ],
}
# Kernel, stride and padding of the convolutions of a detector of text.
INTRACLASS: dict[str, Any] = {"reduce_channel": [1, 1, 0], "return_channel": [1, 1, 0]}
for _size, _ratio in ((7, "long"), (5, "mid"), (3, "short")):
    _half = _size // 2
    INTRACLASS |= {
        f"vertical_long_to_small_conv_{_ratio}ratio": [[_size, 1], [1, 1], [_half, 0]],
        f"horizontal_small_to_long_conv_{_ratio}ratio": [[1, _size], [1, 1], [0, _half]],
        f"symmetric_conv_long_{_ratio}ratio": [[_size, _size], [1, 1], [_half, _half]],
    }
OCR2_TEXT = {"mlp_layer_types": ["dense"] + ["sparse"] * 11, "num_hidden_layers": 12, "num_experts_per_tok": 6}
OCR2_ENCODER = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24}
OCR2_ENCODER |= {"num_attention_heads": 14, "num_key_value_heads": 2}
COMPASS = {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}}
PARTIAL = {"partial_rotary_factor": 0.25}
NO_INPUT_PER_LAYER = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}
UPWARDS = {"scale_factor_list": [1, 2, 4, 8]}
QSA: dict[str, Any] = {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 128, "indexer_budget": 2048}
QSA |= {"indexer_compress_ratio": 64, "rope_parameters": {"rope_type": "default", "rope_theta": 1e7} | PARTIAL}
PERCEPTION = {
    "model_type": "timm_wrapper",
    "architecture": "vit_pe_core_large_patch14_336",
    "num_classes": 0,
    "model_args": {"embed_dim": 1024, "img_size": [448, 448], "global_pool": "", "use_post_transformer_norm": False},
}
# Types whose default configuration states no architecture: what it lacks or contradicts, as the models' own
# documentation and checkpoints have it.
COMPLETED: dict[str, dict[str, Any]] = {
    "autoformer": {"prediction_length": 24},
    "aya_vision": {"vision_config": {"model_type": "siglip_vision_model", "num_attention_heads": 16}},
    "chameleon": {"vocabulary_map": CHAMELEON},
    "cohere_compass": {"text_config": COMPASS},
    "cohere_compass_text": COMPASS,
    "dbrx": {"attn_config": {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500000.0}},
    "deepseek_ocr2": {"text_config": OCR2_TEXT, "vision_config": {"encoder_config": OCR2_ENCODER}},
    "diffusion_gemma": {"text_config": {"num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704}},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 2, "moe_intermediate_size": 64, "num_experts_per_tok": 2},
    "deepseek_v2": {"num_experts_per_tok": 6},
    "edgetam": {"vision_config": {"model_type": "edgetam_vision_model", "backbone_config": REPVIT}},
    "edgetam_vision_model": {"backbone_config": REPVIT},
    "emu3": {"vocabulary_map": EMU},
    "esm": {"vocab_size": 33, "pad_token_id": 1},
    "gemma4_assistant": {"text_config": {"model_type": "gemma4_text"} | NO_INPUT_PER_LAYER},
    "granite4_vision": {
        "vision_config": {"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 16},
        "vision_feature_select_strategy": "full",
        "downsample_rate": "4/8",
        "deepstack_layer_map": [[-7, 3], [-4, 6]],
        "spatial_target_layers": [12, 15, 18, 21],
        "image_grid_pinpoints": [[384, 768], [768, 384], [768, 768]],
    },
    "glm4v_moe_text": {"head_dim": 128},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "hunyuan_vl": {"text_config": {"head_dim": 128}},
    "hunyuan_vl_text": {"head_dim": 128},
    "informer": {"prediction_length": 24},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16},
    "lw_detr": {"projector_scale_factors": [1.0]},
    "ministral": {"head_dim": 128},
    "moonshine_streaming": {"num_key_value_heads": 8},
    "musicgen": {"audio_encoder": {"model_type": "encodec", "target_bandwidths": [3.0]}},  # four codes a frame
    "nemotron": {"num_key_value_heads": 48},
    "perception_lm": {"vision_config": PERCEPTION},
    "pp_ocrv5_server_det": {"intraclass_block_config": INTRACLASS, "kernel_list": [3, 2, 2]} | UPWARDS,
    "pp_ocrv6_medium_det": {"backbone_config": PYRAMID, "intraclass_block_config": INTRACLASS} | UPWARDS,
    "qwen3_omni_moe": {
        "talker_config": {"text_config": {"shared_expert_intermediate_size": 768}, "spatial_merge_size": 2}
    },
    "qwen4_exp": {"text_config": QSA},
    "qwen4_exp_text": QSA,
    "pp_ocrv5_mobile_rec": {"backbone_config": {"model_type": "pp_lcnet_v3", "scale": 0.95, "block_configs": WIDE}},
    "pp_ocrv6_small_det": {"backbone_config": PYRAMID, "layer_list_out_channels": [96, 96, 192, 384]},
    "step3p7": {"text_config": {"sliding_window": 512}},
    "step3p7_text": {"sliding_window": 512},
    "time_series_transformer": {"prediction_length": 24},
    "t5gemma2_encoder": {"text_config": {"dropout_rate": 0.0, "attention_dropout": 0.0}},
    "timm_backbone": {"backbone": "resnet18"},
    "uvdoc": {"backbone_config": {"model_type": "uvdoc_backbone", "out_features": [f"stage{i}" for i in range(1, 7)]}},
    "vitmatte": {"fusion_hidden_sizes": [256, 128, 64, 32]},
    "xmod": {"default_language": "en_XX"},
}
ROTARY = {"rope_type": "default", "rope_theta": 10000.0}
for _type in ("glm4v", "glm46v", "glmga", "glm_image", "glm4v_moe"):
    _half = ROTARY | {"partial_rotary_factor": 0.5}
    COMPLETED[_type] = {"text_config": {"rope_parameters": _half, **COMPLETED.get(f"{_type}_text", {})}}
    COMPLETED[f"{_type}_text"] = COMPLETED[_type]["text_config"]
for _type in ("hunyuan_vl_text",):
    COMPLETED[_type]["rope_parameters"] = ROTARY | {"mrope_section": [16, 16, 16, 16]}
    COMPLETED["hunyuan_vl"] = {"text_config": COMPLETED[_type]}


UNBUILT = {  # types that are not built, and why
    "dinat": "it needs natten",
    "higgs_audio_v2_tokenizer": "it needs torchaudio",
    "layoutlmv2": "it needs detectron2",
    "voxtral_realtime_text": "transformers exports no class of it",
}


def all_types() -> list[str]:
    """The model types that have a model class."""
    from transformers import CONFIG_MAPPING

    with_model = {model_type for mapping in _mappings() for model_type in mapping}
    return [model_type for model_type in CONFIG_MAPPING if model_type in with_model]


def classes_of(model_type: str) -> list[str]:
    """The model classes of a type: the bare model first, then those with a task."""
    found: dict[str, None] = {}
    for mapping in _mappings():
        names = mapping.get(model_type, ())
        found.update(dict.fromkeys([names] if isinstance(names, str) else names))
    return list(found)


def _mappings() -> Iterator[dict[str, Any]]:
    from transformers.models.auto import modeling_auto

    first = modeling_auto.MODEL_MAPPING_NAMES
    yield first
    for name, mapping in vars(modeling_auto).items():
        if name.endswith("_MAPPING_NAMES") and name != "CONFIG_MAPPING_NAMES" and mapping is not first:
            yield mapping


def build(model_type: str, class_name: str | None = None) -> nn.Module:
    """A model of a type on the meta device; of several classes, the first that its default configuration fits.

    Raises:
        Exception: what the first class raises, where none can be built.
    """
    import transformers

    refused: Exception | None = None
    for name in [class_name] if class_name else classes_of(model_type):
        try:
            with warnings.catch_warnings(), torch.device("meta"):
                warnings.simplefilter("ignore")
                config = transformers.CONFIG_MAPPING[model_type](**COMPLETED.get(model_type, {}))
                model: nn.Module = getattr(transformers, name)(config)
        except Exception as error:  # a default configuration may fail in any way; the next class may take it
            refused = refused or error
        else:
            restore_sizes(model)
            return model.eval()
    raise refused or ValueError(f"{model_type!r} has no model class")


def restore_sizes(model: nn.Module) -> None:
    """Give the convolutions of audio codecs back the sizes that they hold as buffers, which have no values on meta."""
    for module in model.modules():
        convolution = getattr(module, "conv", None)
        if isinstance(convolution, nn.Conv1d) and "padding_total" in dict(module.named_buffers(recurse=False)):
            size = (convolution.kernel_size[0] - 1) * convolution.dilation[0] + 1
            stride = convolution.stride[0]
            for name, value in {"stride": stride, "kernel_size": size, "padding_total": size - stride}.items():
                module.register_buffer(name, torch.tensor(value), persistent=False)
