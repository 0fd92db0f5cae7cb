"""Two groups of models: the class tables, the controls, v² and its gate, super-classes, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cka_plugin.analysis.errors.groups import compare_groups
from cka_plugin.analysis.statistics.class_share import class_share
from cka_plugin.analysis.statistics.model_groups import gap_test
from tests.calibration.groups import planted_gaps, seeds, selected_differences

CLASSES = 8


def predictions(rng, models, labels, chance):
    """A list of (n,) predictions that are right with probability `chance`, per example."""
    wrong = (labels + 1 + rng.integers(0, CLASSES - 2, (models, len(labels)))) % CLASSES
    return list(np.where(seeds(rng, models, chance), labels, wrong))


@pytest.fixture(scope="module")
def groups():
    """Ten seeds each; a is better on class 0, b on class 1, by 0.3; half of each class is harder for a."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), 30)
    gap = np.select([labels == 0, labels == 1], [0.3, -0.3], 0.0) + 0.2 * (-1.0) ** np.arange(len(labels))
    return predictions(rng, 10, labels, 0.6 + gap / 2), predictions(rng, 10, labels, 0.6 - gap / 2), labels


# Class by class


def test_the_class_table_is_welch_across_seeds_corrected(groups):
    a, b, labels = groups
    comparison = compare_groups(a, b, labels, correction="holm", level=0.9, splits=5)
    p = []
    for index, row in enumerate(comparison.classes):
        own = labels == index
        seeds_a, seeds_b = (np.array([np.mean((m == labels)[own]) for m in group]) for group in (a, b))
        reference = stats.ttest_ind(seeds_a, seeds_b, equal_var=False)
        interval = reference.confidence_interval(0.9)
        assert comparison.class_accuracy_a[:, index] == pytest.approx(seeds_a, abs=1e-12)
        assert (row.accuracy_a, row.accuracy_b) == pytest.approx((seeds_a.mean(), seeds_b.mean()), abs=1e-12)
        assert (row.p, row.df) == pytest.approx((reference.pvalue, reference.df), rel=1e-9)
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
        assert row.difference == pytest.approx(row.accuracy_a - row.accuracy_b, abs=1e-12)
        p.append(reference.pvalue)
    assert [row.p_corrected for row in comparison.classes] == pytest.approx(
        multipletests(p, method="holm")[1], rel=1e-9
    )
    assert [row.significant for row in comparison.classes] == [True, True] + [False] * 6


def test_accuracies_are_kept_per_model_per_example_and_overall(groups):
    a, b, labels = groups
    comparison = compare_groups(a, b, labels, splits=5)
    right = np.array(a) == labels
    assert comparison.accuracies_a == pytest.approx(right.mean(axis=1))
    assert comparison.example_accuracy_a == pytest.approx(right.mean(axis=0))
    reference = stats.ttest_ind(right.mean(axis=1), (np.array(b) == labels).mean(axis=1), equal_var=False)
    assert comparison.overall.p == pytest.approx(reference.pvalue, rel=1e-9)
    assert comparison.overall.n == len(labels)


def test_swapping_the_groups_mirrors_everything(groups):
    a, b, labels = groups
    forth, back = compare_groups(a, b, labels, splits=5), compare_groups(b, a, labels, splits=5)
    for row, other in zip(forth.classes, back.classes, strict=True):
        assert (row.difference, row.low, row.p) == pytest.approx((-other.difference, -other.high, other.p))
    assert forth.v_squared == pytest.approx(back.v_squared)
    assert forth.example_test.statistic == pytest.approx(back.example_test.statistic)


def test_a_class_without_variance_is_undefined_with_its_reason_and_stays_in_the_family(groups):
    a, b, labels = groups
    a, b = ([np.where(labels == 3, labels, model) for model in group] for group in (a, b))
    labels = labels.copy()
    rows = compare_groups(a, b, labels, [*"stuvwxyz", "empty"], correction="holm", splits=5).classes
    assert math.isnan(rows[3].p)
    assert "no variance to compare with" in rows[3].reason
    assert rows[3].difference == 0.0
    assert not rows[3].significant
    assert rows[8].reason == "no example"
    assert math.isnan(rows[8].accuracy_a)
    family = [1.0 if math.isnan(row.p) else row.p for row in rows]
    expected = multipletests(family, method="holm")[1]
    assert [row.p_corrected for row in rows if row.p == row.p] == pytest.approx(
        [value for value, row in zip(expected, rows, strict=True) if row.p == row.p]
    )


def test_super_classes_are_tested_the_same_way(groups):
    a, b, labels = groups
    names = ["cat", "dog", "tiger", "wolf", "car", "bus", "bike", "tree"]
    table = {
        "cat": "feline",
        2: "feline",
        "dog": "canine",
        "wolf": "canine",
        "car": "vehicle",
        "bus": "vehicle",
        "tree": None,
    }
    rows = compare_groups(a, b, labels, names, super_classes=table, splits=5).super_classes
    assert [row.name for row in rows] == ["feline", "canine", "vehicle"]
    assert [row.n for row in rows] == [60, 60, 60]
    feline = np.isin(labels, [0, 2])
    seeds_a, seeds_b = (np.array([np.mean((m == labels)[feline]) for m in group]) for group in (a, b))
    p = stats.ttest_ind(seeds_a, seeds_b, equal_var=False).pvalue
    assert rows[0].p == pytest.approx(p, rel=1e-9)
    corrected = multipletests([row.p for row in rows], method="fdr_bh")[1]
    assert [row.p_corrected for row in rows] == pytest.approx(corrected, rel=1e-9)
    by_position = ["feline", "canine", "feline", "canine", "vehicle", "vehicle", None, None]
    again = compare_groups(a, b, labels, names, super_classes=by_position, splits=5).super_classes
    assert [row.p for row in again] == [row.p for row in rows]


# Controls


def test_the_control_shows_no_more_than_chance_within_a_group_and_more_between(groups):
    a, b, labels = groups
    control = compare_groups(a, b, labels, splits=100).control
    assert control.seeds == 5
    assert control.classes_between > 1.5  # both planted classes
    assert control.classes_within_a < 1.0
    assert control.classes_within_b < 1.0
    assert control.gap_between > 1.3 * max(control.gap_within_a, control.gap_within_b)


def test_the_gaps_of_the_control_are_averages_over_all_choices_of_seeds():
    """The closed form against drawing many choices."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(CLASSES), 5)
    a, b = predictions(rng, 6, labels, np.full(40, 0.7)), predictions(rng, 5, labels, np.full(40, 0.5))
    control = compare_groups(a, b, labels, splits=2).control
    right_a, right_b = np.array(a) == labels, np.array(b) == labels
    squares = np.zeros(3)
    draws = 4000
    for _ in range(draws):
        x, y = right_a[rng.permutation(6)], right_b[rng.permutation(5)]
        pairs = ((x[:2], y[:2]), (x[:2], x[2:4]), (y[:2], y[2:4]))
        squares += [np.mean((p.mean(axis=0) - q.mean(axis=0)) ** 2) for p, q in pairs]
    assert control.seeds == 2
    drawn = np.sqrt(squares / draws)
    assert [control.gap_between, control.gap_within_a, control.gap_within_b] == pytest.approx(drawn, rel=0.02)


def test_two_groups_of_one_kind_do_not_differ():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(CLASSES), 30)
    chance = rng.beta(3, 2, len(labels))
    found = tests = 0
    for _ in range(20):
        comparison = compare_groups(
            predictions(rng, 5, labels, chance), predictions(rng, 5, labels, chance), labels, permutations=252, splits=2
        )
        found += sum(row.p <= 0.05 for row in comparison.classes)
        tests += comparison.example_test.p <= 0.05
        if comparison.example_test.p > 0.05:
            assert math.isnan(comparison.v_squared)
            assert "do not differ on single examples beyond seed noise" in comparison.class_share.reason
    assert found <= 16  # of 160 at 0.05: 8 expected
    assert tests <= 4


def test_held_out_differences_are_not_inflated_by_selection():
    """`python -m tests.calibration.groups` has more of it: 0.019 true, 0.102 where selected, 0.020 held out."""
    rng = np.random.default_rng(3)
    truth, selecting, held_out = np.mean([row for _ in range(100) for row in selected_differences(rng)], axis=0)
    assert selecting > truth + 0.05
    assert held_out == pytest.approx(truth, abs=0.03)


def test_held_out_classes_are_those_that_half_of_the_seeds_select(groups):
    a, b, labels = groups
    comparison = compare_groups(a, b, labels, [*"stuvwxyz"], splits=5)
    assert {"s", "t"} <= {row.name for row in comparison.held_out}
    s = next(row for row in comparison.held_out if row.name == "s")
    assert s.low <= s.difference <= s.high
    whole = comparison.classes[0].difference
    assert (s.difference + s.selected_difference) / 2 == pytest.approx(whole)  # the halves are equal and disjoint
    assert compare_groups(a[:3], b[:3], labels, splits=5).held_out == []


# Single examples and v²


def test_the_example_test_and_v_squared_are_those_of_the_statistics(groups):
    a, b, labels = groups
    comparison = compare_groups(a, b, labels, permutations=499, seed=3, splits=5)
    right_a, right_b = np.array(a) == labels, np.array(b) == labels
    assert comparison.example_test == gap_test(right_a, right_b, permutations=499, seed=3)
    assert comparison.example_test_centred == gap_test(right_a, right_b, centred=True, permutations=499, seed=3)
    assert comparison.v_squared == class_share(right_a, right_b, labels).v_squared
    assert 0 < comparison.class_share.chance < comparison.v_squared < 1


def test_three_against_three_cannot_reach_significance_and_says_so(groups):
    a, b, labels = groups
    comparison = compare_groups(a[:3], b[:3], labels, splits=5)
    assert comparison.example_test.smallest_p == pytest.approx(0.1)
    assert comparison.example_test.p >= 0.1 - 1e-12
    assert math.isnan(comparison.v_squared)
    assert "cannot reach p <= 0.05 (smallest possible: 0.1)" in comparison.class_share.reason
    assert "needs 4 in each" in comparison.control.reason
    assert math.isnan(comparison.control.classes_within_a)
    assert comparison.control.gap_within_a > 0


def test_a_difference_in_accuracy_alone_leaves_v_squared_undefined():
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(CLASSES), 60)
    a, b = predictions(rng, 6, labels, np.full(480, 0.8)), predictions(rng, 6, labels, np.full(480, 0.6))
    comparison = compare_groups(a, b, labels, splits=5)
    assert comparison.example_test.p < 0.01
    assert math.isnan(comparison.v_squared)
    assert "beyond overall accuracy" in comparison.class_share.reason


def test_classes_that_explain_everything_and_nothing_are_told_apart():
    rng = np.random.default_rng(5)
    of, gap = planted_gaps(rng, CLASSES, 200, 0.25, 0.0)

    def share(gap):
        a, b = (predictions(rng, 8, of, 0.5 + sign * gap / 2) for sign in (1, -1))
        return compare_groups(a, b, of, splits=2).v_squared

    assert share(gap) == pytest.approx(1.0, abs=0.15)
    assert share(rng.permutation(gap)) == pytest.approx(0.0, abs=0.05)


# What is taken and what is refused


def test_scores_and_indices_arrays_and_lists_are_taken(groups):
    a, b, labels = groups
    scores = np.stack([np.eye(CLASSES)[model] for model in a])
    assert compare_groups(scores, np.array(b), labels, splits=2).accuracies_a.tolist() == (
        compare_groups(a, b, labels, splits=2).accuracies_a.tolist()
    )


def test_a_mapping_is_given_for_a_whole_group(groups):
    a, b, labels = groups
    turned = [(CLASSES - 1 - model) for model in b]
    table = {"deep": {index: CLASSES - 1 - index for index in range(CLASSES)}}
    comparison = compare_groups(a, turned, labels, names=("wide", "deep"), mapping=table, splits=2)
    assert comparison.accuracies_b.tolist() == compare_groups(a, b, labels, splits=2).accuracies_b.tolist()
    with pytest.raises(ValueError, match="'vit': the groups are 'wide' and 'deep'"):
        compare_groups(a, b, labels, names=("wide", "deep"), mapping={"vit": {}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a[:1], b, {}), "group 'a' has 1 entries: expected the predictions of at least two models"),
        (lambda a, b: (a[0], b, {}), "expected the predictions of at least two models"),
        (lambda a, b: (np.eye(CLASSES)[a[0]], b, {}), r"one floating array of shape \(240, 8\)"),
        (lambda a, b: (a, [b[0], b[1][:-1]], {}), r"'b\[1\]' has predictions of 239 examples, labels are of 240"),
        (lambda a, b: (a, b, {"names": ("x", "x")}), "two different names"),
        (lambda a, b: (a, b, {"super_classes": {"lynx": "feline"}}), "class 'lynx' is not in class_names"),
        (
            lambda a, b: (a, b, {"super_classes": ["x"]}),
            "super_classes has 1 entries: expected one for each of 8 classes",
        ),
        (lambda a, b: (a, b, {"super_classes": {0: None}}), "names no super-class"),
        (lambda a, b: (a, b, {"correction": "bonferroni"}), "expected one of"),
        (lambda a, b: (a, b, {"alpha": 5}), "alpha 5"),
    ],
)
def test_bad_groups_are_refused(groups, change, message):
    a, b, labels = groups
    a, b, options = change(a, b)
    with pytest.raises(ValueError, match=message):
        compare_groups(a, b, labels, **options)


# Tables and words


def test_it_is_json_and_a_frame_and_words(groups):
    a, b, labels = groups
    table = ["x"] * 4 + ["y"] * 4
    comparison = compare_groups(a, b, labels, super_classes=table, names=("wide", "deep"), splits=5)
    back = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert back["class_share"]["v_squared"] == comparison.v_squared
    assert len(back["classes"]) == CLASSES
    assert comparison.to_frame()["p_corrected"].tolist() == [row.p_corrected for row in comparison.classes]
    assert comparison.super_classes_to_frame()["name"].tolist() == ["x", "y"]
    assert comparison.held_out_to_frame()["name"].tolist() == [row.name for row in comparison.held_out]
    text = str(comparison)
    for words in (
        "10 models of wide are right on",
        "Welch p = ",
        "permutation p = 0.00",
        "classes explain v² = ",
        "within wide",
    ):
        assert words in text
    assert repr(comparison).startswith("<GroupComparison of 10 wide (0.")
    few = str(compare_groups(a[:2], b[:2], labels, splits=5))
    assert "is undefined: with so few models" in few
    assert "no control by halves of one group: 2 and 2 models" in few


def test_it_is_reproducible_and_the_seed_matters(groups):
    a, b, labels = groups
    first, again = (compare_groups(a, b, labels, permutations=99, splits=10, seed=7).to_dict() for _ in range(2))
    other = compare_groups(a, b, labels, permutations=99, splits=10, seed=8).to_dict()
    assert first == again
    assert first["control"] != other["control"]
