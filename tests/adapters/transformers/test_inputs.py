"""Which kinds of raw example a Hugging Face model takes."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from torch import nn

from cka_plugin.adapters.transformers.inputs import input_kinds, preparation
from tests.support.small_transformers import (
    bert,
    built,
)


def test_a_model_of_time_series_says_that_it_wants_tensors() -> None:
    model = built(hf.PatchTSTConfig(d_model=16, num_attention_heads=2, num_hidden_layers=1))
    assert input_kinds(model) == ("tensor",)
    with pytest.raises(ValueError, match=r"PatchTSTModel takes no images, texts or audio.*past_values"):
        preparation(model)


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (hf.BertConfig, ("text",)),
        (hf.T5Config, ("text",)),
        (hf.ResNetConfig, ("image",)),
        (hf.DetrConfig, ("image",)),
        (hf.ImageGPTConfig, ("image",)),
        (hf.Wav2Vec2Config, ("audio",)),
        (hf.WhisperConfig, ("audio",)),
        (hf.ClapConfig, ("audio", "text")),
        (hf.SiglipConfig, ("image", "text")),
        (hf.LlavaConfig, ("image", "text")),
        (hf.VideoMAEConfig, ("video",)),
        (hf.DecisionTransformerConfig, ("tensor",)),
        (hf.LxmertConfig, ("tensor",)),
        (hf.SegGptConfig, ("tensor",)),
    ],
)
def test_kinds_are_read_off_the_class(config: type, kinds: tuple[str, ...]) -> None:
    with torch.device("meta"):
        assert input_kinds(hf.AutoModel.from_config(config())) == kinds


def test_what_a_model_needs_besides_is_named() -> None:
    with torch.device("meta"):
        model = hf.AutoModel.from_config(hf.SegGptConfig())
    with pytest.raises(ValueError, match=r"SegGptModel takes prompt_pixel_values: .*give tensors"):
        preparation(model)


def test_a_wrapped_model_is_looked_through() -> None:
    assert input_kinds(nn.DataParallel(built(bert()))) == ("text",)
