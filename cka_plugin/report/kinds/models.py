"""Pictures of whole models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cka_plugin.report.kinds.asked import Given, Results, all_of, unless_titled
from cka_plugin.report.plots.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_models(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.models import models as draw_models

    names = all_of(results, models, "models")
    return draw_models(results.models(), names, frame=frame, **{"families": _families(results), **options})


def draw_model_map(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.models import model_map

    names = all_of(results, models, "model_map")
    return model_map(results.models(), names, frame=frame, **{"families": _families(results), **options})


def _families(results: Results) -> list[str] | None:
    """The family of each model, as its framework names it; None where of some nobody knows."""
    found = [results.family(name) for name in results.names]
    return [family for family in found if family is not None] if None not in found else None


def draw_agreement(results: Results, models: Given, frame: Frame, which: str | None = None, **options: Any) -> Figure:
    from cka_plugin.report.plots.agreement import agreement

    all_of(results, models, "agreement")
    found = results.error_matrices(**options)
    return agreement(found, which, frame=unless_titled(results, frame, f"{found.n_examples:,} examples"))


def draw_similarity_and_errors(
    results: Results, models: Given, frame: Frame, which: str | None = None, **options: Any
) -> Figure:
    from cka_plugin.analysis.errors.agreement import similarity_and_errors as test
    from cka_plugin.report.plots.agreement import similarity_and_errors

    all_of(results, models, "similarity_and_errors")
    similarity, errors = results.models(), results.error_matrices(**options)
    return similarity_and_errors(similarity, errors, test(similarity, errors), which, frame=frame)


def draw_summary(
    results: Results, models: Given, frame: Frame, x: str | None = None, y: str | None = None, factors: Any = None
) -> Figure:
    from cka_plugin.report.plots.summary import summary

    all_of(results, models, "summary")
    found = results.summary(factors)
    if x is None:
        x = "parameters" if any(model.parameters is not None for model in found.models) else "layers"
    return summary(found, x, y, frame=frame)
