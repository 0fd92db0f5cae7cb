"""Diagnoses say what the numbers show."""

from __future__ import annotations

import pytest

from cka_plugin.regression.diagnosis import Pattern, meaning_of
from cka_plugin.regression.result import LayerCheck

SAME = 1.0


def rows(*values: float, head: bool = True) -> list[LayerCheck]:
    """Layers a, b, c, ... of these CKA, the last one the head."""
    kinds = ["block"] * (len(values) - head) + ["head"] * head
    return [
        LayerCheck(name, name, kind, 0.0, value, float("nan"), float("nan"), 0.99, 1e-6, value >= 0.99)
        for name, kind, value in zip("abcdefgh", kinds, values, strict=False)
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.95, SAME, SAME, SAME), "a moved alone (CKA down to 0.9500). All after it is as it was."),
        ((SAME, 0.95, SAME, SAME), "b moved alone (CKA down to 0.9500). All before and after is as it was."),
        ((SAME, 0.95, 0.93, SAME), "b to c moved alone (CKA down to 0.9300). All before and after is as it was."),
        ((0.99999, 0.95, 0.9999, 0.9999), "b moved alone (CKA down to 0.9500). All before and after moved far less"),
        ((0.9999, 0.9999, 0.95, 0.94), "All before c moved far less (CKA at least 0.9999): the change begins there."),
        ((SAME, SAME, 0.7, 0.2), "All before c is as it was: the change begins there."),
        ((SAME, SAME, SAME, 0.2), "Only the head moved; all before it is as it was"),
        ((0.99, 0.98, 0.97, 0.95), "Every layer moved a little, from the first on, the furthest d (CKA 0.9500)"),
        ((0.99, 0.98, SAME, 0.95), "The change begins at the very first layer, a, though 1 of 4 layers are as they"),
        ((0.6, 0.5, 0.4, 0.3), "The change begins at the very first layer, a: look at the inputs first"),
        ((0.974, 0.906, 0.8, 0.7), "The change begins at the very first layer, a: look at the inputs first"),
        ((0.9996, 0.998, 0.99, 0.95), "Every layer moved a little, from the first on, the furthest d (CKA 0.9500)"),
    ],
)
def test_what_moved_is_what_is_said(values: tuple[float, ...], said: str) -> None:
    assert meaning_of(Pattern(rows(*values))).startswith(said)


def test_a_layer_without_a_similarity_comes_first() -> None:
    assert meaning_of(Pattern(rows(SAME, 0.5, float("nan"), float("nan")))).startswith("Look at c first")


def test_a_network_of_one_layer_that_moved_is_no_retrained_head() -> None:
    assert meaning_of(Pattern(rows(0.5))).startswith("The change begins at the very first layer, a:")


def test_layers_that_are_missing_are_another_architecture() -> None:
    assert "another architecture" in meaning_of(Pattern(rows(SAME, SAME), missing=["x"]))


def test_predictions_alone() -> None:
    assert "another order" in meaning_of(Pattern(rows(SAME, SAME), predictions_failed=True))
    assert "a threshold may be too low" in meaning_of(Pattern(rows(0.999, 0.998), predictions_failed=True))


def test_inputs_that_are_prepared_otherwise() -> None:
    assert "b is the first layer to show it" in meaning_of(Pattern(rows(SAME, 0.5, 0.5), preparation_changed=True))


def test_a_scale_that_cka_does_not_see_is_where_the_change_begins() -> None:
    inputs = meaning_of(Pattern(rows(SAME, SAME, 0.7, 0.2), rescaled={"a": 2.0, "b": 1.9}))
    assert inputs.startswith("a is 2 times what it was, which CKA does not see, and is the first layer that is not as")
    assert "Look at the inputs first" in inputs
    within = meaning_of(Pattern(rows(SAME, SAME, 0.7, 0.2), rescaled={"b": 0.5}))
    assert within.startswith("b is 0.5 times what it was")
    assert within.endswith("Look at its weights and code.")
    head = meaning_of(Pattern(rows(SAME, SAME, SAME, SAME), predictions_failed=True, rescaled={"a": 0.5}))
    assert head.startswith("a is 0.5 times what it was")


def test_a_layer_that_moved_first_explains_what_is_rescaled_after_it() -> None:
    assert meaning_of(Pattern(rows(0.5, SAME, SAME, 0.2), rescaled={"b": 2.0})).startswith(
        "The change begins at the very"
    )


def test_nothing_wrong_means_nothing() -> None:
    assert meaning_of(Pattern(rows(SAME, SAME))) == ""
