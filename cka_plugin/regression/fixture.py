"""The fixture's object: one check against the baseline of this test, made or accepted with `--cka-update`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cka_plugin.regression.baseline import BATCH_SIZE, Baseline, make_baseline
from cka_plugin.regression.check import check
from cka_plugin.regression.limits import NOTHING_ASKED
from cka_plugin.regression.result import CheckResult
from cka_plugin.regression.session import SUFFIX, Baselines, file_name, folder_of, owner_of

ACCEPT = "If this is what you want, accept it with: pytest --cka-update"


class CkaRegressionError(AssertionError):
    """A model does not agree with its baseline, or there is none."""


class CkaRegression:
    """What the fixture `cka_regression` gives: checks of one test.

    Args:
        test_file: the file of the test.
        nodeid: the test.
        baselines: of the session.
    """

    def __init__(self, test_file: Path, nodeid: str, baselines: Baselines) -> None:
        self.test_file = test_file
        self.owner = owner_of(nodeid)
        self.baselines = baselines
        self._names: set[str] = set()

    def check(
        self,
        model: Any,
        data: Any,
        labels: Any = None,
        min_cka: float | Mapping[str, float] = 0.99,
        name: str | None = None,
        *,
        max_accuracy_drop: float | None = 0.01,
        max_class_drop: float | None = 0.1,
        max_churn: float | None = 0.05,
        block_structure: bool = True,
        match: str = "content",
        batch_size: int = BATCH_SIZE,
        granularity: str = "block",
        pooling: str = "auto",
        max_examples: int | None = None,
        layers: Iterable[str] | None = None,
        part: str | None = None,
        precision: str = "float32",
        float16: bool = False,
        transforms: Any = None,
        device: str = "auto",
    ) -> CheckResult:
        """Check a model against the baseline of this test.

        Args:
            model: a name or an `nn.Module`.
            data: the examples, always the same ones; 256 are enough, and give intervals.
            labels: their classes, where `data` has none.
            min_cka: the lowest CKA a layer may show: one number, or a table by layer, pattern, kind or depth.
            name: of this check, where a test makes several.
            max_accuracy_drop, max_class_drop, max_churn, block_structure, match: as for `cka_plugin.check`.
            batch_size, granularity, pooling, layers, part, max_examples, precision, float16, transforms, device: as for
                `cka_plugin.make_baseline`; but all examples that the test gives are used.

        Returns:
            The `CheckResult`, which has passed.

        Raises:
            CkaRegressionError: it has not; or there is no baseline, or one that cannot be read, or of other data.
        """
        __tracebackhide__ = True
        path = self._path(name)
        self.baselines.used.add(str(path))
        asked: dict[str, Any] = {
            "batch_size": batch_size,
            "granularity": granularity,
            "pooling": pooling,
            "max_examples": max_examples,
            "layers": None if layers is None else list(layers),
            "part": part,
            "precision": precision,
        }
        judge: dict[str, Any] = {
            "max_accuracy_drop": max_accuracy_drop,
            "max_class_drop": max_class_drop,
            "max_churn": max_churn,
            "block_structure": block_structure,
        }
        run: dict[str, Any] = {"transforms": transforms, "device": device, "labels": labels}
        shown = os.path.relpath(path)
        try:
            if self.baselines.update:
                made = make_baseline(model, data, float16=float16, progress=False, **asked, **run)
                result = check(made.representation, made, min_cka=min_cka, **judge)
                self._update(path, shown, made)
                return result
            if not path.exists():
                raise ValueError(f"there is no baseline {shown}. Make it with: pytest --cka-update")
            baseline = Baseline.load(path)
            _same_options(baseline, asked, shown)
            result = check(model, baseline, data, min_cka, match=match, **judge, **run)
        except (ValueError, TypeError, OSError) as error:
            where = "" if path.name in str(error) else f"\n\nBaseline: {shown}"
            raise CkaRegressionError(f"{error}{where}") from None
        if not result.passed:
            self._report(path.name.removesuffix(SUFFIX), result)
            raise CkaRegressionError(f"{result}\n\nBaseline: {shown}\n{ACCEPT}")
        return result

    def _path(self, name: str | None) -> Path:
        """The file of the next check: a second one without a name is numbered."""
        ending = "" if name is None else f".{file_name(name)}"
        number = 1
        while ending in self._names:
            number += 1
            ending = f".{number}" if name is None else f".{file_name(name)}.{number}"
        self._names.add(ending)
        return folder_of(self.test_file) / f"{self.owner}{ending}{SUFFIX}"

    def _update(self, path: Path, shown: str, made: Baseline) -> None:
        """Write the baseline, unless the one there says the same: version control would show a change for nothing."""
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
                    return
                change = f"changed: {shown} (before: {_figures(before)}; now: {_figures(made)}; {_movement(result)})"
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path)
        self.baselines.changes.append(change)

    def _report(self, stem: str, result: CheckResult) -> None:
        folder = self.baselines.report
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        base = f"{self.test_file.stem}.{stem}"
        (folder / f"{base}.md").write_text(result.to_markdown(), encoding="utf-8")
        (folder / f"{base}.json").write_text(json.dumps(result.to_dict(), indent=1, allow_nan=False), encoding="utf-8")
        if find_spec("matplotlib") is not None:
            from cka_plugin.report.check_plot import plot_check

            title = f"{result.model} against {result.baseline}"
            plot_check(result.layers, title).savefig(folder / f"{base}.png", dpi=120)
        self.baselines.reports.append(str(folder / f"{base}.md"))


def _same_options(baseline: Baseline, asked: Mapping[str, Any], shown: str) -> None:
    for key, value in asked.items():
        before = baseline.representation.options.get(key, value)
        if before != value:
            raise ValueError(f"{shown} was made with {key}={before!r}, the test asks for {value!r}. {ACCEPT}")


def _is_same(before: Baseline, made: Baseline, result: CheckResult) -> bool:
    old, new = before.representation, made.representation
    unmoved = all(row.passed and (not row.moved or row.reason) for row in result.layers) and not result.failures
    same = old.layers == new.layers and (before.storage_loss > 0) == (made.storage_loss > 0)
    ties = max(1.0 / new.n_examples, 2.0 * before.churn)
    return unmoved and same and (result.churn is None or result.churn <= ties)


def _figures(baseline: Baseline) -> str:
    representation = baseline.representation
    accuracy = "" if representation.accuracy is None else f", accuracy {representation.accuracy:.1%}"
    dead = f", without a similarity: {', '.join(representation.problems)}" if representation.problems else ""
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
