"""Tables from the classes of a head to those of the labels."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.errors.compare import compare_errors


def test_class_names_come_from_a_table_of_index_to_name():
    errors = compare_errors([0, 1], [1, 1], [0, 1], {0: "cat", 1: "dog"})
    assert [row.name for row in errors.classes] == ["cat", "dog"]
    assert [row.name for row in compare_errors([0, 2], [1, 1], [0, 1]).classes] == ["0", "1", "2"]


def test_a_mapping_brings_another_head_into_the_classes_of_the_labels():
    head = ["tabby", "car", "beagle", "siamese"]
    scores = np.log([[0.3, 0.1, 0.35, 0.25], [0.1, 0.6, 0.2, 0.1]])  # cats sum to 0.55; car is left out
    mapping = {"b": {"tabby": "cat", "siamese": "cat", "beagle": "dog", "car": None}}
    options = {"head_classes": {"b": head}, "restrict": True}
    errors = compare_errors([0, 1], scores, [0, 1], ["cat", "dog"], mapping=mapping, **options)
    assert errors.examples.prediction_b.tolist() == [0, 0]
    assert errors.examples.confidence_b == pytest.approx([0.55 / 0.9, 0.5])
    by_index = {"b": {0: 0, 3: 0, 2: 1}}
    again = compare_errors([0, 1], np.exp(scores), [0, 1], ["cat", "dog"], mapping=by_index, restrict=True)
    assert again.examples.confidence_b == pytest.approx(errors.examples.confidence_b)


def test_matching_by_name_undoes_another_order():
    rng = np.random.default_rng(5)
    scores, labels = rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
    heads = {"a": ["x", "y", "z"], "b": ["z", "x", "y"]}
    with pytest.raises(
        ValueError, match=r"'b' has the classes of class_names in another order \(class 0 is 'z', there 'x'\)"
    ):
        compare_errors(scores, scores[:, [2, 0, 1]], labels, ["x", "y", "z"], head_classes=heads)
    errors = compare_errors(scores, scores[:, [2, 0, 1]], labels, ["x", "y", "z"], head_classes=heads, mapping="names")
    assert errors.agreement == 1.0


def test_heads_that_differ_are_an_error_without_a_mapping():
    scores = np.random.default_rng(6).normal(size=(4, 3))
    with pytest.raises(ValueError, match="'a' has 3, 'b' has 2: give mapping="):
        compare_errors(scores, scores[:, :2], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="'a' has scores of 3 classes, class_names has 2: give mapping="):
        compare_errors(scores, [0, 1, 0, 1], [0, 1, 0, 1], ["cat", "dog"])
    heads = {"a": ["cat", "dog", "cow"], "b": ["cat", "dog", "emu"]}
    with pytest.raises(ValueError, match="other classes than the other head .*'cow' is in one only"):
        compare_errors(scores, scores, [0, 1, 0, 1], head_classes=heads)
    with pytest.raises(ValueError, match="'b' has scores of 3 classes, but its head has 2 class names"):
        compare_errors(scores, scores, [0, 1, 0, 1], head_classes={"b": ["cat", "dog"]})


def test_heads_that_agree_name_the_classes_and_placeholder_names_are_none():
    scores = np.random.default_rng(7).normal(size=(4, 2))
    heads = {"a": ["cat", "dog"], "b": {0: "LABEL_0", 1: "LABEL_1"}}
    assert compare_errors(scores, scores, [0, 1, 0, 1], head_classes=heads).class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"vit": {0: 0}}, "mapping is for 'vit': the models are 'a', 'b'"),
        ({"b": {"lynx": "cat"}}, "class 'lynx' is not in the head of 'b'"),
        ({"b": {"tabb": "cat"}}, "class 'tabb' is not in the head of 'b': did you mean 'tabby'"),
        ({"b": {"ABB": "cat"}}, "class 'ABB' is not in the head of 'b': did you mean 'tabby'"),
        ({"b": {"tabby": "lynx"}}, "class 'lynx' is not in class_names: it has "),
        ({"b": {"tabby": "lynx"}}, "class 'lynx' is not in class_names"),
        ({"b": {7: 0}}, "class 7 is not in the head of 'b': it has 2 classes"),
        ({"b": {"tabby": None}}, "the mapping of 'b' maps no class"),
    ],
)
def test_mappings_that_do_not_fit_are_errors(mapping, message):
    with pytest.raises(ValueError, match=message):
        compare_errors(
            [0, 1], [[1.0, 2.0]] * 2, [0, 1], ["cat", "dog"], head_classes={"b": ["tabby", "pug"]}, mapping=mapping
        )


def test_a_predicted_index_outside_the_mapping_cannot_be_restricted_to_it():
    with pytest.raises(ValueError, match="predictions of 'b': class 2 at example 1 is not in its mapping"):
        compare_errors([0, 1], [0, 2], [0, 1], mapping={"b": {0: 0, 1: 1}}, restrict=True)
