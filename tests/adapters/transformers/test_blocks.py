"""Which modules of a Hugging Face model are its blocks."""

from __future__ import annotations

import pytest

from cka_plugin.adapters import layers
from tests.support.transformers_layers import (
    on_meta,
)


def _of_hidden_states(hook: object) -> bool:
    cells = getattr(hook, "__closure__", None) or ()
    return any(cell.cell_contents == "hidden_states" for cell in cells)


def test_blocks_are_the_modules_that_transformers_records() -> None:
    """The hooks that transformers itself installs for `output_hidden_states` are on the blocks, and nowhere else."""
    capturing = pytest.importorskip("transformers.utils.output_capturing")
    for class_name in ("BertModel", "LlamaForCausalLM", "T5ForConditionalGeneration", "CLIPModel"):
        model = on_meta(class_name)
        before = {path for path, module in model.named_modules() if module._forward_hooks}
        capturing.install_all_output_capturing_hooks(model)
        new = {p: m for p, m in model.named_modules() if p not in before}
        hooked = [p for p, m in new.items() if any(map(_of_hidden_states, m._forward_hooks.values()))]
        assert sorted(hooked) == sorted(x.path for x in layers(model) if x.kind == "block")
