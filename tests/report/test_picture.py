"""Pictures show themselves in a notebook, where nobody has imported pyplot."""

from __future__ import annotations

import numpy as np
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


def test_files_have_fonts_that_publishers_take_300_dots_an_inch_and_the_same_bytes_each_time(tmp_path) -> None:
    from PIL import Image

    from cka_plugin.report.plots.frame import Frame
    from cka_plugin.report.plots.heatmap import heatmap

    for name in ("a", "b"):
        figure = heatmap(np.eye(3), names=("one", "other"), frame=Frame(width="column"))
        for suffix in ("png", "svg", "pdf"):
            figure.savefig(tmp_path / f"{name}.{suffix}")
    assert Image.open(tmp_path / "a.png").width == 975
    assert b"/Type3" not in (tmp_path / "a.pdf").read_bytes()
    for suffix in ("png", "svg", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_letters_that_no_font_has_are_said_once(tmp_path) -> None:
    from cka_plugin.report.plots.heatmap import heatmap

    with pytest.warns(cka.CKAWarning, match="no installed font has \U0001354d: they are drawn as boxes") as said:
        heatmap(np.eye(3), names=("\U0001354d", "\U0001354d \U0001354d")).savefig(tmp_path / "a.png")
    assert len(said) == 1
