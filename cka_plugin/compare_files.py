"""The errors of two models straight from their files of predictions, in one call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.errors.mapping import to_class_names
from cka_plugin.analysis.errors.predictions import Predictions
from cka_plugin.analysis.errors.result import ErrorComparison
from cka_plugin.data import PredictionFile, index_or_name, read_predictions

_INTEGER = re.compile(r"-?\d+")


def compare_prediction_files(
    path_a: str | Path,
    path_b: str | Path,
    labels: str | Path | Sequence[Any] | NDArray[Any] | None = None,
    class_names: Sequence[Any] | Mapping[Any, Any] | None = None,
    *,
    names: tuple[str, str] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
    restrict: bool = False,
    correction: str = "benjamini-hochberg",
    level: float = 0.95,
    alpha: float = 0.05,
) -> ErrorComparison:
    """Compare the errors of two models from their files of predictions: `compare_errors` on what `read_predictions`
    reads.

    Where both files name their examples, these are matched by id, in whatever order; otherwise they are taken to be
    in the same order. Classes given by name are looked up in `class_names`, else in the names of the score columns,
    else in all the names that occur, sorted.

    Args:
        path_a: predictions of one model.
        path_b: predictions of the other.
        labels: a file that holds labels (with example ids it may hold more examples than the predictions), or (n,)
            labels in the order of `path_a`; None where the files of predictions hold them.
        class_names: what class indices mean, in order.
        names: of the models; without, the names of the files.
        mapping, restrict, correction, level, alpha: as in `compare_errors`.

    Raises:
        FileNotFoundError, ValueError, TypeError: as `read_predictions` and `compare_errors`; no labels anywhere, or
            two sets that differ; examples that are not the same; classes that cannot be looked up.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "cnn.csv").write_text("id,label,prediction\\n1,cat,cat\\n2,dog,cat\\n")
        >>> _ = (folder / "vit.jsonl").write_text('{"id": 2, "prediction": "dog"}\\n{"id": 1, "prediction": "cat"}\\n')
        >>> errors = compare_prediction_files(folder / "cnn.csv", folder / "vit.jsonl")
        >>> errors.names, errors.accuracy_a, errors.accuracy_b, errors.disagreements[0].example_id
        (('cnn', 'vit'), 0.5, 1.0, '2')
    """
    a, b = read_predictions(path_a), read_predictions(path_b)
    if names is None:
        stems = Path(a.path).stem, Path(b.path).stem
        names = stems if stems[0] != stems[1] else (a.path, b.path)
        if names[0] == names[1]:
            names = (names[0], f"{names[1]}#2")
    order = _matching_order(a, b)
    columns = _label_columns(a, b, order, labels)
    known = to_class_names(class_names)
    if known is None:
        known = _names_in_files(a, b, [values for _, values in columns])
    truth = _one_truth([(where, _indices(values, known, f"labels of {where}")) for where, values in columns])
    heads = {name: file.class_names for name, file in zip(names, (a, b), strict=True) if _predicted(file).ndim == 2}
    return compare_errors(
        _values(a, known, slice(None)),
        _values(b, known, order),
        truth,
        known,
        example_ids=a.example_ids if a.example_ids is not None else _in_order(b, order),
        names=names,
        head_classes=heads,
        mapping=mapping,
        restrict=restrict,
        correction=correction,
        level=level,
        alpha=alpha,
    )


def _indices(values: NDArray[Any], names: Sequence[str] | None, what: str) -> NDArray[Any]:
    """Class indices, from indices (also as text) or from names."""
    if values.dtype.kind != "U":
        return values
    texts = np.unique(values).tolist()
    if names is not None and set(texts) <= set(names):
        index = {name: position for position, name in enumerate(names)}
        if len(index) < len(names) and any(list(names).count(text) > 1 for text in texts):
            raise ValueError(f"{what}: some class names stand for several classes: give class indices")
        return np.array([index[value] for value in values.tolist()], dtype=np.int64)
    if _are_integers(values):
        return values.astype(np.int64)
    known = ", ".join(map(repr, names[:5])) + ", ..." * (len(names) > 5) if names is not None else "not known"
    unknown = next(text for text in texts if text not in (names or []))
    raise ValueError(f"{what}: {unknown!r} is none of the class names ({known}): give class_names")


def _names_in_files(a: PredictionFile, b: PredictionFile, labels: Sequence[NDArray[Any]]) -> list[str] | None:
    """The class names that the files know: those of a head, or else all names that occur as labels or predictions."""
    for file in (a, b):
        if file.class_names is not None:
            return file.class_names
    columns = [*labels, *(values for values in (_predicted(a), _predicted(b)) if values.ndim == 1)]
    named = [set(values.tolist()) for values in columns if values.dtype.kind == "U" and not _are_integers(values)]
    if not named:
        return None
    occurring = sorted(set().union(*named))
    if len(named) < len(columns) or _predicted(a).ndim == 2 or _predicted(b).ndim == 2:
        raise ValueError(
            f"some classes are given by name ({occurring[0]!r}), others by index or by unnamed scores: give class_names"
        )
    return occurring


def _are_integers(values: NDArray[Any]) -> bool:
    return all(_INTEGER.fullmatch(text) for text in np.unique(values).tolist())


def _predicted(file: PredictionFile) -> NDArray[Any]:
    if file.predictions is None:
        raise ValueError(f"{file.path}: it holds labels but no predictions")
    return file.predictions


def _values(file: PredictionFile, names: Sequence[str] | None, order: Any) -> Any:
    predicted = _predicted(file)
    if predicted.ndim == 2:
        return predicted[order]
    classes = _indices(predicted, names, f"predictions of {file.path}")[order]
    if file.confidence is None:
        return classes
    return Predictions(classes, file.confidence[order])


def _matching_order(a: PredictionFile, b: PredictionFile) -> Any:
    """Positions in b of the examples of a."""
    n_a, n_b = len(_predicted(a)), len(_predicted(b))
    if a.example_ids is None or b.example_ids is None:
        if n_a != n_b:
            raise ValueError(
                f"{a.path} has {n_a} examples, {b.path} has {n_b}: expected the same, or example ids in both"
            )
        return slice(None)
    return _positions(a.example_ids, b.example_ids, a.path, b.path, all_of_them=True)


def _positions(wanted: list[str], held: list[str], path: str, other: str, *, all_of_them: bool) -> NDArray[np.int64]:
    position = {name: index for index, name in enumerate(held)}
    missing = [name for name in wanted if name not in position]
    extra = sorted(set(held) - set(wanted)) if all_of_them else []
    if missing or extra:
        raise ValueError(
            f"{path} and {other} are not of the same examples: {len(missing)} only in the first, {len(extra)} only in "
            f"the second, such as {(missing or extra)[0]!r}"
        )
    return np.array([position[name] for name in wanted], dtype=np.int64)


def _in_order(file: PredictionFile, order: Any) -> list[str] | None:
    return None if file.example_ids is None else np.array(file.example_ids, dtype=object)[order].tolist()


def _label_columns(a: PredictionFile, b: PredictionFile, order: Any, labels: Any) -> list[tuple[str, NDArray[Any]]]:
    """Every set of labels at hand, with where it comes from, in the order of a."""
    if labels is not None and not isinstance(labels, str | Path):
        return [("labels", index_or_name(labels if isinstance(labels, list) else np.asarray(labels), "label"))]
    if labels is not None:
        file = read_predictions(labels)
        if file.labels is None:
            raise ValueError(f"{file.path}: no labels in it, expected a column 'label'")
        ids = a.example_ids if a.example_ids is not None else _in_order(b, order)
        if ids is None or file.example_ids is None:
            return [(file.path, file.labels)]
        return [(file.path, file.labels[_positions(ids, file.example_ids, a.path, file.path, all_of_them=False)])]
    held = [(a.path, a.labels), (b.path, None if b.labels is None else b.labels[order])]
    columns = [(path, values) for path, values in held if values is not None]
    if not columns:
        raise ValueError(f"neither {a.path} nor {b.path} holds labels: give a file of them (--labels)")
    return columns


def _one_truth(columns: Sequence[tuple[str, NDArray[Any]]]) -> NDArray[Any]:
    where, truth = columns[0]
    for other, values in columns[1:]:
        if not np.array_equal(truth, values):
            at = int(np.argmax(truth != values))
            raise ValueError(f"{where} and {other} hold different labels: {truth[at]} and {values[at]} at example {at}")
    return truth
