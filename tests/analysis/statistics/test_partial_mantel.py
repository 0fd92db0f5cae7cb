"""The partial Mantel test: its statistic by the textbook's formula, its level, and what it cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.statistics.mantel import mantel
from cka_plugin.analysis.statistics.partial_mantel import partial_mantel


def distances(seed: int, models: int = 14) -> np.ndarray:
    place = np.random.default_rng(seed).standard_normal(models)
    return np.abs(np.subtract.outer(place, place))


def test_with_one_control_it_is_the_formula_of_partial_correlation() -> None:
    x, y, z = distances(0), distances(1) + distances(2), distances(2)
    upper = np.triu_indices(len(x), 1)
    r = np.corrcoef([one[upper] for one in (x, y, z)])
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert partial_mantel(x, y, [z], permutations=9).statistic == pytest.approx(expected, abs=1e-12)


def test_without_controls_it_is_mantels_own_statistic() -> None:
    x, y = distances(0), distances(1)
    assert partial_mantel(x, y, [], permutations=9).statistic == pytest.approx(mantel(x, y, permutations=9).statistic)


def test_what_the_control_brings_about_is_no_finding_and_what_is_beyond_it_is_one() -> None:
    z, noise = distances(2, 30), distances(5, 30)
    x, y = z + 0.3 * distances(3, 30), z + 0.3 * distances(4, 30)
    assert mantel(x, y, permutations=199).p < 0.05
    assert partial_mantel(x, y, [z], permutations=199).p > 0.05
    assert partial_mantel(x + noise, y + noise, [z], permutations=199).p < 0.05


def test_it_holds_its_level_where_both_sides_go_with_the_control() -> None:
    rejected = 0
    for seed in range(200):
        z = distances(3 * seed, 10)
        x, y = (z + distances(3 * seed + side, 10) for side in (1, 2))
        rejected += partial_mantel(x, y, [z], alternative="greater", permutations=99, seed=seed).p <= 0.05
    assert rejected <= 20, "10 are expected, 20 or more in one of 400 such experiments"


def test_what_cannot_be_tested_has_its_reason() -> None:
    x = distances(0)
    assert "at least 4 models" in partial_mantel(x[:3, :3], x[:3, :3], []).reason
    assert "explain all of x" in partial_mantel(x, distances(1), [x]).reason
    assert "explain all of y" in partial_mantel(distances(1), x, [2 * x + 1]).reason
    holes = x.copy()
    holes[0, 1] = holes[1, 0] = np.nan
    assert "control 0 is not defined" in partial_mantel(x, distances(1), [holes]).reason
    with pytest.raises(ValueError, match="expected the same models"):
        partial_mantel(x, distances(1, 13), [])
