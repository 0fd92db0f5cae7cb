"""Predictions of several models in one set of classes: heads of other classes, or of another order, need a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.mapping import head_mapping, known_names, to_class_names
from cka_plugin.analysis.errors.predictions import Predictions, as_array, to_labels, to_predictions
from cka_plugin.wording import listed

OTHER = "other"


@dataclass(frozen=True)
class Classification:
    """Predictions of several models and the labels, all in the same classes.

    Attributes:
        labels: (n,) int64.
        models: one `Predictions` a model, in the order given. Negative classes lie outside the mapping of their model;
            they are the same number where two models predict the same class there.
        class_names: the names of the classes of the labels; "0", "1", ... where none are known.
        outside_names: of the classes outside the mappings, -1, -2, ...; by index where no head names them.
        absent: for each model, in the order given, the labels that no class of its head means.
    """

    labels: NDArray[np.int64]
    models: list[Predictions]
    class_names: list[str]
    outside_names: list[str]
    absent: list[list[int]]

    @property
    def other(self) -> str:
        """What predictions outside a mapping are called: a name that no class has."""
        return OTHER if OTHER not in self.class_names else f"{OTHER} (outside the mapping)"

    def outside(self, model: int) -> float:
        """Share of examples for which a model predicts a class outside its mapping."""
        return float((self.models[model].classes < 0).mean())

    def outside_classes(self, model: int) -> list[str]:
        """(n,) the class of the head where a prediction lies outside the mapping, else an empty text."""
        return ["" if index >= 0 else self.outside_names[-1 - index] for index in self.models[model].classes.tolist()]


def align(
    predictions: Sequence[tuple[str, Any]],
    labels: Any,
    class_names: Sequence[Any] | Mapping[Any, Any] | None = None,
    *,
    head_classes: Mapping[str, Sequence[Any] | Mapping[Any, Any] | None] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
    restrict: bool = False,
) -> Classification:
    """Check the predictions of models against labels, and bring them into the classes of the labels.

    Args:
        predictions: (name, values) for each model; values as in `to_predictions`.
        labels: (n,) integer class indices.
        class_names: what the labels mean, in order; or a table of index to name.
        head_classes: for a model's name, the class names of its head, in order, where they are known. Names that say
            nothing (`LABEL_0`, `0`) count as unknown.
        mapping: for models whose heads have other classes, or another order: `"names"` matches classes by name; a table
            {model: {class of its head: class of the labels}} says it in full (see `head_mapping`).
        restrict: let mapped models choose among the classes of their mapping only; see `to_predictions`.

    Raises:
        TypeError, ValueError: as `to_labels`, `to_predictions` and `head_mapping`; lengths that differ; indices
            beyond the classes; heads that differ without a mapping; `restrict` without a mapping.

    Example:
        >>> align([("a", [0, 1]), ("b", [[0.2, 0.8], [0.1, 0.9]])], [0, 1], ["cat", "dog"]).models[1].classes.tolist()
        [1, 1]
    """
    if restrict and mapping is None:
        raise ValueError("restrict=True restricts predictions to the classes of a mapping: give mapping= too")
    target = to_labels(labels)
    names = to_class_names(class_names)
    model_names = [name for name, _ in predictions]
    heads = {name: known_names(head) for name, head in (head_classes or {}).items()}
    tables = _tables(mapping, model_names)
    known = [heads[name] for name in model_names if heads.get(name) is not None]
    if names is None and known and not tables and mapping is None and all(head == known[0] for head in known):
        names = known[0]
    models: list[Predictions] = []
    maps: list[list[int | None] | None] = []
    from_head = {}
    for name, values in predictions:
        array = values if isinstance(values, Predictions) else as_array(values)
        width = array.shape[1] if not isinstance(array, Predictions) and array.ndim == 2 else None
        head = heads.get(name)
        if head is not None and width is not None and width != len(head):
            raise ValueError(f"{name!r} has scores of {width} classes, but its head has {len(head)} class names")
        onto = _onto(name, head, width, (names, mapping == "names", tables.get(name)), known)
        model = to_predictions(array, name, onto=onto, restrict=restrict)
        if len(model.classes) != len(target):
            raise ValueError(
                f"{name!r} has predictions of {len(model.classes)} examples, labels are of {len(target)}: "
                "expected the same examples in the same order"
            )
        if head is not None and onto is not None and int(model.classes.min()) < -len(head):
            raise ValueError(
                f"{name!r} predicts class {-1 - int(model.classes.min())}, but its head has {len(head)} class names"
            )
        if model.n_classes is not None:
            from_head[name] = model.n_classes
        models.append(model)
        maps.append(onto)
    found = _check_classes(target, model_names, models, names, from_head)
    models, outside = _outside_in_common(models, [heads.get(name) for name in model_names], maps)
    return Classification(target, models, found, outside, _absent(maps, target))


def _outside_in_common(
    models: Sequence[Predictions], heads: Sequence[list[str] | None], maps: Sequence[list[int | None] | None]
) -> tuple[list[Predictions], list[str]]:
    """Classes outside the mappings by one numbering, and their names: by name where heads have names, else by index.

    Classes without names are the same where their index is, and the width of their heads.
    """
    numbers: dict[Any, int] = {}
    changed = []
    for model, head, onto in zip(models, heads, maps, strict=True):
        if onto is None:
            changed.append(model)
            continue
        size = max(len(onto), -int(model.classes.min()))
        keys = [head[index] if head is not None else (len(onto), index) for index in range(size)]
        own = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
        outside = model.classes < 0
        classes = np.where(outside, -1 - own[np.where(outside, -1 - model.classes, 0)], model.classes)
        changed.append(replace(model, classes=classes))
    return changed, [key if isinstance(key, str) else str(key[1]) for key in numbers]


def _absent(maps: Sequence[list[int | None] | None], labels: NDArray[np.int64]) -> list[list[int]]:
    """For each model, labels that no class of its head means: it can only be wrong on them."""
    occurring = set(np.unique(labels).tolist())
    return [[] if onto is None else sorted(occurring - {*onto}) for onto in maps]


def _check_classes(
    labels: NDArray[np.int64],
    model_names: Sequence[str],
    models: Sequence[Predictions],
    names: list[str] | None,
    from_head: Mapping[str, int],
) -> list[str]:
    """The class names, once no index and no head contradicts them."""
    how = 'give mapping={model: {class of its head: class of the labels}}, or mapping="names" with head_classes'
    sizes = set(from_head.values())
    if names is not None and sizes - {len(names)}:
        name, size = next((name, size) for name, size in from_head.items() if size != len(names))
        raise ValueError(f"{name!r} has scores of {size} classes, class_names has {len(names)}: {how}")
    if len(sizes) > 1:
        listed = ", ".join(f"{name!r} has {size}" for name, size in from_head.items())
        raise ValueError(f"heads with other classes: {listed}: {how}")
    largest = max(int(labels.max()), *(int(model.classes.max()) for model in models))
    size = len(names) if names is not None else sizes.pop() if sizes else largest + 1
    source = "class_names has" if names is not None else "the scores have"
    if labels.max() >= size:
        where = int(np.argmax(labels >= size))
        raise ValueError(f"labels: {labels[where]} at example {where}, but {source} {size} classes")
    for name, model in zip(model_names, models, strict=True):
        if model.classes.max() >= size:
            where = int(np.argmax(model.classes >= size))
            raise ValueError(
                f"{name!r} predicts class {model.classes[where]} at example {where}, but {source} {size} classes: {how}"
            )
    return names if names is not None else [str(index) for index in range(size)]


def _tables(mapping: Any, names: Sequence[str]) -> Mapping[str, Any]:
    if mapping is None or mapping == "names":
        return {}
    if not isinstance(mapping, Mapping):
        raise TypeError(f'mapping {mapping!r}: expected None, "names", or {{model: {{class of its head: class}}}}')
    if unknown := [key for key in mapping if key not in names]:
        raise ValueError(f"mapping is for {unknown[0]!r}: the models are {', '.join(map(repr, dict.fromkeys(names)))}")
    return mapping


def _onto(
    name: str,
    head: list[str] | None,
    width: int | None,
    given: tuple[list[str] | None, bool, Mapping[Any, Any] | Sequence[Any] | None],
    known: Sequence[list[str] | None],
) -> list[int | None] | None:
    """How the classes of a head map onto those of the labels; None where they are the same.

    given: the names of the labels' classes, whether to match by name, and the table of this model.
    """
    class_names, by_name, table = given
    if table is not None:
        return head_mapping(table, name, head, class_names, width)
    if head is None:
        return None
    if by_name:
        if class_names is None:
            raise ValueError('mapping="names" needs class_names: what do the labels mean?')
        if head == class_names:
            return None
        shared = {c: c for c in class_names if c in head}
        if not shared:
            raise ValueError(
                f"no class of the head of {name!r} ({listed(head, 4)}) has the name of a label "
                f"({listed(class_names, 4)}): give mapping={{{name!r}: {{class of the head: class of the labels}}}}"
            )
        return head_mapping(shared, name, head, class_names, width)
    other = class_names if class_names is not None else next((h for h in known if h is not None and h != head), head)
    if head == other:
        return None
    whose = "class_names" if class_names is not None else "the other head"
    if sorted(head) == sorted(other):
        at = next(index for index, (x, y) in enumerate(zip(head, other, strict=True)) if x != y)
        what = f"has the classes of {whose} in another order (class {at} is {head[at]!r}, there {other[at]!r})"
    else:
        what = f"has other classes than {whose} ({len(head)}, there {len(other)}; {_one_only(head, other)})"
    raise ValueError(
        f'the head of {name!r} {what}: give mapping="names" with class_names to match classes by name, '
        f"or mapping={{{name!r}: {{class of the head: class of the labels}}}}"
    )


def _one_only(head: Sequence[str], other: Sequence[str]) -> str:
    extra = [name for name in head if name not in set(other)] or [name for name in other if name not in set(head)]
    return f"{extra[0]!r} is in one only" if extra else "some names occur more than once"
