"""The callback for Lightning: figures are logged, and training is the same, bit by bit, with and without."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cka_plugin as cka
from cka_plugin.training.probe import Probe
from tests.support.scalars import scalars
from tests.support.training_runs import ROWS, Net, lightning, same_weights


def test_lightning_training_is_the_same_and_all_loggers_have_the_figures(tmp_path: Path) -> None:
    without, _ = lightning(tmp_path / "without", None)
    trained, monitored = lightning(tmp_path / "with", Probe({"x": ROWS}))
    assert same_weights(without, trained)
    logged = scalars(tmp_path / "with")
    assert len(logged["cka/start/head"]) == 3
    assert logged["cka/start/blocks.0"][0] == pytest.approx(logged["cka/previous/blocks.0"][0])
    assert logged["cka/start/lowest"][2] < 0.999
    (table,) = (tmp_path / "with").rglob("metrics.csv")
    rows = [row for row in csv.DictReader(table.open(encoding="utf-8")) if row["cka/start/head"]]
    assert [float(row["cka/start/head"]) for row in rows] == pytest.approx(logged["cka/start/head"], abs=1e-6)
    assert float(monitored["cka/start/lowest"]) == pytest.approx(logged["cka/start/lowest"][2], abs=1e-6)


def test_the_start_survives_resuming(tmp_path: Path) -> None:
    whole, resumed, later = Probe({"x": ROWS}), Probe({"x": ROWS}), Probe({"x": ROWS})
    lightning(tmp_path, whole, keep=True)
    _, monitored = lightning(tmp_path / "resumed", resumed, resume=str(tmp_path / "epoch=1.ckpt"))
    assert whole.kept is not None
    assert resumed.kept is not None
    assert resumed.kept.which == "start"
    for one, other in zip(whole.kept.first.vectors, resumed.kept.first.vectors, strict=True):
        assert np.array_equal(one, other)
    assert float(monitored["cka/start/lowest"]) < 0.999
    lightning(tmp_path / "without", None, keep=True)
    with pytest.warns(cka.CKAWarning, match="training resumes without the start"):
        _, monitored = lightning(tmp_path / "later", later, resume=str(tmp_path / "without" / "epoch=1.ckpt"))
    assert "cka/resumed/lowest" in monitored
    assert "cka/start/lowest" not in monitored


def test_training_goes_on_where_the_network_keeps_a_table_that_it_made(tmp_path: Path) -> None:
    class Keeps(Net):
        """Its first call makes a table, and the probe is the first to call it."""

        def __init__(self) -> None:
            super().__init__()
            self.kept: dict[str, torch.Tensor] = {}

        def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
            if "table" not in self.kept:
                self.kept["table"] = torch.linspace(0.5, 1.5, x.shape[1])
            return super().forward(x * self.kept["table"], labels)

    net, _ = lightning(tmp_path, Probe({"x": ROWS}), network=Keeps)
    assert not same_weights(net, Keeps())
