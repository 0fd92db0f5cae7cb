"""Pairs of image and text through each popular type that puts images among its tokens, by the type's own processor."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES

from cka_plugin.adapters.transformers.inputs import preparation
from cka_plugin.adapters.transformers.processors import default_feature_extractor, default_image_processor
from tests.support.small_transformers import TEXTS, sounds, word_tokenizer
from tests.support.tiny_transformers import tiny
from tests.sweeps.test_transformers_inputs import IMAGES, compared

TOKENS = {
    "image_token": "<image>",
    "video_token": "<video>",
    "audio_token": "<|AUDIO|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
    "boi_token": "<boi>",
    "eoi_token": "<eoi>",
    "boa_token": "<boa>",
    "eoa_token": "<eoa>",
    "fake_image_token": "<fake>",
    "image_boundary_token": "<fake>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
    "vision_start_token": "<vision>",
    "vision_end_token": "</vision>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<image>",
    "image_start_token": "<img>",
    "image_end_token": "</img>",
    "image_thumbnail_token": "<thumbnail>",
}
OTHERS = [
    "<imgpad>",
    "[IMG]",
    "[IMG_BREAK]",
    "[IMG_END]",
    "<|IMG_PATCH|>",
    "<|image|>",
    "<|vision_start|>",
    "<|vision_end|>",
]
LLAVA = {"vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
MORE: dict[str, dict[str, Any]] = {  # what processors are told of their models, as their folders have it
    "llava": LLAVA,
    "llava_next": LLAVA,
    "llava_onevision": {"num_image_tokens": 9, "vision_feature_select_strategy": "full"},
    "vipllava": LLAVA,
}


def pair_model(model_type: str) -> tuple[nn.Module, Any]:
    """A small model of the type, and its processor with one token a word."""
    named = {k: v for k, v in TOKENS.items() if k != "image_token" or model_type not in ("blip-2", "instructblip")}
    tokenizer = word_tokenizer(extra_special_tokens=named)
    tokenizer.add_special_tokens({"additional_special_tokens": [*dict.fromkeys(TOKENS.values()), *OTHERS]})
    config = tiny(CONFIG_MAPPING[model_type])
    with torch.device("meta"):
        shapes = hf.AutoModel.from_config(config)
    processor_class = getattr(hf, PROCESSOR_MAPPING_NAMES[model_type])
    vision = getattr(config, "vision_config", None)
    takes = inspect.signature(processor_class.__init__).parameters
    given: dict[str, Any] = {"tokenizer": tokenizer} | MORE.get(model_type, {})
    if "qformer_tokenizer" in takes:
        given["qformer_tokenizer"] = word_tokenizer()
    if "image_processor" in takes:
        given["image_processor"] = default_image_processor(shapes)
    if model_type == "paligemma":
        given["image_processor"].image_seq_length = (vision.image_size // vision.patch_size) ** 2
    if model_type == "florence2":
        given["image_processor"].image_seq_length = 50
    if "video_processor" in takes:
        given["video_processor"] = getattr(hf, VIDEO_PROCESSOR_MAPPING_NAMES[model_type]["torchvision"])()
    if "feature_extractor" in takes:
        given["feature_extractor"] = default_feature_extractor(shapes)
    stated = {
        "patch_size": getattr(vision, "patch_size", None),
        "num_query_tokens": getattr(config, "num_query_tokens", None),
        "image_seq_length": getattr(config, "mm_tokens_per_image", None),
        "spatial_merge_size": getattr(config, "spatial_merge_size", None),
    }
    if model_type in ("idefics3", "smolvlm"):
        stated["image_seq_len"] = (vision.image_size // vision.patch_size // config.scale_factor) ** 2
    given |= {name: value for name, value in stated.items() if name in takes and value is not None}
    processor = processor_class(**given)
    text = config.get_text_config()
    text.vocab_size = max(text.vocab_size, len(processor.tokenizer))
    place = getattr(processor, "image_token_id", None)
    if place is None or model_type == "gemma3":  # whose prompts hold <boi> where the image's tokens come
        place = processor.tokenizer.convert_tokens_to_ids("<image>")
    for name in ("image_token_id", "image_token_index"):
        if name in vars(config):
            setattr(config, name, place)
    if getattr(config, "audio_token_id", None) is not None:
        config.audio_token_id = processor.tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    torch.manual_seed(0)
    return hf.AutoModel.from_config(config).eval(), processor


PAIRS = "llava llava_onevision gemma3 idefics3 paligemma qwen2_vl blip-2 lfm2_vl"
MORE_PAIRS = (
    "llava_next vipllava video_llava qwen2_5_vl qwen3_vl smolvlm idefics2 idefics mllama instructblip mistral3 "
    "internvl glm4v got_ocr2 florence2"
)


@pytest.mark.parametrize(
    "model_type", [*PAIRS.split(), *(pytest.param(name, marks=pytest.mark.sweep) for name in MORE_PAIRS.split())]
)
def test_pairs_of_image_and_text_run_and_padding_changes_no_average(model_type: str) -> None:
    if model_type == "smolvlm":
        pytest.importorskip("num2words")
    model, processor = pair_model(model_type)
    prepared = preparation(model, processor)
    assert prepared.kinds == ("image", "text")
    pairs = list(zip(IMAGES, TEXTS, strict=True))
    found = compared(model, prepared.collate(pairs), prepared.collate(pairs[:1]))
    assert found.verdict == "right", found


def test_pairs_of_sound_and_text_run_and_padding_changes_no_average() -> None:
    model, processor = pair_model("qwen2_audio")
    prepared = preparation(model, processor)
    assert prepared.kinds == ("audio", "text")
    pairs = list(zip(sounds(16_000, 25_000), TEXTS, strict=True))
    found = compared(model, prepared.collate(pairs), prepared.collate(pairs[:1]))
    assert found.verdict == "right", found
