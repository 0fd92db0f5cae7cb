"""Pictures show themselves in a notebook, where nobody has imported pyplot."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cka_plugin as cka

pytest.importorskip("matplotlib")


def test_a_plot_is_what_a_notebook_displays() -> None:
    nets = {name: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)) for name in "abc"}
    found = cka.compare(nets, data=torch.randn(40, 4), progress=False)
    for figure in (found.plot("a", "b"), found.plot()):
        assert figure._repr_png_().startswith(b"\x89PNG")  # IPython's protocol


def test_own_modules_go_by_their_paths_and_models_of_frameworks_by_common_names() -> None:
    own = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    found = cka.compare({"own": own}, data=torch.randn(40, 4), granularity="module", progress=False)
    assert found["own"].layer_names[-1] == "head"
    labels = [label.get_text() for label in found.plot().axes[0].get_xticklabels()]
    assert labels == ["0", "1", "2"]
    known = cka.represent("sample:narrow", "sample:digits", max_examples=32, progress=False)
    assert [layer.name for layer in known.shown_layers] == known.layer_names
