"""One door to all kinds of pictures."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import cka_plugin as cka
from cka_plugin.report import plots
from cka_plugin.report.kinds.door import KINDS
from tests.support.pictures import all_axes, faults

SEVERAL_PANELS = ("grid", "blocks", "dominant")
ARGUMENTS = {"one": ("narrow",), "two": ("narrow", "vit"), "all": ()}
CHEAPER = {"depth": {"draws": 19}, "examples": {"draws": 3}, "dominant": {"most": 4}}
ONE_PANEL = {"summary": {"y": "dimension"}}


@pytest.fixture(scope="module")
def found() -> cka.Comparison:
    nets = {name: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)) for name in "abc"}
    return cka.compare(nets, data=torch.randn(60, 4), granularity="module", progress=False)


@pytest.fixture(scope="module")
def sample() -> cka.Comparison:
    options = {"data": "sample:digits", "max_examples": 160, "batch_size": 16, "progress": False}
    return cka.compare("sample:narrow", "sample:wide", "sample:vit", **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_of_real_models_and_none_of_its_texts_touch(sample: cka.Comparison, kind: str) -> None:
    figure = sample.plot(kind, *ARGUMENTS[KINDS[kind].of], **CHEAPER.get(kind, {}))
    assert any(axes.has_data() for axes in all_axes(figure))
    assert faults(figure) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_one_panel_is_drawn_into_axes_of_ones_own(sample: cka.Comparison, kind: str) -> None:
    own = Figure(figsize=(8, 4), layout="constrained")
    left, right = own.subplots(1, 2)
    options = {"ax": right, "title": "mine", **CHEAPER.get(kind, {}), **ONE_PANEL.get(kind, {})}
    if kind in SEVERAL_PANELS:
        with pytest.raises(ValueError, match=f"'{kind}' has several panels"):
            sample.plot(kind, *ARGUMENTS[KINDS[kind].of], **options)
        return
    assert sample.plot(kind, *ARGUMENTS[KINDS[kind].of], **options) is own
    assert right.has_data()
    assert not left.has_data()
    assert "mine" in right.get_title() + right.get_title(loc="left")


@pytest.mark.parametrize("kind", [*KINDS, "check", "training"])
def test_every_kind_has_a_function_of_its_name_whose_docstring_has_an_example(kind: str) -> None:
    modules = [import_module(f"{plots.__name__}.{info.name}") for info in pkgutil.iter_modules(plots.__path__)]
    (function,) = {getattr(module, kind) for module in modules if inspect.isfunction(getattr(module, kind, None))}
    assert "Example:\n        >>> " in function.__doc__
    assert list(inspect.signature(function).parameters)[-1] == "frame"


def test_an_unknown_kind_is_an_error_that_lists_those_there_are(found: cka.Comparison) -> None:
    with pytest.raises(ValueError, match=r"no kind of picture is called 'heat': there are heatmap, grid"):
        found.plot("heat", "a", "b")


def test_the_models_of_a_pair_are_named_with_or_without_a_kind(found: cka.Comparison) -> None:
    for given, named in (
        (("heatmap", "a", "b"), {}),
        (("a", "b"), {}),
        (("a",), {"b": "b"}),
        ((), {"a": "a", "b": "b"}),
    ):
        axes = found.plot(*given, **named).axes[0]
        assert [axes.get_ylabel(), axes.get_xlabel()] == ["a", "b"]
    assert found.plot("a").axes[0].get_xlabel() == "a"
    assert len([axes for axes in found.plot().axes if axes.images]) == 6


def test_what_a_kind_is_of_is_said_where_other_models_are_named(found: cka.Comparison) -> None:
    with pytest.raises(ValueError, match="'grid' is a picture of all models"):
        found.plot("grid", "a")
    with pytest.raises(ValueError, match="'blocks' is a picture of one model: say which, of a, b, c"):
        found.plot("blocks")
    with pytest.raises(ValueError, match="'blocks' is a picture of one model: given 'a' and 'b'"):
        found.plot("blocks", "a", "b")
    with pytest.raises(ValueError, match="'depth' is a picture of two models: given 'a' alone"):
        found.plot("depth", "a")


def test_the_title_says_which_cka_unless_another_is_given(found: cka.Comparison) -> None:
    assert found.plot("a", "b").get_suptitle() == found.setting
    assert found.setting == "linear CKA, unbiased; 60 examples in minibatches of 60"
    assert found.plot("a", "b", title="").get_suptitle() == ""


def test_the_colour_bar_says_which_measure(found: cka.Comparison) -> None:
    figure = found.plot("heatmap", "a", "b", measure="rsa")
    assert figure.axes[1].get_ylabel() == "rsa"
    assert figure.axes[0].images[0].get_array().tolist() == found.matrix("a", "b", "rsa").tolist()


def test_levels_stand_beside_the_curves_where_they_are_known_and_only_beside_the_unbiased_cka() -> None:
    nets = {name: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)) for name in "ab"}
    x, y = torch.randn(160, 4), torch.arange(160) % 2
    options = {"data": x, "labels": y, "batch_size": 16, "granularity": "module", "progress": False}
    levels = cka.compare(nets, levels=True, **options)
    axes = levels.plot("depth", "a", "b", draws=19).axes[0]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    rows = levels.levels("a", "b", draws=19).layers
    assert drawn["untrained copies"] == [row.untrained for row in rows]
    assert drawn["input"] == [row.input for row in rows]
    assert drawn["labels"] == [row.labels for row in rows]
    biased = cka.compare(nets, estimator="biased", **options)
    legend = biased.plot("depth", "a", "b").axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["best match in b", "b at equal depth"]
    with pytest.raises(ValueError, match="levels are of the unbiased CKA"):
        biased.plot("depth", "a", "b", levels=True)


def test_examples_are_shown_by_their_pictures_where_the_data_are_at_hand(sample: cka.Comparison) -> None:
    figure = sample.plot("dominant", "narrow", most=3)
    assert all(axes.images for axes in figure.axes)
    texts = [f"one and {'more ' * i}" for i in range(40)]
    tokens = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    made = {"net": torch.randn(4)}
    found = cka.compare(
        {"net": tokens}, data=texts, transforms={"net": lambda text: made["net"] + len(text)}, progress=False
    )
    strip = found.plot("dominant", "net", most=2)
    assert all("and" in axes.texts[0].get_text() for axes in strip.axes)


def test_of_models_of_one_layer_or_without_a_living_one_what_cannot_be_drawn_is_said() -> None:
    options = {"data": torch.randn(64, 4), "batch_size": 16, "progress": False}
    single = cka.compare({name: nn.Sequential(nn.Linear(4, 3)) for name in "ab"}, **options)
    for kind in ("heatmap", "grid", "depth", "correspondence", "models", "model_map", "blocks", "projections"):
        given = {"one": ("a",), "two": ("a", "b"), "all": ()}[KINDS[kind].of]
        assert faults(single.plot(kind, *given)) == []
    dead = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    for parameter in dead.parameters():
        nn.init.zeros_(parameter)
    with pytest.warns(cka.CKAWarning):
        found = cka.compare({"dead": dead, "a": nn.Sequential(nn.Linear(4, 3))}, **options)
    axes = found.plot("heatmap", "dead", "a").axes[0]
    assert axes.images[0].get_array().mask.all()
    assert axes.patch.get_hatch()
    for kind in ("projections", "dominant"):
        with pytest.raises(ValueError, match="no layer of dead has a first component"):
            found.plot(kind, "dead")
    with pytest.raises(ValueError, match="no two of the models have a similarity"):
        found.plot("model_map")
