"""Images and sounds beside texts, or among their tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

from cka_plugin.adapters.transformers.inputs import forward, mask, preparation
from tests.support.small_transformers import (
    SMALL,
    TEXTS,
    VOCABULARY,
    averaged,
    block,
    built,
    clip_config,
    photos,
    saved,
    word_tokenizer,
)


def test_pairs_drive_both_towers() -> None:
    model = built(clip_config())
    prepared = preparation(model, word_tokenizer())
    assert prepared.kinds == ("image", "text")
    inputs = prepared.collate(list(zip(photos(), TEXTS, strict=True)))
    with torch.inference_mode():
        assert forward(model, inputs).logits_per_image.shape == (2, 2)
    assert torch.equal(mask(model, block(model, "text_model"), inputs, 15), inputs["attention_mask"])
    assert mask(model, block(model, "vision_model"), inputs, 17) is None


def test_one_kind_alone_drives_its_tower_alone() -> None:
    model = built(clip_config())
    prepared = preparation(model, word_tokenizer())
    fired: list[str] = []
    for name in ("text_model", "vision_model"):
        model.get_submodule(name).encoder.register_forward_hook(lambda m, a, o, name=name: fired.append(name))
    with torch.inference_mode():
        forward(model, prepared.collate(photos()))
        forward(model, prepared.collate(TEXTS))
    assert fired == ["vision_model", "text_model"]


def test_without_tokenizer_images_still_work() -> None:
    assert preparation(built(clip_config())).kinds == ("image",)


def test_a_pair_short_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes tuples of \(image, text\); given one of 1"):
        preparation(built(clip_config()), word_tokenizer()).collate([(photos(1)[0],)])


CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def llava(tokenizer: hf.PreTrainedTokenizerFast) -> nn.Module:
    place = tokenizer.convert_tokens_to_ids("<image>")
    text = SMALL | {"model_type": "llama", "vocab_size": len(tokenizer), "num_key_value_heads": 2}
    vision = SMALL | {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8}
    return built(
        hf.LlavaConfig(text_config=text, vision_config=vision, image_token_id=place, image_token_index=place),
        hf.LlavaForConditionalGeneration,
    )


@pytest.fixture
def tokenizer() -> hf.PreTrainedTokenizerFast:
    tokenizer = word_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return tokenizer


@pytest.mark.parametrize("template", [None, CHAT])
def test_the_processor_makes_room_for_the_patches(
    tokenizer: hf.PreTrainedTokenizerFast, template: str | None, tmp_path: Path
) -> None:
    images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    own = hf.LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    model = saved(llava(tokenizer), tmp_path, own)
    prepared = preparation(model)
    pairs = list(zip(photos(), TEXTS, strict=True))
    inputs = prepared.collate(pairs)
    assert (inputs["input_ids"] == model.config.image_token_id).sum(1).tolist() == [16, 16]
    language = block(model, "model.language_model")
    rows = averaged(model, inputs, language)
    torch.testing.assert_close(rows[:1], averaged(model, prepared.collate(pairs[:1]), language), atol=1e-6, rtol=0)
    assert mask(model, block(model, "model.vision_tower"), inputs, 17) is None


def test_without_its_processor_each_kind_alone_still_works(tokenizer: hf.PreTrainedTokenizerFast) -> None:
    model = llava(tokenizer)
    prepared = preparation(model, tokenizer)
    with torch.inference_mode():
        assert forward(model, prepared.collate(TEXTS)).logits.shape[:2] == (2, 15)
        forward(model, prepared.collate(photos()))
    with pytest.raises(ValueError, match=r"puts image among its tokens.*transforms="):
        prepared.collate(list(zip(photos(), TEXTS, strict=True)))


def test_images_that_a_model_packs_into_one_sequence_all_get_one_size() -> None:
    vision = {"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    text = SMALL | {"vocab_size": VOCABULARY, "num_key_value_heads": 2}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    model = built(hf.Qwen2VLConfig(vision_config=vision, text_config=text))
    prepared = preparation(model)
    assert prepared.kinds == ("image",)
    grid = prepared.collate([Image.new("RGB", (50, 40)), Image.new("RGB", (20, 90))])["image_grid_thw"]
    assert grid.tolist() == [[1, 32, 32], [1, 32, 32]]
