"""The layers of Hugging Face models: names, hard cases, what timm calls the same."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from cka_plugin.adapters import layers
from tests.support.transformers_firing import evidence
from tests.support.transformers_layers import (
    on_meta,
)
from tests.support.transformers_types import all_types, build

timm = pytest.importorskip("timm")


def short(model: nn.Module, granularity: str = "block") -> str:
    """The names of the layers, runs of blocks as `blocks.{count}`.

    Example:
        >>> short(nn.Sequential(*[nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(3)]))
        'blocks.{3}'
    """
    said: list[str] = []
    counts: list[int] = []
    for layer in layers(model, granularity):
        name = re.sub(r"((?:blocks|stages)\.)\d+$", r"\1{}", layer.name)
        if name != layer.name and said and said[-1] == name:
            counts[-1] += 1
        else:
            said.append(name)
            counts.append(1)
    return " ".join(name.replace("{}", f"{{{n}}}") for name, n in zip(said, counts, strict=True))


SWIN = "stem stages.0.blocks.{2} stages.1.blocks.{2} stages.2.blocks.{6} stages.3.blocks.{2} norm"


RESNET = "stages.0.blocks.{3} stages.1.blocks.{4} stages.2.blocks.{6} stages.3.blocks.{3}"


NAMES = {
    # One tower.
    "BertModel": "embed blocks.{12}",
    "BertForSequenceClassification": "embed blocks.{12} head",
    "BertForMaskedLM": "embed blocks.{12} head",
    "GPT2LMHeadModel": "embed blocks.{12} norm head",
    "LlamaForCausalLM": "embed blocks.{32} norm head",
    "MixtralForCausalLM": "embed blocks.{32} norm head",
    "MambaForCausalLM": "embed blocks.{32} norm head",
    "RwkvForCausalLM": "embed blocks.{32} norm head",
    "Wav2Vec2ForCTC": "embed blocks.{12} head",
    "ASTForAudioClassification": "embed blocks.{12} norm head",
    "TimesformerForVideoClassification": "embed blocks.{12} norm head",
    # Encoders and decoders.
    "T5ForConditionalGeneration": "encoder.embed encoder.blocks.{6} encoder.norm decoder.embed decoder.blocks.{6} "
    "decoder.norm head",
    "BartForConditionalGeneration": "encoder.embed encoder.blocks.{12} decoder.embed decoder.blocks.{12} head",
    "WhisperForConditionalGeneration": "encoder.embed encoder.blocks.{4} encoder.norm decoder.embed decoder.blocks.{4} "
    "decoder.norm head",
    "BartForCausalLM": "embed blocks.{12} head",
    "T5EncoderModel": "embed blocks.{6} norm",
    # Stages.
    "SwinForImageClassification": f"{SWIN} head",
    "SegformerForSemanticSegmentation": "stem stages.0.blocks.{2} stages.1.blocks.{2} stages.2.blocks.{2} "
    "stages.3.blocks.{2} head",
    "FunnelBaseModel": "stem stages.0.blocks.{4} stages.1.blocks.{4} stages.2.blocks.{4}",
    # Several towers.
    "CLIPModel": "vision.embed vision.blocks.{12} vision.norm vision.head text.embed text.blocks.{12} text.norm "
    "text.head",
    "SiglipModel": "vision.embed vision.blocks.{12} vision.norm text.embed text.blocks.{12} text.norm",
    "FlavaModel": "vision.embed vision.blocks.{12} vision.norm text.embed text.blocks.{12} text.norm "
    "multimodal_model.blocks.{6} multimodal_model.norm",
    "LlavaForConditionalGeneration": "vision.embed vision.blocks.{24} vision.norm text.embed text.blocks.{32} "
    "text.norm head",
    "Blip2ForConditionalGeneration": "vision.embed vision.blocks.{39} vision.norm qformer.embed qformer.blocks.{12} "
    "text.embed text.blocks.{12} text.norm head",
    "Qwen2AudioForConditionalGeneration": "audio.embed audio.blocks.{32} audio.norm text.embed text.blocks.{32} "
    "text.norm head",
    "MaskFormerSwinModel": SWIN,
    # A network of timm inside, an encoder and a decoder.
    "DetrForObjectDetection": f"backbone.stem {' '.join(f'backbone.{w}' for w in RESNET.split())} encoder.embed "
    "encoder.blocks.{6} decoder.blocks.{6} decoder.norm head",
    "TimmWrapperForImageClassification": f"stem {RESNET} head",
}


PATHS = {
    # Shared layers called many times are listed once; the hidden size of the embedding is mapped before them.
    ("albert", "embed"): "encoder.embedding_hidden_mapping_in",
    ("albert", "blocks.0"): "encoder.albert_layer_groups.0.albert_layers.0",
    # The same attribute stands before the blocks, or after them, as the class has it.
    ("wav2vec2", "embed"): "encoder.dropout",
    ("opt", "embed"): "decoder.embed_tokens",
    ("opt", "norm"): "decoder.final_layer_norm",
    ("lfm2", "norm"): "embedding_norm",
    ("gpt2", "embed"): "drop",
    ("t5", "encoder.embed"): "encoder.embed_tokens",
    ("bart", "encoder.embed"): "encoder.layernorm_embedding",
    ("canine", "embed"): "chars_to_molecules",
    # A hybrid block holds a plain one.
    ("zamba", "blocks.2"): "layers.2",
    # No module is the block, or it is not called: what it gives comes out of its last module.
    ("xlm", "blocks.0"): "layer_norm2.0",
    ("squeezebert", "blocks.0"): "encoder.layers.0.output",
    # What transformers calls the stem holds the first block.
    ("mobilenet_v2", "stem"): "conv_stem.first_conv",
    ("mobilenet_v2", "stages.0.blocks.0"): "conv_stem.reduce_1x1",
    ("mobilevit", "stages.2.blocks.1"): "encoder.layer.2",
    ("levit", "stages.0.blocks.0"): "encoder.stages.0.layers.1",
    ("perceiver", "embed"): "encoder.cross_attention",
    # Lists as long as the blocks' are no blocks.
    ("glpn", "stages.0.blocks.0"): "encoder.block.0.0",
    ("lightglue", "blocks.0"): "transformer_layers.0",
    # Convolutional blocks in one list with Transformer blocks.
    ("sam3_lite_text_text_model", "blocks.0"): "layers.0",
    # What enters the blocks is made of two embeddings.
    ("diffusion_gemma", "decoder.embed"): "decoder.self_conditioning",
    # A list of towers: a number by itself would be that of a block.
    ("granite4_vision", "spatial_projectors_3.blocks.0"): "spatial_projectors.3.qformer.encoder.layer.0",
    # The norm of mean-pooled tokens.
    ("beit", "norm"): "pooler.layernorm",
}


ALIKE = [
    ("ViTForImageClassification", {}, "vit_base_patch16_224"),
    ("DeiTForImageClassificationWithTeacher", {}, "deit_base_distilled_patch16_224"),
    ("BeitForImageClassification", {}, "beit_base_patch16_224"),
    ("Data2VecVisionForImageClassification", {}, "beit_base_patch16_224"),
    ("Dinov2Model", {}, "vit_base_patch14_dinov2"),
    ("Dinov2WithRegistersModel", {}, "vit_base_patch14_reg4_dinov2"),
    ("DINOv3ViTModel", {}, "vit_base_patch16_dinov3"),
    ("DINOv3ConvNextModel", {}, "convnext_tiny.dinov3_lvd1689m"),
    ("SwinForImageClassification", {}, "swin_tiny_patch4_window7_224"),
    ("Swinv2ForImageClassification", {}, "swinv2_tiny_window8_256"),
    ("ConvNextForImageClassification", {}, "convnext_tiny"),
    ("ConvNextV2ForImageClassification", {}, "convnextv2_tiny"),
    ("ResNetForImageClassification", {}, "resnet50"),
    ("RegNetForImageClassification", {"depths": [2, 6, 12, 2]}, "regnety_040"),
    ("BitForImageClassification", {}, "resnetv2_50x1_bit"),
    ("MobileNetV1ForImageClassification", {}, "mobilenetv1_100"),
    ("MobileNetV2ForImageClassification", {}, "mobilenetv2_100"),
    (
        "EfficientNetForImageClassification",
        {"width_coefficient": 1.0, "depth_coefficient": 1.0},
        "efficientnet_b0",
    ),
    ("LevitForImageClassification", {}, "levit_128"),
    ("LevitForImageClassificationWithTeacher", {}, "levit_128"),
    ("MobileViTForImageClassification", {}, "mobilevit_s"),
    ("MobileViTV2ForImageClassification", {}, "mobilevitv2_100"),
    ("PoolFormerForImageClassification", {}, "poolformer_s12"),
    ("PvtV2ForImageClassification", {}, "pvt_v2_b0"),
    ("HGNetV2ForImageClassification", {}, "hgnetv2_b4"),
    ("FocalNetForImageClassification", {}, "focalnet_tiny_srf"),
    ("HieraForImageClassification", {}, "hiera_base_224"),
    ("SwiftFormerForImageClassification", {}, "swiftformer_xs"),
    ("CLIPVisionModelWithProjection", {}, "vit_base_patch32_clip_224"),
    ("SiglipVisionModel", {}, "vit_base_patch16_siglip_224"),
    ("TimmWrapperForImageClassification", {"architecture": "resnet50"}, "resnet50"),
]


@pytest.mark.parametrize("class_name", NAMES)
def test_names_are_those_of_the_common_vocabulary(class_name: str) -> None:
    assert short(on_meta(class_name)) == NAMES[class_name]


def test_a_stage_is_where_its_last_block_ends() -> None:
    """Swin's own stage module gives what its downsampling has made of that already."""
    model = on_meta("SwinForImageClassification")
    assert short(model, "stage") == "stem stages.{4} norm head"
    ends = [layer.path for layer in layers(model, "stage") if layer.kind == "block"]
    assert ends == [f"swin.encoder.layers.{i}.blocks.{depth - 1}" for i, depth in enumerate(model.config.depths)]


def test_a_network_without_stages_has_its_blocks_at_stage_granularity() -> None:
    model = on_meta("BertModel")
    assert layers(model, "stage") == layers(model, "block")


def test_leaf_modules_are_named_after_their_blocks() -> None:
    names = [layer.name for layer in layers(on_meta("BertModel"), "module")]
    assert "blocks.0.attention.self.query" in names
    assert "embed.word_embeddings" in names


def test_depth_rises_from_0_to_1_in_each_tower() -> None:
    found = layers(on_meta("CLIPModel"))
    for side in ("vision", "text"):
        depths = [layer.depth for layer in found if layer.name.startswith(side)]
        assert depths[0] == 0
        assert depths[-1] == 1
        assert depths == sorted(depths)


@pytest.mark.parametrize(("model_type", "name"), PATHS)
def test_hard_cases_are_found_where_they_are(model_type: str, name: str) -> None:
    if model_type not in all_types():
        pytest.skip("not in this version of transformers")
    paths = {layer.name: layer.path for layer in layers(build(model_type))}
    assert paths[name] == PATHS[model_type, name]


def test_a_final_norm_of_pre_norm_speech_models_comes_after_the_blocks() -> None:
    model = on_meta("Wav2Vec2Model", do_stable_layer_norm=True, feat_extract_norm="layer")
    assert short(model) == "embed blocks.{12} norm"
    assert layers(model)[-1].path == "encoder.layer_norm"


def test_distilled_heads_give_the_class_token_s() -> None:
    assert layers(on_meta("DeiTForImageClassificationWithTeacher"))[-1].path == "cls_classifier"


def test_a_base_model_inside_a_model_with_a_task_is_mapped_alike() -> None:
    base = [(x.name, x.path) for x in layers(on_meta("ViTModel"))]
    task = [(x.name, x.path) for x in layers(on_meta("ViTForImageClassification"))]
    assert [(name, f"vit.{path}") for name, path in base] == task[:-1]
    assert task[-1] == ("head", "classifier")


def test_a_model_without_blocks_says_so_and_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"cannot tell the blocks of GlmImageVQVAE.*granularity=\"module\""):
        layers(build("glm_image_vqmodel"))


def test_leaf_modules_of_a_model_without_blocks_are_listed() -> None:
    assert layers(build("glm_image_vqmodel"), "module")


@pytest.mark.parametrize(
    "class_name", [name for name in NAMES if name not in ("Blip2ForConditionalGeneration", "MaskFormerSwinModel")]
)
def test_layers_fire_in_order_and_stand_where_their_names_say(class_name: str) -> None:
    """The entry gives what enters the first block, the norm takes what leaves the last, the head gives the logits."""
    model = on_meta(class_name)
    found = layers(model)
    seen = evidence(model, found)
    assert seen.problems == []
    assert {x.path for x in found} <= seen.fired


@pytest.mark.parametrize(("class_name", "settings", "architecture"), ALIKE, ids=[case[0] for case in ALIKE])
def test_the_same_configuration_has_the_same_names_in_timm(class_name, settings, architecture) -> None:
    with torch.device("meta"):
        other = timm.create_model(architecture)
    model = on_meta(class_name, **settings)
    for granularity in ("stage", "block"):
        assert [x.name for x in layers(model, granularity)] == [x.name for x in layers(other, granularity)]


@pytest.mark.parametrize("kind", ["deberta-v2", "sew-d"])
def test_a_table_of_relative_positions_is_not_what_enters_the_blocks(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    if kind == "deberta-v2":  # as DeBERTa-v3 is configured
        config = transformers.DebertaV2Config(
            vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            relative_attention=True, norm_rel_ebd="layer_norm", position_buckets=8, pos_att_type=["p2c", "c2p"],
        )  # fmt: skip
        model, inputs = transformers.DebertaV2Model(config), {"input_ids": torch.arange(96).reshape(8, 12) % 50}
    else:
        config = transformers.SEWDConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(16, 16),
            conv_kernel=(4, 3), conv_stride=(2, 2), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        )  # fmt: skip
        model, inputs = transformers.SEWDModel(config), {"input_values": torch.randn(8, 800)}
    model.eval()
    embed = next(layer for layer in layers(model) if layer.name == "embed")
    seen: list[torch.Tensor] = []
    model.get_submodule(embed.path).register_forward_hook(lambda module, args, output: seen.append(output))
    model(**inputs)
    assert len(seen[0]) == 8
    assert not torch.equal(seen[0][0], seen[0][1])
