"""Folders that PEFT saved: the base model with what was learned beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

import cka_plugin as cka
from cka_plugin.adapters.registry import layers, load_model, unwrap
from tests.support.small_transformers import SMALL, VOCABULARY, WORDS, bert, built, word_tokenizer

peft = pytest.importorskip("peft")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    model = built(bert(num_labels=3), hf.BertForSequenceClassification)
    model.bert.save_pretrained(tmp_path / "base")
    word_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def tuned(base: Path, **config: object) -> Path:
    """A folder with LoRA weights that are not zero, beside the base."""
    model = hf.BertForSequenceClassification.from_pretrained(base, num_labels=3)
    lora = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["value"], r=2, init_lora_weights=False, **config)
    peft.get_peft_model(model, lora).save_pretrained(base.parent / "tuned")
    return base.parent / "tuned"


def test_a_peft_folder_is_its_base_with_what_was_learned(base: Path) -> None:
    folder = tuned(base)
    model = load_model(str(folder), num_labels=3)
    saved = peft.AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    ids = torch.arange(4, 12)[None]
    with torch.inference_mode():
        assert torch.equal(model.eval()(input_ids=ids).logits, saved(input_ids=ids).logits)
    assert [layer.name for layer in layers(model)] == ["embed", "blocks.0", "blocks.1", "head"]


def test_its_texts_are_prepared_by_the_tokenizer_of_its_base(base: Path) -> None:
    folder = tuned(base)
    texts = [" ".join(WORDS[i : i + 2 + i % 3]) for i in range(8)]
    made = cka.represent(str(folder), texts, batch_size=4, model_kwargs={"num_labels": 3}, progress=False)
    plain = cka.represent(str(base), texts, batch_size=4, progress=False)
    values = cka.compare(made, plain, progress=False).matrix("tuned", "base")
    assert np.isclose(values[0, 0], 1, atol=1e-6)  # the embedding is the base's
    assert values[1, 1] < 0.9999  # the blocks are not


def test_the_base_is_looked_for_beside_the_folder_too(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tuned(base)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": "../base"}))
    assert type(unwrap(load_model(str(folder), num_labels=3))[0]).__name__ == "BertForSequenceClassification"


def test_untrained_it_is_the_bare_architecture(base: Path) -> None:
    folder = tuned(base)
    trained, bare = (load_model(str(folder), pretrained=p, num_labels=3).state_dict() for p in (True, False))
    learned = [name for name in trained if "value" in name and "weight" in name]
    assert len(learned) == 6
    assert not [name for name in learned if torch.equal(trained[name], bare[name])]


def test_a_base_that_is_not_named_is_an_error(base: Path) -> None:
    folder = tuned(base)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(ValueError, match="does not name the base model"):
        load_model(str(folder))


def test_an_adapter_that_does_not_fit_its_base_is_an_error(base: Path, tmp_path: Path) -> None:
    folder = tuned(base)
    wider = SMALL | {"hidden_size": 32}
    built(hf.BertConfig(vocab_size=VOCABULARY, **wider)).save_pretrained(base)
    with pytest.raises(ValueError, match="does not fit its base model"):
        load_model(str(folder), num_labels=3)


def test_without_peft_it_is_said_what_to_install(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tuned(base)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RuntimeError, match="pip install peft"):
        load_model(str(folder))
