"""transformers' models behind the common interface."""

from __future__ import annotations

from torch import nn

from cka_plugin.adapters import adapter_of
from cka_plugin.adapters.transformers.adapter import TransformersAdapter
from tests.support.transformers_layers import (
    on_meta,
)


def test_the_adapter_owns_models_and_says_how_it_mapped_them() -> None:
    model = on_meta("BertModel")
    assert isinstance(adapter_of(model), TransformersAdapter)
    assert not TransformersAdapter().owns(nn.Linear(2, 2))
    assert TransformersAdapter().describe(model) == "BertModel of transformers: 12 blocks in encoder.layer (recorded)"
