"""Raw sounds to waveforms and spectrograms, and the frames that hold sound."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf

from cka_plugin.adapters.base import Layer
from cka_plugin.adapters.transformers.inputs import forward, mask, preparation
from tests.support.small_transformers import (
    VOCABULARY,
    averaged,
    block,
    built,
    frames_left,
    sounds,
    wav2vec2,
)


def test_a_short_sound_has_the_same_average_alone_and_beside_a_long_one() -> None:
    model = built(wav2vec2("layer"))
    extractor = hf.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    prepared = preparation(model, extractor)
    short, long = sounds(800, 1600)
    both = prepared.collate([short, long])
    assert mask(model, block(model, "encoder"), both, frames_left(1600)).sum(1).tolist() == [
        frames_left(800),
        frames_left(1600),
    ]
    rows = averaged(model, both, block(model, "encoder"))
    torch.testing.assert_close(
        rows[:1], averaged(model, prepared.collate([short]), block(model, "encoder")), atol=1e-5, rtol=0
    )


def test_a_model_trained_without_mask_runs_without_and_is_averaged_with_it() -> None:
    model = built(wav2vec2("group"))
    prepared = preparation(model)  # the type's own extractor says that the model takes no mask
    inputs = prepared.collate(sounds(800, 1600))
    assert "attention_mask" not in inputs
    with torch.inference_mode():
        expected = model(inputs["input_values"]).last_hidden_state
        assert torch.equal(forward(model, inputs).last_hidden_state, expected)
    assert mask(model, block(model, "encoder"), inputs, frames_left(1600)).sum(1).tolist() == [
        frames_left(800),
        frames_left(1600),
    ]


def test_samples_without_mask_count_throughout() -> None:
    model = built(wav2vec2("layer"))
    assert mask(model, block(model, "encoder"), {"input_values": torch.zeros(2, 1600)}, frames_left(1600)).all()


def test_maps_of_the_front_end_are_no_sequence_of_frames() -> None:
    model = built(wav2vec2("layer"))
    inputs = preparation(model).collate(sounds(800, 1600))
    assert mask(model, Layer("stem", "feature_extractor.conv_layers.0", "stem", 0), inputs, 16) is None


def test_whisper_counts_the_frames_that_hold_sound_and_starts_its_decoder() -> None:
    sizes = {"d_model": 16, "vocab_size": VOCABULARY, "num_mel_bins": 16, "max_source_positions": 1500}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 24}
    tokens = {"decoder_start_token_id": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    model = built(hf.WhisperConfig(**sizes, **tokens, suppress_tokens=None, begin_suppress_tokens=None))
    prepared = preparation(model)
    assert "16000 Hz" in prepared.description
    inputs = prepared.collate(sounds(1600, 3200))
    with torch.inference_mode():
        assert forward(model, inputs).last_hidden_state.shape == (2, 1, 16)
    assert mask(model, block(model, "encoder"), inputs, 1500).sum(1).tolist() == [5, 10]  # 20 ms each
    assert mask(model, block(model, "decoder"), inputs, 1).tolist() == [[1], [1]]


def test_a_sound_of_another_rate_is_refused() -> None:
    prepared = preparation(built(wav2vec2("layer")))
    with pytest.raises(ValueError, match="a sound of 8000 Hz: this model takes 16000 Hz"):
        prepared.collate([{"array": sounds(800)[0], "sampling_rate": 8000}])
    with pytest.raises(TypeError, match="1-d float array"):
        prepared.collate([np.zeros((2, 800), dtype=np.float32)])
