"""Errors of models from their representations, which hold logits, labels and class names where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cka_plugin.analysis.errors.agreement import ErrorMatrices, error_matrices
from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.errors.group_result import GroupComparison
from cka_plugin.analysis.errors.groups import compare_groups
from cka_plugin.analysis.errors.predictions_alike import Agreement, compare_predictions
from cka_plugin.analysis.errors.result import ErrorComparison
from cka_plugin.representation import Representation


def errors_of(a: Representation, b: Representation, **options: Any) -> ErrorComparison:
    """`compare_errors` of two models on the same examples.

    Args:
        a: one model.
        b: the other.
        options: `mapping`, `restrict`, `correction`, `level`, `alpha` of `compare_errors`.

    Raises:
        ValueError: one model twice, no labels, a model that does not classify, or heads of other classes without a
            mapping.
    """
    _check_two(a, b)
    check_classifiers([a, b])
    return compare_errors(
        a.logits,
        b.logits,
        a.labels,
        a.label_names,
        example_ids=a.example_ids,
        names=(a.name, b.name),
        head_classes=_heads([a, b]),
        **options,
    )


def agreement_of(a: Representation, b: Representation, mapping: Any = None) -> Agreement:
    """`compare_predictions` of two models on the same examples.

    Args:
        a: one model.
        b: the other.
        mapping: of `compare_predictions`.

    Raises:
        ValueError: one model twice, one that does not classify, or heads of other classes without a mapping.
    """
    _check_two(a, b)
    check_scores([a, b])
    return compare_predictions(a.logits, b.logits, names=(a.name, b.name), head_classes=_heads([a, b]), mapping=mapping)


def _check_two(a: Representation, b: Representation) -> None:
    if a.name == b.name:
        raise ValueError(f"predictions are compared between two models; given {a.name} alone: compare it with another")


def error_matrices_of(models: Sequence[Representation], **options: Any) -> ErrorMatrices:
    """`error_matrices` of models on the same examples, with labels or without.

    Args:
        models: at least two.
        options: `mapping`, `restrict` of `error_matrices`.

    Raises:
        ValueError: as for `errors_of`, or a single model.
    """
    check_scores(models)
    return error_matrices(
        {model.name: model.logits for model in models},
        models[0].labels,
        models[0].label_names,
        head_classes=_heads(models),
        **options,
    )


def group_errors_of(models: Sequence[Representation], groups: Sequence[str], **options: Any) -> GroupComparison:
    """`compare_groups` of the models of two groups on the same examples, in the order in which the groups come.

    Args:
        models: all models.
        groups: the group of each.
        options: of `compare_groups`.

    Raises:
        ValueError: as for `errors_of`; not two groups, or heads that differ within a group.
    """
    names = list(dict.fromkeys(groups))
    if len(names) != 2:
        raise ValueError(f"groups {', '.join(names)}: expected two")
    members = {name: [m for m, group in zip(models, groups, strict=True) if group == name] for name in names}
    for name, inside in members.items():
        check_classifiers(inside)
        if any(model.class_names != inside[0].class_names for model in inside):
            raise ValueError(f"the heads of group {name!r} have other classes, or another order of them")
    first, second = names
    return compare_groups(
        [model.logits for model in members[first]],
        [model.logits for model in members[second]],
        models[0].labels,
        models[0].label_names,
        names=(first, second),
        head_classes={name: inside[0].class_names for name, inside in members.items()},
        **options,
    )


def group_of_each(names: Sequence[str], groups: Mapping[str, str] | Sequence[str]) -> list[str]:
    """The group of each model, from a table or a sequence.

    Args:
        names: of the models.
        groups: {model: group}, or one label a model in the order of `names`.

    Raises:
        ValueError: a model without a group.

    Example:
        >>> group_of_each(["a", "b"], {"b": "deep", "a": "wide"})
        ['wide', 'deep']
    """
    if isinstance(groups, Mapping):
        if missing := [name for name in names if name not in groups]:
            raise ValueError(
                f"groups: no group for {missing[0]!r}; expected {{model: group}} for the models {', '.join(names)}"
            )
        return [groups[name] for name in names]
    if len(groups) != len(names):
        raise ValueError(f"{len(groups)} groups for {len(names)} models: expected one a model")
    return list(groups)


def labels_of(model: Representation) -> Any:
    """The labels of a model's examples.

    Raises:
        ValueError: the data had none.
    """
    if model.labels is None:
        raise ValueError(
            f"{model.name} was made of data without labels; give labels=, class sub-folders, or a loader of (x, label)"
        )
    return model.labels


def check_classifiers(models: Sequence[Representation]) -> None:
    """Raise a ValueError unless every model has labels and class scores."""
    for model in models:
        if model.labels is None:
            raise ValueError(
                f"errors need labels: {model.name} was made of data without them; give labels=, class sub-folders, or "
                "a loader of (x, label). How often two models predict the same needs none: agreement(a, b)"
            )
    check_scores(models)


def check_scores(models: Sequence[Representation]) -> None:
    """Raise a ValueError unless every model has class scores."""
    for model in models:
        if model.logits is None:
            raise ValueError(
                f"errors and agreement need class scores (examples, classes): the output of {model.name} has none "
                "(multi-label, regression and language-model heads are not supported)"
            )


def _heads(models: Sequence[Representation]) -> dict[str, list[str]]:
    return {model.name: model.class_names for model in models if model.class_names is not None}
