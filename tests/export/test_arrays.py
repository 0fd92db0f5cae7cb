"""Arrays for other tools: the same Gram matrices, the same measures, rows that are told, and what is missing said."""

from __future__ import annotations

import csv
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist
from torch import nn

import cka_plugin as cka
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    models = {"a": ConvNet(seed=1), "org/b": ConvNet(8, seed=2)}
    return cka.compare(models, data=images(60), labels=torch.arange(60) % 5, batch_size=20, progress=False)


@pytest.fixture(scope="module")
def folder(comparison: cka.Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "arrays"
    written = comparison.export(folder)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def features(folder: Path, model: str, minibatch: int) -> dict[str, np.ndarray]:
    with np.load(folder / model / "features" / f"{minibatch:04d}.npz") as arrays:
        return dict(arrays)


def test_features_have_the_cka_of_the_layers(comparison: cka.Comparison, folder: Path) -> None:
    xy = xx = yy = 0.0
    matrix = comparison.matrix("a", "org/b")
    for minibatch in range(3):
        x = features(folder, "a", minibatch)[comparison["a"].layer_names[2]].astype(np.float64)
        y = features(folder, "org_b", minibatch)[comparison["org/b"].layer_names[3]].astype(np.float64)
        one, other = _u_centred(x @ x.T), _u_centred(y @ y.T)
        xy, xx, yy = xy + (one * other).sum(), xx + (one * one).sum(), yy + (other * other).sum()
    assert xy / np.sqrt(xx * yy) == pytest.approx(matrix[2, 3], abs=1e-5)


def _u_centred(k: np.ndarray) -> np.ndarray:
    """Written out: zero diagonal, then rows, columns and the whole sum to zero off the diagonal."""
    n = len(k)
    k = k - np.diag(np.diag(k))
    a = k - k.sum(0) / (n - 2) - k.sum(1)[:, None] / (n - 2) + k.sum() / ((n - 1) * (n - 2))
    return a - np.diag(np.diag(a))


def test_features_are_those_of_the_layer_but_for_a_rotation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)), torch.randn(24, 6)
    made = cka.represent({"net": net}, x, batch_size=24, granularity="module", progress=False)
    cka.Comparison([made]).export(tmp_path / "out")
    exported = features(tmp_path / "out", "net", 0)[made.layer_names[0]]
    own = np.asarray(net[0](x).detach())[[made.example_ids[place] for place in made.positions[0]]]
    own = own - own.mean(0)
    assert exported.shape == (24, 4)
    turn, scale = orthogonal_procrustes(exported, own)
    assert np.allclose(exported @ turn * (scale / (exported**2).sum()), own, atol=1e-5)


def test_angular_procrustes_of_features_is_the_measure_of_the_comparison(
    comparison: cka.Comparison, folder: Path
) -> None:
    """As netrep's `LinearMetric(alpha=1, score_method="angular")`: the arc cosine of the nuclear norm."""
    found = []
    for minibatch in range(3):
        x, y = features(folder, "a", minibatch), features(folder, "org_b", minibatch)
        x, y = x[comparison["a"].layer_names[1]], y[comparison["org/b"].layer_names[1]]
        found.append(np.linalg.norm(x.T @ y, "nuc") / np.linalg.norm(x) / np.linalg.norm(y))
    assert np.mean(found) == pytest.approx(comparison.matrix("a", "org/b", measure="bures")[1, 1], abs=1e-5)


def test_distances_are_those_between_features_and_name_layers_and_examples(
    comparison: cka.Comparison, folder: Path
) -> None:
    rdms = pickle.loads((folder / "org_b" / "rdms" / "0001.pkl").read_bytes())
    layers = comparison["org/b"].layer_names
    assert rdms["rdm_descriptors"]["layer"] == layers
    assert rdms["descriptors"] == {"model": "org/b", "minibatch": 1}
    exported = features(folder, "org_b", 1)
    for row, name in zip(rdms["dissimilarities"], layers, strict=True):
        assert np.allclose(row, pdist(exported[name], "sqeuclidean"), rtol=1e-3, atol=1e-5 * row.max())
    ids = [comparison["a"].example_ids[place] for place in comparison["a"].positions[1]]
    assert rdms["pattern_descriptors"]["example"] == [str(one) for one in ids]
    assert rdms["pattern_descriptors"]["label"] == [str(one % 5) for one in ids]


def test_rows_of_minibatches_and_logits_are_told(comparison: cka.Comparison, folder: Path) -> None:
    with (folder / "examples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    model = comparison["a"]
    logits = np.load(folder / "a" / "logits.npy")
    for row in rows:
        minibatch, place = int(row["minibatch"]), int(row["row of logits"])
        assert model.positions[minibatch][int(row["row"])] == place
        assert str(model.example_ids[place]) == row["example"]
        assert np.array_equal(logits[place], model.logits[place])


def test_layers_that_are_dead_are_left_out_and_said(comparison: cka.Comparison, tmp_path: Path) -> None:
    model = comparison["a"]
    minibatches = []
    for minibatch in model.minibatches:
        vectors = np.array(minibatch.vectors)
        vectors[1] = np.nan
        minibatches.append(replace(minibatch, vectors=vectors))
    name = model.layer_names[1]
    dead = replace(model, minibatches=minibatches, problems={name: "its activations are not finite"})
    cka.Comparison([dead]).export(tmp_path / "out")
    assert name not in features(tmp_path / "out", "a", 0)
    with (tmp_path / "out" / "layers.csv").open(newline="") as file:
        problems = {row["layer"]: row["problem"] for row in csv.DictReader(file)}
    assert problems[name] == "its activations are not finite"


def test_of_several_passes_the_first_is_written(tmp_path: Path) -> None:
    made = cka.represent({"net": ConvNet()}, images(40), batch_size=20, passes=2, progress=False)
    cka.Comparison([made]).export(tmp_path / "out")
    assert len(list((tmp_path / "out" / "net" / "features").iterdir())) == 2


def test_the_guide_says_how_and_what_is_missing(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    for word in ("netrep", "rsatoolbox", "ReSi", "CCA, SVCCA, PWCCA, GULP"):
        assert word in text


def test_nothing_is_written_over(comparison: cka.Comparison, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty; give a new folder"):
        comparison.export(tmp_path)
    with pytest.raises(ValueError, match="it is a file"):
        comparison.export(tmp_path / "mine.txt")
    with pytest.raises(ValueError, match="format 'csv': expected arrays or model-explorer"):
        comparison.export(tmp_path / "new", format="csv")
    assert not (tmp_path / "new").exists()
