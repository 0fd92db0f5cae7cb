"""Limits are shares, or nothing."""

from __future__ import annotations

import pytest

import cka_plugin as cka
from cka_plugin.regression.limits import Limits


@pytest.mark.parametrize("name", ["max_accuracy_drop", "max_class_drop", "max_churn"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_limit_that_is_no_share_is_an_error_before_anything_is_read(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = .*: expected a share from 0 to 1"):
        cka.check("no such model", "no such baseline", **{name: value})  # type: ignore[arg-type]


def test_none_judges_nothing() -> None:
    assert Limits().on_predictions
    assert not Limits(max_accuracy_drop=None, max_class_drop=None, max_churn=None).on_predictions
    assert not Limits(max_accuracy_drop=None, max_class_drop=None).on_accuracy
