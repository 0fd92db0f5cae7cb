"""Arrays for netrep, rsatoolbox and ReSi, from Gram matrices: a minibatch at a time, features up to a rotation."""

from __future__ import annotations

import csv
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.grams import alive_rows, double
from cka_plugin.core import recover_centered, unpack
from cka_plugin.export.guide import GUIDE
from cka_plugin.export.places import file_names
from cka_plugin.representation import Representation

_NEGLIGIBLE = 1e-6  # of the largest eigenvalue: what single precision leaves of one that is zero


def export_arrays(folder: Path, models: Sequence[Representation]) -> list[Path]:
    """Write what netrep, rsatoolbox and ReSi read of models on the same minibatches; `README.md` there says how.

    Args:
        folder: an empty one.
        models: their representations; of several passes over the data the first is written.

    Returns:
        The files.
    """
    names = file_names([model.name for model in models])
    written = [folder / "README.md", folder / "examples.csv", folder / "layers.csv"]
    written[0].write_text(GUIDE, encoding="utf-8")
    _write_table(written[1], ["minibatch", "row", "example", "label", "row of logits"], _example_rows(models[0]))
    header = ["model", "folder", "layer", "path", "kind", "depth", "problem"]
    _write_table(written[2], header, [row for model in models for row in _layer_rows(model, names[model.name])])
    for model in models:
        own = folder / names[model.name]
        for index in _first_pass(model):
            written += _write_minibatch(own, model, index)
        if model.logits is not None:
            np.save(own / "logits.npy", model.logits)
            written.append(own / "logits.npy")
    return written


def centred_grams(model: Representation, index: int) -> tuple[npt.NDArray[np.float64], list[int]]:
    """The centred Gram matrices of a minibatch, (layers, n, n), and which layers these are: those that are finite."""
    vectors, diagonals = model.vectors[index], model.diagonals[index]
    rows = alive_rows(vectors, diagonals)
    return recover_centered(unpack(double(vectors[rows])), double(diagonals[rows])).numpy(), rows.tolist()


def features_of(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """(n, rank) features with this centred Gram matrix: those of the layer, but for a rotation and their scale.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(8, 3)); x -= x.mean(0)
        >>> made = features_of(x @ x.T)
        >>> made.shape, bool(abs(made @ made.T - x @ x.T).max() < 1e-5)
        ((8, 3), True)
    """
    values, vectors = np.linalg.eigh(gram)
    kept = values > _NEGLIGIBLE * max(values[-1], 0.0)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1].astype(np.float32)


def squared_distances(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n(n-1)/2,) squared Euclidean distances of pairs of examples, row by row of the upper triangle."""
    rows, columns = np.triu_indices(len(gram), 1)
    diagonal = np.diagonal(gram)
    return np.asarray(diagonal[rows] + diagonal[columns] - 2.0 * gram[rows, columns])


def _write_minibatch(own: Path, model: Representation, index: int) -> list[Path]:
    grams, rows = centred_grams(model, index)
    names = [model.layer_names[row] for row in rows]
    features, distances = own / "features" / f"{index:04d}.npz", own / "rdms" / f"{index:04d}.pkl"
    for path in (features, distances):
        path.parent.mkdir(parents=True, exist_ok=True)
    _write_npz(features, dict(zip(names, map(features_of, grams), strict=True)))
    positions = model.positions[index].tolist()
    about = {"example": [str(model.example_ids[place]) for place in positions]}
    if (labels := _labels(model)) is not None:
        about["label"] = [labels[place] for place in positions]
    rdms = {  # what `rsatoolbox.rdm.load_rdm` takes
        "dissimilarities": np.stack([squared_distances(gram) for gram in grams]) if names else np.zeros((0, 0)),
        "dissimilarity_measure": "squared euclidean",
        "descriptors": {"model": model.name, "minibatch": index},
        "rdm_descriptors": {"layer": names, "depth": [model.layers[row].depth for row in rows]},
        "pattern_descriptors": about,
    }
    distances.write_bytes(pickle.dumps(rdms, protocol=4))
    return [features, distances]


def _write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """As `numpy.savez`, which does not take every name."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array))


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _first_pass(model: Representation) -> list[int]:
    return [index for index, number in enumerate(model.passes) if number == min(model.passes)]


def _example_rows(model: Representation) -> list[list[Any]]:
    labels = _labels(model)
    return [
        [f"{index:04d}", row, model.example_ids[place], "" if labels is None else labels[place], place]
        for index in _first_pass(model)
        for row, place in enumerate(model.positions[index].tolist())
    ]


def _layer_rows(model: Representation, folder: str) -> list[list[Any]]:
    return [
        [model.name, folder, layer.name, layer.path, layer.kind, layer.depth, model.problems.get(layer.name, "")]
        for layer in model.layers
    ]


def _labels(model: Representation) -> list[str] | None:
    if model.labels is None:
        return None
    names = model.label_names
    return [names[k] if names is not None and 0 <= k < len(names) else str(k) for k in model.labels.tolist()]
