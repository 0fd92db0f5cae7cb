"""Examples that two models place differently: planted ones are found, named, and counted by class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.analysis.errors.compare import compare_errors

N, MOVED = 256, [3, 50, 77, 130, 200]


class Table(nn.Module):
    """Gives what it was made with: row i of example i, and scores that follow from it."""

    def __init__(self, rows: np.ndarray, scores: np.ndarray) -> None:
        super().__init__()
        self.rows, self.scores = nn.Embedding.from_pretrained(torch.tensor(rows).float()), nn.Identity()
        self.head = nn.Embedding.from_pretrained(torch.tensor(scores).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.rows(x[:, 0])
        return self.head(x[:, 0])


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 4
    x = rng.normal(size=(N, 20))
    y = x @ np.linalg.qr(rng.normal(size=(20, 20)))[0]
    y[MOVED] = rng.normal(size=(len(MOVED), 20))
    y[labels == 2] += 0.7 * rng.normal(size=((labels == 2).sum(), 20))
    scores = np.eye(4)[labels] + 0.01 * rng.normal(size=(N, 4))
    others = scores.copy()
    others[MOVED] = others[MOVED][:, ::-1]
    models = {"a": Table(x, scores), "b": Table(y, others)}
    data = torch.arange(N)[:, None]
    return cka.compare(
        models, data=data, labels=labels, batch_size=32, granularity="module", layers=["rows"], progress=False
    )


def test_moved_examples_come_first_with_what_both_models_predict(comparison: cka.Comparison) -> None:
    found = comparison.examples()
    assert {row.example_id for row in found.examples[:5]} == set(MOVED)
    assert all(row.alignment < found.chance for row in found.examples[:3])
    row = next(row for row in found.examples if row.example_id == 3)
    assert (row.label, row.prediction_a, row.prediction_b, row.correct_a, row.correct_b) == ("3", "3", "0", True, False)
    assert row.lowest_layer == "rows"


def test_disagreement_in_representation_foretells_disagreement_in_prediction(comparison: cka.Comparison) -> None:
    found = comparison.examples()
    assert found.disagreement is not None
    assert found.disagreement.n_group == len(MOVED)
    assert found.disagreement.value > 0.95
    assert "placed more differently" in found.foretells() or "ROC curve 1.00" in found.foretells()


def test_the_class_that_moved_is_named_and_the_others_are_not(comparison: cka.Comparison) -> None:
    classes = comparison.examples().classes
    assert [row.name for row in classes if row.significant and row.difference < 0] == ["2"]
    assert sum(row.n for row in classes) == N
    assert all(row.p_corrected >= row.p for row in classes)


def test_classes_that_move_stand_beside_those_whose_errors_differ() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(N) % 4
    x = rng.normal(size=(N, 20))
    y = x + 0.8 * (labels == 2)[:, None] * rng.normal(size=(N, 20))
    scores = np.eye(4)[labels]
    others = np.where((labels == 1)[:, None], np.eye(4)[0], scores)
    models = {"a": Table(x, scores), "b": Table(y, others)}
    found = cka.compare(
        models,
        data=torch.arange(N)[:, None],
        labels=labels,
        batch_size=32,
        granularity="module",
        layers=["rows"],
        progress=False,
    ).examples()
    assert [row.name for row in found.moved_classes()] == ["2"]
    differ = [row for row in found.classes if row.errors_differ]
    assert [(row.name, row.accuracy_difference) for row in differ] == [("1", 1.0)]
    errors = compare_errors(scores, others, labels).classes
    for row in found.classes:
        assert row.errors_p == errors[int(row.name)].p
        assert row.errors_p_corrected == pytest.approx(errors[int(row.name)].p_corrected)
    assert "Classes placed more differently than the rest, corrected for 4: 2 (" in repr(found)
    assert "Classes whose errors differ, corrected for 4: 1 (+100.0%)." in repr(found)
    assert "Both" not in found.by_class()
    assert found.classes_to_frame()["name"].tolist()[0] == "2"


def test_labels_of_another_order_than_the_heads_are_known_by_name() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    x = torch.randn(64, 6)
    made = cka.represent(net, x, labels=net(x).argmax(1), progress=False)
    turned = replace(made, labels=2 - made.labels, label_names=["c", "b", "a"], class_names=["a", "b", "c"])
    assert turned.accuracy == 1.0
    found = cka.Comparison([turned, turned.renamed("other")]).examples()
    assert all(row.correct_a for row in found.examples)


def test_the_table_has_a_row_an_example_worst_first(comparison: cka.Comparison) -> None:
    table = comparison.examples().to_frame()
    assert len(table) == N
    assert table["alignment"].is_monotonic_increasing
    assert comparison.examples().to_dict()["classes"][0]["name"] == "2"


def test_a_model_and_its_copy_place_all_alike() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    found = cka.compare({"a": net, "b": net}, data=torch.randn(64, 6), progress=False).examples()
    assert found.examples[0].alignment > 1 - 1e-5
    assert "nothing to foretell" in found.foretells()
    assert found.classes == []
    assert found.examples[0].label is None
    assert found.examples[0].correct_a is None


def test_heads_of_other_classes_are_not_judged() -> None:
    torch.manual_seed(0)
    data, labels = torch.randn(64, 6), torch.arange(64) % 3
    nets = {str(k): nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, k)) for k in (3, 5)}
    found = cka.compare(nets, data=data, labels=labels, progress=False).examples()
    assert found.disagreement is None
    assert "other classes" in found.notes[0]
    assert "not known" in found.foretells()
