"""Writing the baseline of a test, and saying what changed in it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from cka_plugin.regression.check import check
from cka_plugin.regression.limits import NOTHING_ASKED
from cka_plugin.regression.result import CheckResult
from cka_plugin.regression.stored import Baseline
from cka_plugin.wording import listed


def update(path: Path, made: Baseline) -> str:
    """Write a baseline, unless the one there says the same: version control would show a change for nothing.

    Returns:
        A sentence on what was written; empty where nothing was.

    Raises:
        OSError: it cannot be written.
    """
    shown = os.path.relpath(path)
    if not path.exists():
        change = f"written: {shown} ({_figures(made)})"
    else:
        try:
            before = Baseline.load(path)
            result = check(made.representation, before, **asdict(NOTHING_ASKED))
        except (ValueError, OSError) as error:
            change = f"replaced: {shown} ({_figures(made)}); the old one could not be compared: {error}"
        else:
            if _is_same(before, made, result):
                return ""
            change = f"changed: {shown} (before: {_figures(before)}; now: {_figures(made)}; {_movement(result)})"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path)
    except OSError as error:
        reason = error.strerror or str(error)
        said = f"the baseline {shown} cannot be written: {reason}; nothing was accepted. {change}"
        raise OSError(error.errno, said) from error
    return change


def _is_same(before: Baseline, made: Baseline, result: CheckResult) -> bool:
    old, new = before.representation, made.representation
    unmoved = all(row.inconclusive or not row.moved for row in result.layers) and not result.failures
    same = old.layers == new.layers and (before.storage_loss > 0) == (made.storage_loss > 0)
    ties = max(1.0 / new.n_examples, 2.0 * before.churn)
    return unmoved and same and (result.churn is None or result.churn <= ties)


def _figures(baseline: Baseline) -> str:
    representation = baseline.representation
    accuracy = "" if representation.accuracy is None else f", accuracy {representation.accuracy:.1%}"
    dead = f", without a similarity: {listed(list(representation.problems))}" if representation.problems else ""
    return f"{len(representation.layers)} layers, {representation.n_examples} examples{accuracy}{dead}"


def _movement(result: CheckResult) -> str:
    alive = [row for row in result.layers if row.cka == row.cka]
    lowest = min(alive, key=lambda row: row.cka, default=None)
    parts = [] if lowest is None else [f"lowest CKA between them {lowest.cka:.4f} at {lowest.name}"]
    if result.first_moved is not None:
        parts.append(f"first layer to move {result.first_moved.name}")
    if result.churn is not None:
        parts.append(f"{result.churn:.1%} of predictions changed")
    return ", ".join(parts)
