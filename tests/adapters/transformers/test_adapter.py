"""transformers' models behind the common interface."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

import cka_plugin as cka
from cka_plugin.adapters import adapter_of
from cka_plugin.adapters.transformers.adapter import TransformersAdapter
from tests.support import reference
from tests.support.transformers_layers import on_meta


def test_the_adapter_owns_models_and_says_how_it_mapped_them() -> None:
    model = on_meta("BertModel")
    assert isinstance(adapter_of(model), TransformersAdapter)
    assert not TransformersAdapter().owns(nn.Linear(2, 2))
    assert TransformersAdapter().describe(model) == "BertModel of transformers: 12 blocks in encoder.layer (recorded)"


@pytest.mark.parametrize(("n", "tokens"), [(64, 12), (32, 32)])
def test_a_model_whose_blocks_hold_the_tokens_first_is_read_by_example(n: int, tokens: int) -> None:
    torch.manual_seed(0)
    model = hf.XLNetModel(hf.XLNetConfig(vocab_size=100, d_model=32, n_layer=2, n_head=2, d_inner=64)).eval()
    ids = torch.randint(5, 100, (n, tokens))
    comparison = cka.compare({"a": model}, data={"input_ids": ids}, batch_size=n, pooling="mean", progress=False)
    paths = [layer.path for layer in comparison["a"].layers]
    tokens_first = reference.activations(model, paths, [ids])
    rows = [[tokens_first[path][0].mean(0)] for path in paths]
    expected = [[reference.minibatch_cka(x, y) for y in rows] for x in rows]
    np.testing.assert_allclose(comparison.matrix("a"), expected, atol=1e-6)
