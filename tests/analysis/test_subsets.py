"""CKA on a part of the examples is that of the part."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.grams import cka_sums, pack_layers
from cka_plugin.analysis.subsets import cka_within_classes, cka_without_examples
from tests.support.planted import fresh
from tests.support.reference import minibatch_cka


def test_cka_without_examples_equals_cka_of_the_other_examples() -> None:
    rng = np.random.default_rng(11)
    x, y = fresh(rng, 60, 30), fresh(rng, 60, 12)
    y[:, :6] += x[:, :6]
    positions = [np.arange(20), np.arange(20, 40), np.arange(40, 60)]
    left_out = [0, 1, 5, 25, *range(40, 57)]  # the last minibatch keeps 3, which is too few
    rest = [np.setdiff1d(chosen, left_out) for chosen in positions[:2]]
    expected = minibatch_cka([x[chosen] for chosen in rest], [y[chosen] for chosen in rest])
    together = cka_without_examples(pack_layers([x, y], positions), left_out).cka()
    apart = cka_without_examples(pack_layers([x], positions), left_out, pack_layers([y], positions)).cka()
    assert together[0, 1] == pytest.approx(expected, abs=1e-10)
    assert apart[0, 0] == pytest.approx(expected, abs=1e-10)


def test_cka_within_classes_equals_the_sum_over_classes() -> None:
    rng = np.random.default_rng(12)
    labels = rng.permutation(np.repeat(np.arange(4), [20, 20, 17, 3]))  # the last class is too small anywhere
    centres = 5 * rng.normal(size=(4, 10))
    layers = [centres[labels] + rng.normal(size=(60, 10)) for _ in range(2)]
    positions = [np.arange(30), np.arange(30, 60)]
    made = pack_layers(layers, positions)
    groups = [chosen[labels[chosen] == c] for chosen in positions for c in range(4)]
    groups = [group for group in groups if len(group) >= 4]
    expected = minibatch_cka([layers[0][group] for group in groups], [layers[1][group] for group in groups])
    found = cka_within_classes(made, labels).cka()[0, 1]
    assert found == pytest.approx(expected, abs=1e-10)
    assert cka_sums(made).cka()[0, 1] > 0.8  # the classes make the layers alike
    assert abs(found) < 0.3  # and nothing else does
