"""From sequences of tokens to one row an example: the mean without the first token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.capture.pooling import pool
from tests.support.small_transformers import WORDS, built, gpt2, word_tokenizer

PADDED = {
    "right": ([[1, 1, 1, 0], [1, 1, 1, 1]], [[1, 2], [1, 2, 3]]),
    "left": ([[0, 1, 1, 1], [1, 1, 1, 1]], [[2, 3], [1, 2, 3]]),
    "both": ([[0, 1, 1, 0], [0, 1, 1, 1]], [[2], [2, 3]]),
}


@pytest.mark.parametrize("side", list(PADDED))
def test_the_mean_after_the_first_leaves_out_padding_and_the_first_token_that_is_none(side: str) -> None:
    mask, kept = PADDED[side]
    x = torch.randn(2, 4, 3)
    right = torch.stack([row[places].mean(0) for row, places in zip(x, kept, strict=True)])
    padded = x.masked_fill(torch.tensor(mask)[..., None] == 0, float("nan"))
    torch.testing.assert_close(pool(padded, "mean_after_first", torch.tensor(mask)), right)


@pytest.mark.parametrize("channels", [1, 2])
def test_without_a_mask_the_first_of_all_places_is_left_out(channels: int) -> None:
    x = torch.randn(5, 4, 6)
    right = x[:, :, 1:].mean(2) if channels == 1 else x[:, 1:].mean(1)
    torch.testing.assert_close(pool(x, "mean_after_first", None, [channels]), right)


def test_a_text_of_one_token_has_no_mean_after_the_first() -> None:
    x = torch.randn(2, 3, 4)
    with pytest.raises(ValueError, match="leaves nothing of an example of one token"):
        pool(x, "mean_after_first", torch.tensor([[1, 0, 0], [1, 1, 0]]))
    with pytest.raises(ValueError, match="leaves nothing of an example of one token"):
        pool(x[:, :1], "mean_after_first", None, [2])


@torch.inference_mode()
def test_a_language_model_without_its_first_token_whatever_the_padding() -> None:
    model, tokenizer = built(gpt2()), word_tokenizer(frame=False)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size)) for size in rng.integers(2, 9, 40)]
    options = {"batch_size": 8, "progress": False}
    ours = cka.represent({"gpt2": model}, texts, transforms=tokenizer, pooling="mean_after_first", **options)
    alone = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in texts]
    for first, alike in ((1, True), (0, False)):
        rows = torch.stack([hidden[first:].mean(0) for hidden in alone])
        turned = nn.Sequential(nn.Linear(16, 16, bias=False))
        nn.init.orthogonal_(turned[0].weight)  # which CKA does not see
        right = cka.represent({"by hand": turned}, rows, granularity="module", **options)
        found = cka.compare(ours, right, match="ids", progress=False).matrix("gpt2", "by hand")
        assert (abs(found[-1, 0] - 1) < 1e-5) == alike
