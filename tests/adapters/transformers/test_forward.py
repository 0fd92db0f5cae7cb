"""How a model is run: on which arguments, with which decoder inputs, and which logits it gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import transformers as hf
from torch import nn

from cka_plugin.adapters.base import Layer
from cka_plugin.adapters.transformers.inputs import forward, logits, mask, preparation
from tests.support.small_transformers import (
    LONG,
    SHORT,
    SMALL,
    TEXTS,
    VOCABULARY,
    averaged,
    bart,
    bert,
    block,
    built,
    clip_config,
    gpt2,
    photos,
    t5,
    wav2vec2,
    word_tokenizer,
)


@pytest.mark.parametrize("model", [t5, bart, lambda: bart("MBart"), lambda: bart("Pegasus")])
def test_encoder_and_decoder_average_over_the_same_tokens(model: Callable[[], nn.Module]) -> None:
    model = model()
    prepared = preparation(model, word_tokenizer())
    for part in ("encoder", "decoder"):
        together = averaged(model, prepared.collate(TEXTS), block(model, part))
        alone = averaged(model, prepared.collate([SHORT]), block(model, part))
        torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)


def test_the_decoder_gets_what_it_is_trained_with() -> None:
    """Labels make the model shift them by itself: the decoder then returns the same."""
    model = built(t5().config, hf.T5ForConditionalGeneration)
    inputs = preparation(model, word_tokenizer()).collate([LONG])
    with torch.inference_mode():
        own = model(**inputs, labels=inputs["input_ids"]).logits
        assert torch.equal(forward(model, inputs).logits, own)


def test_mbart_wraps_the_language_token_around_as_it_does_itself() -> None:
    model = bart("MBart")
    inputs = preparation(model, word_tokenizer()).collate(TEXTS)
    with torch.inference_mode():
        own = model(**inputs).last_hidden_state
        ours = forward(model, inputs).last_hidden_state
    torch.testing.assert_close(ours[inputs["attention_mask"] == 1], own[inputs["attention_mask"] == 1])


def test_decoder_inputs_that_are_given_are_used_and_masked_by_their_own_mask() -> None:
    model = t5()
    inputs = dict(preparation(model, word_tokenizer()).collate(TEXTS))
    inputs["decoder_input_ids"] = torch.tensor([[0, 4, 5, 6], [0, 7, 0, 0]])
    inputs["decoder_attention_mask"] = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.inference_mode():
        expected = model(**inputs).last_hidden_state
        assert torch.equal(forward(model, inputs).last_hidden_state, expected)
    assert torch.equal(mask(model, block(model, "decoder"), inputs, 4), inputs["decoder_attention_mask"])
    assert torch.equal(mask(model, block(model, "encoder"), inputs, 15), inputs["attention_mask"])


def test_an_image_captioner_decodes_its_start_token() -> None:
    vision = hf.ViTConfig(image_size=32, patch_size=8, **SMALL)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, gpt2(bos_token_id=1))
    model = hf.VisionEncoderDecoderModel(config).eval()
    prepared = preparation(model)
    inputs = prepared.collate(photos())
    with torch.inference_mode():
        assert forward(model, inputs).logits.shape == (2, 1, VOCABULARY)
    decoder = next(n for n, m in model.named_modules() if n.startswith("decoder") and n.endswith("h.1"))
    assert mask(model, Layer("decoder.blocks.1", decoder, "block", 1), inputs, 1).tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("kind", "more", "classes"),
    [
        (hf.BertForSequenceClassification, {"num_labels": 3}, 3),
        (hf.BertForSequenceClassification, {"num_labels": 3, "problem_type": "multi_label_classification"}, None),
        (hf.BertForSequenceClassification, {"num_labels": 3, "problem_type": "regression"}, None),
        (hf.BertForSequenceClassification, {"num_labels": 1}, None),
        (hf.BertForTokenClassification, {"num_labels": 3}, None),
        (hf.BertForQuestionAnswering, {}, None),
        (hf.BertForMaskedLM, {}, None),
        (hf.BertModel, {}, None),
    ],
)
def test_only_classifiers_of_whole_texts_have_logits(kind: type, more: dict, classes: int | None) -> None:
    model = built(bert(**more), kind)
    with torch.inference_mode():
        found = logits(model, forward(model, {"input_ids": torch.ones(2, 5, dtype=torch.long)}))
    assert (None if found is None else found.shape[1]) == classes


def test_classifiers_of_images_and_sounds_have_logits() -> None:
    vit = built(hf.ViTConfig(image_size=32, patch_size=8, num_labels=4, **SMALL), hf.ViTForImageClassification)
    heard = built(wav2vec2("layer"), hf.Wav2Vec2ForSequenceClassification)
    with torch.inference_mode():
        assert logits(vit, forward(vit, torch.zeros(2, 3, 32, 32))).shape == (2, 4)
        assert logits(heard, forward(heard, torch.zeros(2, 1600))).shape == (2, 2)


@pytest.mark.parametrize("pad", [True, False])
def test_a_decoder_classifies_a_short_text_alike_alone_and_padded(pad: bool) -> None:
    model = built(gpt2(num_labels=3), hf.GPT2ForSequenceClassification)
    assert model.config.pad_token_id is None
    prepared = preparation(model, word_tokenizer(pad=pad, frame=False))
    with torch.inference_mode():
        together = logits(model, forward(model, prepared.collate(TEXTS)))
        alone = logits(model, forward(model, prepared.collate([SHORT])))
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)
    assert model.config.pad_token_id is None


def test_labels_and_unknown_keys_do_not_reach_the_model() -> None:
    model = built(bert(num_labels=3), hf.BertForSequenceClassification)
    inputs = preparation(model, word_tokenizer()).collate(TEXTS)
    with torch.inference_mode():
        plain = forward(model, inputs)
        more = forward(model, inputs | {"labels": torch.tensor([0, 99]), "label": [1, 2], "idx": torch.arange(2)})
    assert more.loss is None
    assert torch.equal(plain.logits, more.logits)
    assert logits(model, more).shape == (2, 3)


def test_inputs_of_no_known_name_are_refused() -> None:
    with pytest.raises(TypeError, match=r"BertModel takes .*input_ids.* given only tokens"):
        forward(built(bert()), {"tokens": torch.ones(2, 3)})


def test_a_decoder_keeps_no_cache() -> None:
    model = built(gpt2())
    with torch.inference_mode():
        assert forward(model, {"input_ids": torch.ones(2, 3, dtype=torch.long)}).past_key_values is None


def test_bare_tensors_go_to_the_argument_of_their_kind() -> None:
    model = built(clip_config())
    ids, pixels = torch.ones(2, 5, dtype=torch.long), torch.zeros(2, 3, 32, 32)
    with torch.inference_mode():
        both = forward(model, (pixels, ids)).logits_per_image
        named = forward(model, {"pixel_values": pixels, "input_ids": ids}).logits_per_image
    assert torch.equal(both, named)


def test_raw_images_come_in_the_precision_of_the_model() -> None:
    model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL)).to(torch.bfloat16)
    prepared = preparation(model)
    assert prepared.collate(photos()).dtype == torch.bfloat16
    assert prepared.key != preparation(model.float()).key
