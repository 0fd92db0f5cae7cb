"""What a comparison says beyond its matrices: correspondence, models, errors, block structure, tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import cka_plugin as cka
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    data = TensorDataset(images(96), torch.arange(96) % 5)
    models = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2), "c": ConvNet(seed=3)}
    return cka.compare(models, data=data, batch_size=12, progress=False)


def test_without_names_the_pair_of_two_models_is_meant_and_of_more_it_must_be_said(comparison: cka.Comparison) -> None:
    two = cka.Comparison([comparison["a"], comparison["c"]])
    assert np.array_equal(two.matrix(), comparison.matrix("a", "c"))
    for asked in (comparison.matrix, comparison.errors, comparison.interval, comparison.correspondence):
        with pytest.raises(ValueError, match=r"3 models: say which two are meant, of \('a', 'b'\), \('a', 'c'\)"):
            asked()


def test_with_one_name_a_model_is_compared_with_itself(comparison: cka.Comparison) -> None:
    assert np.array_equal(comparison.matrix("b"), comparison.matrix("b", "b"))
    assert np.array_equal(comparison.matrix("c", "a"), comparison.matrix("a", "c").T)


def test_correspondence_names_the_most_similar_layer_with_its_interval(comparison: cka.Comparison) -> None:
    matrix = comparison.matrix("a", "b")
    low, high = comparison.interval("a", "b")
    names = comparison["b"].layer_names
    for row, match in enumerate(comparison.correspondence("a", "b").matches):
        best = int(matrix[row].argmax())
        assert match.match == names[best]
        assert (match.cka, match.low, match.high) == (matrix[row, best], low[row, best], high[row, best])


def test_models_are_compared_at_equal_depth(comparison: cka.Comparison) -> None:
    table = comparison.models()
    assert np.array_equal(table, table.T)
    assert np.array_equal(np.diag(table), np.ones(3))
    assert table[0, 2] == pytest.approx(
        np.diag(comparison.matrix("a", "c")).mean()
    )  # one architecture: the same depths


def test_errors_are_those_of_the_predictions(comparison: cka.Comparison) -> None:
    errors = comparison.errors("a", "b")
    direct = cka.compare_errors(comparison["a"].logits, comparison["b"].logits, comparison["a"].labels)
    assert errors.difference == direct.difference == pytest.approx(comparison["a"].accuracy - comparison["b"].accuracy)
    assert errors.disagreements[0].example_id in range(96)


def test_errors_without_labels_say_how_to_give_them() -> None:
    found = cka.compare(ConvNet(), ConvNet(seed=1), data=images(40), progress=False)
    with pytest.raises(ValueError, match="errors need labels"):
        found.errors()


def test_labels_by_name_name_the_classes_of_heads_without_names() -> None:
    names = ["cat", "dog", "emu", "fox", "gnu"]
    found = cka.compare(
        {"a": ConvNet(), "b": ConvNet(seed=1)},
        data=images(40),
        labels=[names[i % 5] for i in range(40)],
        progress=False,
    )
    assert [row.name for row in sorted(found.errors().classes, key=lambda row: row.name)] == names


def test_block_structure_is_of_the_stored_vectors(comparison: cka.Comparison) -> None:
    found = comparison.block_structure("a")
    assert found.verdict in ("none", "weak", "strong")
    assert np.allclose(found.matrix, comparison.matrix("a"), atol=1e-6)
    assert len(found.first_component_share) == len(comparison.layers("a"))


def test_tables_hold_every_pair_of_layers(comparison: cka.Comparison) -> None:
    table = comparison.to_frame()
    assert len(table) == 3 * 5 * 5
    row = table[(table.model_a == "a") & (table.model_b == "c") & (table.layer_a == "stem") & (table.layer_b == "head")]
    assert row.cka.item() == comparison.matrix("a", "c")[0, -1]
    assert json.loads(json.dumps(comparison.to_dict(), allow_nan=False))["examples"] == 96


def test_plots_are_figures(comparison: cka.Comparison, tmp_path) -> None:
    for figure in (comparison.plot(), comparison.plot("a"), comparison.plot("a", "b")):
        figure.savefig(tmp_path / "p.png")
        assert (tmp_path / "p.png").stat().st_size > 5000


def test_agreement_needs_no_labels() -> None:
    found = cka.compare({"a": ConvNet(), "b": ConvNet(seed=1)}, data=images(40), progress=False)
    same = (found["a"].logits.argmax(1) == found["b"].logits.argmax(1)).mean()
    assert found.agreement("a", "b").agreement == same
    assert found.error_matrices().agreement[0, 1] == same
    with pytest.raises(ValueError, match=r"needs none: agreement\(a, b\)"):
        found.errors("a", "b")


def test_a_matrix_as_a_frame_has_the_layers_on_both_axes(comparison: cka.Comparison) -> None:
    frame = comparison.to_frame("a", "b")
    assert list(frame.index) == comparison["a"].layer_names
    assert list(frame.columns) == comparison["b"].layer_names
    assert (frame.index.name, frame.columns.name) == ("a", "b")
    assert np.array_equal(frame.to_numpy(), comparison.matrix("a", "b"))


def test_the_setting_names_the_pooling_that_was_asked_for() -> None:
    options = {"data": images(40), "batch_size": 20, "progress": False}
    settings = [cka.compare({"a": ConvNet()}, pooling=pooling, **options).setting for pooling in ("auto", "mean")]
    assert settings == [
        "linear CKA, unbiased; 40 examples in minibatches of 20",
        "linear CKA, unbiased, pooling mean; 40 examples in minibatches of 20",
    ]
