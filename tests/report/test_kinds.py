"""One door to all kinds of pictures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cka_plugin as cka


@pytest.fixture(scope="module")
def found() -> cka.Comparison:
    nets = {name: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)) for name in "abc"}
    return cka.compare(nets, data=torch.randn(60, 4), granularity="module", progress=False)


def test_an_unknown_kind_is_an_error_that_lists_those_there_are(found: cka.Comparison) -> None:
    with pytest.raises(ValueError, match=r"no kind of picture is called 'heat': there are heatmap, grid"):
        found.plot("heat", "a", "b")


def test_the_models_of_a_pair_are_named_with_or_without_a_kind(found: cka.Comparison) -> None:
    for figure in (
        found.plot("heatmap", "a", "b"),
        found.plot("a", "b"),
        found.plot("a", b="b"),
        found.plot(a="a", b="b"),
    ):
        assert [figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()] == ["a", "b"]
    assert found.plot("a").axes[0].get_xlabel() == "a"
    assert len([axes for axes in found.plot().axes if axes.images]) == 6


def test_a_grid_is_of_all_models(found: cka.Comparison) -> None:
    with pytest.raises(ValueError, match="'grid' is a picture of all models"):
        found.plot("grid", "a")


def test_the_title_says_which_cka_unless_another_is_given(found: cka.Comparison) -> None:
    assert found.plot("a", "b").get_suptitle() == "linear CKA, unbiased; 60 examples in minibatches of 60"
    assert found.plot("a", "b", title="").get_suptitle() == ""


def test_the_colour_bar_says_which_measure(found: cka.Comparison) -> None:
    figure = found.plot("heatmap", "a", "b", measure="rsa")
    assert figure.axes[1].get_ylabel() == "rsa"
    assert figure.axes[0].images[0].get_array().tolist() == found.matrix("a", "b", "rsa").tolist()
