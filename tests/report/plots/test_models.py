"""Models clustered, and as a map."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.report.plots.frame import Frame
from cka_plugin.report.plots.models import classical_scaling, model_map, models
from tests.support.pictures import faults

NAMES = [f"family{i % 3}_small_patch{i}.recipe_in1k" for i in range(12)]


def families(count: int) -> np.ndarray:
    """Models of three families: alike within, less so between."""
    alike = np.where(np.equal.outer(np.arange(count) % 3, np.arange(count) % 3), 0.9, 0.3)
    np.fill_diagonal(alike, 1.0)
    return alike


def test_models_most_alike_stand_side_by_side() -> None:
    axes = models(families(12), [f"family{i % 3} {i}" for i in range(12)]).axes[0]
    order = [label.get_text()[:7] for label in axes.get_yticklabels()]
    assert [order[i] == order[i + 1] for i in range(11)].count(False) == 2  # each family in one run
    drawn = axes.images[0].get_array()
    assert drawn[0].tolist() == [1.0, 0.9, 0.9, 0.9] + [0.3] * 8


def test_the_tree_joins_at_mean_angles() -> None:
    axes = models(np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]), ["a", "b", "c"]).axes[0]
    heights = sorted(line.get_ydata().max() for line in axes.child_axes[0].lines)
    assert heights == pytest.approx([np.degrees(np.arccos(0.9)), 90.0])


def test_a_model_without_similarities_comes_last_and_is_hatched() -> None:
    alike = families(4)
    alike[0, 1:] = alike[1:, 0] = np.nan
    axes = models(alike, ["dead", "a", "b", "c"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "dead"
    assert axes.patch.get_hatch()


@pytest.mark.parametrize("count", [2, 12])
def test_names_and_numbers_never_touch(count: int) -> None:
    names = (NAMES * 3)[:count]
    assert faults(models(families(count), names, frame=Frame(title="title"))) == []
    assert faults(model_map(families(count), names, frame=Frame(title="title"))) == []


def test_scaling_gives_back_distances_in_the_plane() -> None:
    points = np.random.default_rng(0).normal(size=(7, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    found, share = classical_scaling(distances)
    assert np.allclose(np.linalg.norm(found[:, None] - found[None], axis=2), distances)
    assert share.sum() == pytest.approx(1.0)


def test_the_map_leaves_out_what_has_no_place_and_names_the_rest() -> None:
    alike = families(5)
    alike[2, :] = alike[:, 2] = np.nan
    axes = model_map(alike, list("abcde")).axes[0]
    assert len(axes.collections[0].get_offsets()) == 4
    assert {text.get_text() for text in axes.texts if text.get_text()} == set("abde")


def test_one_model_is_no_picture() -> None:
    with pytest.raises(ValueError, match="two or more models: given 1"):
        models(np.eye(1), ["a"])


def many(count: int = 200, kinds: int = 12) -> tuple[np.ndarray, list[str], list[str]]:
    """Very many models of some families, with noise."""
    noise = np.random.default_rng(0).uniform(0, 0.05, (count, count))
    family = np.arange(count) % kinds
    alike = np.where(np.equal.outer(family, family), 0.85, 0.4) + (noise + noise.T) / 2
    np.fill_diagonal(alike, 1.0)
    return alike, [f"model{i}" for i in range(count)], [f"family_{i}" for i in family]


def test_of_very_many_models_families_are_named_where_they_have_room() -> None:
    alike, names, families = many()
    figure = models(alike, names, families=families, frame=Frame(title="title"))
    assert faults(figure) == []
    named = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(named) == sorted(set(families)), "each family is one run"
    figure = models(alike, names)
    assert faults(figure) == []
    assert figure.axes[0].get_xlabel() == "200 models"


def test_a_map_of_very_many_models_tells_families_apart_and_names_them() -> None:
    alike, names, families = many(kinds=40)
    figure = model_map(alike, names, families=families, frame=Frame(title="title"))
    assert faults(figure) == []
    axes = figure.axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 200
    assert {text.get_text() for text in axes.texts if text.get_text()} <= set(families)
    assert len({text.get_text() for text in axes.texts}) > 10
    assert not [text for text in model_map(alike, names).axes[0].texts if text.get_text()]
