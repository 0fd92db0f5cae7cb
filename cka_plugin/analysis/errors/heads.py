"""Predictions of several models in one set of classes: heads of other classes, or of another order, need a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.predictions import Predictions, as_array, to_labels, to_predictions


@dataclass(frozen=True)
class Classification:
    """Predictions of several models and the labels, all in the same classes.

    Attributes:
        labels: (n,) int64.
        models: one `Predictions` a model, in the order given.
        class_names: the names of the classes; "0", "1", ... where none are known.
    """

    labels: NDArray[np.int64]
    models: list[Predictions]
    class_names: list[str]


def align(
    predictions: Sequence[tuple[str, Any]],
    labels: Any,
    class_names: Sequence[Any] | Mapping[Any, Any] | None = None,
    *,
    head_classes: Mapping[str, Sequence[Any] | Mapping[Any, Any] | None] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
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

    Raises:
        TypeError, ValueError: as `to_labels`, `to_predictions` and `head_mapping`; lengths that differ; indices
            beyond the classes; heads that differ without a mapping.

    Example:
        >>> align([("a", [0, 1]), ("b", [[0.2, 0.8], [0.1, 0.9]])], [0, 1], ["cat", "dog"]).models[1].classes.tolist()
        [1, 1]
    """
    target = to_labels(labels)
    names = to_class_names(class_names)
    heads = {name: _known_names(head) for name, head in (head_classes or {}).items()}
    tables = _tables(mapping, [name for name, _ in predictions])
    known = [heads[name] for name, _ in predictions if heads.get(name) is not None]
    if names is None and known and not tables and mapping is None and all(head == known[0] for head in known):
        names = known[0]
    arrays = [(name, v if isinstance(v, Predictions) else as_array(v)) for name, v in predictions]
    models, from_head = [], {}
    for name, array in arrays:
        width = array.shape[1] if not isinstance(array, Predictions) and array.ndim == 2 else None
        head = heads.get(name)
        if head is not None and width is not None and width != len(head):
            raise ValueError(f"{name!r} has scores of {width} classes, but its head has {len(head)} class names")
        onto = _onto(name, head, width, names, mapping == "names", tables.get(name), known)
        model = to_predictions(array, name, onto=onto)
        if len(model.classes) != len(target):
            raise ValueError(
                f"{name!r} has predictions of {len(model.classes)} examples, labels are of {len(target)}: "
                "expected the same examples in the same order"
            )
        if model.n_classes is not None:
            from_head[name] = model.n_classes
        models.append(model)
    return Classification(
        target, models, _check_classes(target, [name for name, _ in arrays], models, names, from_head)
    )


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


def _known_names(head: Sequence[Any] | Mapping[Any, Any] | None) -> list[str] | None:
    names = to_class_names(head)
    if names is None or all(name in (f"LABEL_{index}", str(index)) for index, name in enumerate(names)):
        return None
    return names


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
    class_names: list[str] | None,
    by_name: bool,
    table: Mapping[Any, Any] | Sequence[Any] | None,
    known: Sequence[list[str] | None],
) -> list[int | None] | None:
    """How the classes of a head map onto those of the labels; None where they are the same."""
    if table is not None:
        return head_mapping(table, name, head, class_names, width)
    if head is None:
        return None
    if by_name:
        if class_names is None:
            raise ValueError('mapping="names" needs class_names: what do the labels mean?')
        if head == class_names:
            return None
        return head_mapping({c: c for c in class_names if c in head}, name, head, class_names, width)
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


def head_mapping(
    table: Mapping[Any, Any] | Sequence[Any],
    name: str,
    head: Sequence[str] | None,
    class_names: Sequence[str] | None,
    width: int | None = None,
) -> list[int | None]:
    """For each class of a head, the class of the labels it means, or None.

    Args:
        table: from a class of the head (its index, or its name where `head` is known) to a class of the labels
            (index, or name where `class_names` are) or None; a sequence gives the targets in the order of the head.
            What is missing means None.
        name: the model's, for messages.
        head: the names of the head's classes, in order, where they are known.
        class_names: the names of the labels' classes, where they are known.
        width: how many classes the head has, where that is known from its scores.

    Raises:
        ValueError: a class that does not exist on its side, a name that stands for several, or nothing mapped at all.

    Example:
        >>> head_mapping({"tabby": "cat", "beagle": "dog"}, "vit", ["tabby", "car", "beagle"], ["cat", "dog"])
        [0, None, 1]
    """
    if not isinstance(table, Mapping):
        table = dict(enumerate(table))
    sources = {class_index(source, head, f"the head of {name!r}", width): source for source in table}
    size = width or (len(head) if head is not None else 1 + max(sources, default=-1))
    onto: list[int | None] = [None] * size
    for index, source in sources.items():
        target = table[source]
        onto[index] = None if target is None else class_index(target, class_names, "class_names")
    if all(target is None for target in onto):
        raise ValueError(f"the mapping of {name!r} maps no class")
    return onto


def class_index(key: Any, names: Sequence[str] | None, where: str, width: int | None = None) -> int:
    """The index of a class given by index or by name; a ValueError that says where it was looked for otherwise."""
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        size = len(names) if names is not None else width
        if key < 0 or (size is not None and key >= size):
            limit = "" if size is None else f": it has {size} classes"
            raise ValueError(f"class {key} is not in {where}{limit}")
        return int(key)
    if names is None:
        raise ValueError(f"class {key!r}: the names of {where} are not known: use indices")
    found = [index for index, name in enumerate(names) if name == key]
    if len(found) != 1:
        raise ValueError(f"class {key!r} {'is not in' if not found else 'stands for several classes of'} {where}")
    return found[0]


def to_class_names(class_names: Sequence[Any] | Mapping[Any, Any] | None) -> list[str] | None:
    """Class names as a list, from a list or from a table of index to name such as Hugging Face's `config.id2label`.

    Raises:
        ValueError: a table whose indices are not 0, 1, ... k-1.

    Example:
        >>> to_class_names({0: "cat", 1: "dog"})
        ['cat', 'dog']
    """
    if class_names is None:
        return None
    if isinstance(class_names, str):
        raise TypeError(f"class_names {class_names!r}: expected a sequence of names, one a class")
    if isinstance(class_names, Mapping):
        by_index = {int(index): str(name) for index, name in class_names.items()}
        if sorted(by_index) != list(range(len(by_index))):
            raise ValueError(
                f"class_names has the indices {sorted(by_index)[:10]}...: expected 0 to {len(by_index) - 1}"
            )
        return [by_index[index] for index in range(len(by_index))]
    return [str(name) for name in class_names]
