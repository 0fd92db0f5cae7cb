"""The callback for transformers: figures are logged, and training is the same, bit by bit, with and without."""

from __future__ import annotations

from pathlib import Path

import pytest

import cka_plugin as cka
from cka_plugin.training.probe import Probe
from cka_plugin.training.start import Kept
from tests.support.scalars import scalars
from tests.support.training_runs import ROWS, Net, hugging_face, same_weights


def test_hugging_face_training_is_the_same_and_tensorboard_has_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    without, history = hugging_face(tmp_path / "without", None)
    baseline = cka.make_baseline(Net(), {"x": ROWS}, progress=False)  # of the untrained network: the start
    trained, with_figures = hugging_face(tmp_path / "with", Probe({"x": ROWS}, baseline))
    assert same_weights(without, trained)
    losses = [row["loss"] for row in with_figures if "loss" in row]
    assert losses == [row["loss"] for row in history if "loss" in row]
    assert len(losses) == 3
    figures = [row for row in with_figures if "cka/start/head" in row]
    assert len(figures) == 3
    assert figures[0]["cka/start/blocks.0"] == pytest.approx(figures[0]["cka/previous/blocks.0"], abs=1e-12)
    assert figures[2]["cka/start/lowest"] < 0.999
    for row in figures:
        for layer in ("stem", "blocks.2", "head", "lowest"):
            assert row[f"cka/baseline/{layer}"] == pytest.approx(row[f"cka/start/{layer}"], abs=1e-9)
    assert scalars(tmp_path / "tb")["train/cka/start/head"] == pytest.approx([f["cka/start/head"] for f in figures])


def test_the_start_survives_resuming(tmp_path: Path) -> None:
    _, whole = hugging_face(tmp_path, Probe({"x": ROWS}), "none", save_strategy="epoch")
    checkpoint = str(tmp_path / "checkpoint-12")  # of the second epoch
    _, resumed = hugging_face(tmp_path, Probe({"x": ROWS}), "none", resume=checkpoint)
    expected, found = ([row for row in rows if "cka/start/head" in row][-1] for rows in (whole, resumed))
    assert found["cka/start/lowest"] < 0.999
    for name, value in expected.items():
        if name.startswith("cka/"):
            assert found[name] == pytest.approx(value, abs=1e-9)


def test_without_the_start_figures_have_another_name(tmp_path: Path) -> None:
    hugging_face(tmp_path, None, "none", save_strategy="epoch")
    with pytest.warns(cka.CKAWarning, match="training resumes without the start"):
        _, history = hugging_face(
            tmp_path, Probe({"x": ROWS}), "none", str(tmp_path / "checkpoint-12"), save_strategy="epoch"
        )
    figures = [row for row in history if "cka/resumed/head" in row]
    assert len(figures) == 1
    assert "cka/start/head" not in figures[0]
    assert Kept.from_folder(tmp_path / "checkpoint-18").which == "resumed"  # type: ignore[union-attr]
