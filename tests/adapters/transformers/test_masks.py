"""Which positions of a hidden sequence count."""

from __future__ import annotations

import torch
import transformers as hf
from PIL import Image

from cka_plugin.adapters.transformers.inputs import mask, preparation
from tests.support.small_transformers import (
    SHORT,
    SMALL,
    TEXTS,
    VOCABULARY,
    averaged,
    bert,
    block,
    built,
    word_tokenizer,
)


def test_windows_of_attention_fill_up_on_the_right() -> None:
    config = hf.LongformerConfig(vocab_size=VOCABULARY, attention_window=8, pad_token_id=0, **SMALL)
    model = built(config)
    prepared = preparation(model, word_tokenizer())
    rows = averaged(model, prepared.collate(TEXTS))
    torch.testing.assert_close(rows[:1], averaged(model, prepared.collate([SHORT])), atol=1e-5, rtol=0)


def test_text_and_patches_in_one_sequence_count_each_by_its_mask() -> None:
    model = built(hf.ViltConfig(vocab_size=VOCABULARY, image_size=64, patch_size=16, max_image_length=-1, **SMALL))
    images = [Image.new("RGB", (64, 64), (200, 9, 9)), Image.new("RGB", (128, 64), (9, 99, 9))]
    prepared = preparation(model, word_tokenizer())
    pairs = list(zip(images, TEXTS, strict=True))
    rows = averaged(model, prepared.collate(pairs))
    torch.testing.assert_close(rows[:1], averaged(model, prepared.collate(pairs[:1])), atol=1e-5, rtol=0)


def test_ids_without_mask_count_throughout() -> None:
    ids = torch.ones(2, 7, dtype=torch.long)
    model = built(bert())
    assert torch.equal(mask(model, block(model), {"input_ids": ids}, 7), torch.ones(2, 7, dtype=torch.long))
    assert torch.equal(mask(model, block(model), ids, 7), torch.ones(2, 7, dtype=torch.long))


def test_another_length_is_no_sequence_of_these_tokens() -> None:
    model = built(bert())
    assert mask(model, block(model), {"input_ids": torch.ones(2, 7, dtype=torch.long)}, 5) is None
