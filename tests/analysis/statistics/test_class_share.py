"""v², against explicit least squares, planted shares and the figure of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm

from cka_plugin.analysis.statistics.class_share import class_share
from tests.calibration.groups import planted_gaps, seeds, true_share, v_squared


def test_nested_models_have_the_residual_variances_of_explicit_least_squares():
    rng = np.random.default_rng(0)
    classes = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 5])
    tilt = np.where(classes == 2, 0.45, -0.2)
    a, b = rng.random((3, 10)) < 0.5 + tilt, rng.random((4, 10)) < 0.5 - tilt
    share = class_share(a, b, classes)
    y = np.concatenate([a, b]).astype(float).ravel()
    group = np.repeat([0.0] * 3 + [1.0] * 4, 10)
    example = np.tile(np.arange(10), 7)
    dummies = (example[:, None] == np.arange(10)).astype(float)
    by_class = (classes[example][:, None] == np.unique(classes)).astype(float)
    designs = (
        np.column_stack([dummies, group]),
        np.column_stack([dummies, by_class * group[:, None]]),
        np.column_stack([dummies, dummies * group[:, None]]),
    )
    fits = [sm.OLS(y, design).fit() for design in designs]
    assert share.variances == pytest.approx([fit.scale for fit in fits], rel=1e-9)
    assert list(share.degrees_of_freedom) == [fit.df_resid for fit in fits]
    var_a, var_b, var_c = (fit.scale for fit in fits)
    assert share.v_squared == pytest.approx((var_a - var_b) / (var_a - var_c), rel=1e-9)


def test_v_squared_finds_the_planted_share_where_raw_sums_do_not():
    rng = np.random.default_rng(1)
    truth, estimate, raw = np.mean([v_squared(rng, 5, 0.08, 0.15) for _ in range(60)], axis=0)
    assert estimate == pytest.approx(truth, abs=0.04)
    assert raw < truth / 2


def test_v_squared_finds_the_share_of_the_paper_with_as_many_seeds():
    """2010.15327 reports 0.11 for 50 + 50 models."""
    rng = np.random.default_rng(2)
    of, gap = planted_gaps(rng, 100, 20, 0.05, 0.18)
    a, b = seeds(rng, 50, 0.5 + gap / 2), seeds(rng, 50, 0.5 - gap / 2)
    truth = true_share(of, gap)
    assert truth == pytest.approx(0.11, abs=0.03)
    assert class_share(a, b, of).v_squared == pytest.approx(truth, abs=0.02)


def test_classes_dealt_at_random_explain_what_chance_says():
    rng = np.random.default_rng(3)
    _, gap = planted_gaps(rng, 1, 200, 0.0, 0.3)
    a, b = seeds(rng, 10, 0.5 + gap / 2), seeds(rng, 10, 0.5 - gap / 2)
    classes = np.repeat(np.arange(20), 10)
    dealt = [class_share(a, b, rng.permutation(classes)).v_squared for _ in range(400)]
    chance = class_share(a, b, classes).chance
    assert np.mean(dealt) == pytest.approx(chance, abs=4 * np.std(dealt) / 20)


def test_v_squared_of_groups_that_differ_less_than_seeds_is_undefined_with_its_reason():
    a = np.array([[1, 0, 1, 0], [0, 1, 0, 1]])
    share = class_share(a, a, [0, 0, 1, 1])
    assert math.isnan(share.v_squared)
    assert "nothing to explain" in share.reason


def test_class_share_of_unfit_shapes_is_an_error():
    with pytest.raises(ValueError, match="expected \\(models, n\\) twice"):
        class_share(np.ones((2, 3)), np.ones((2, 4)), [0, 0, 1])
