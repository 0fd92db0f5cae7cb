"""The fixture's object: one check against the baseline of this test, made or accepted with `--cka-update`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cka_plugin.regression.baseline import BATCH_SIZE, Baseline, make_baseline
from cka_plugin.regression.check import check
from cka_plugin.regression.failure import FailureReport, said_of
from cka_plugin.regression.limits import Limits
from cka_plugin.regression.names import (
    SUFFIX,
    earlier_file_name,
    earlier_owner_of,
    file_name,
    folder_of,
    is_shared,
    is_there,
    owner_of,
)
from cka_plugin.regression.result import CheckResult
from cka_plugin.regression.session import Baselines
from cka_plugin.regression.stored import StaleBaselineError
from cka_plugin.regression.update import update
from cka_plugin.wording import for_terminal

ACCEPT = "If this is what you want, accept it with: pytest --cka-update"


class CkaRegressionError(AssertionError):
    """A model does not agree with its baseline, or there is none."""


class CkaRegression:
    """What the fixture `cka_regression` gives: checks of one test.

    Args:
        test_file: the file of the test.
        nodeid: the test, behind its file: `test_net.py::TestNet::test_small[0.5]`.
        baselines: of the session.
    """

    def __init__(self, test_file: Path, nodeid: str, baselines: Baselines) -> None:
        self.test_file = test_file
        self.nodeid = nodeid
        self.baselines = baselines
        self._endings: set[str] = set()

    def check(
        self,
        model: Any,
        data: Any,
        labels: Any = None,
        min_cka: float | Mapping[str, float] = Limits.min_cka,
        name: str | None = None,
        *,
        max_accuracy_drop: float | None = Limits.max_accuracy_drop,
        max_class_drop: float | None = Limits.max_class_drop,
        max_churn: float | None = Limits.max_churn,
        block_structure: bool = Limits.block_structure,
        allow_nan: bool = False,
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
            model: a name, a folder or an `nn.Module`.
            data: the examples, always the same ones; 256 are enough, and give intervals. Paths, here and in `model` and
                `labels`, are relative to the file of the test.
            labels: their classes, where `data` has none.
            min_cka: the lowest CKA a layer may show: one number, or a table by layer, pattern, kind or depth.
            name: of this check, where a test makes several.
            max_accuracy_drop, max_class_drop, max_churn, block_structure, allow_nan, match: as for
                `cka_plugin.check`.
            batch_size, granularity, pooling, layers, part, max_examples, precision, float16, transforms, device: as for
                `cka_plugin.make_baseline`; but all examples that the test gives are used.

        Returns:
            The `CheckResult`, which has passed.

        Raises:
            CkaRegressionError: it has not; or there is no baseline, or one that cannot be read, or of other data.
        """
        __tracebackhide__ = True
        limits = {
            "min_cka": min_cka,
            "max_accuracy_drop": max_accuracy_drop,
            "max_class_drop": max_class_drop,
            "max_churn": max_churn,
            "block_structure": block_structure,
        }
        made: dict[str, Any] = {
            "batch_size": batch_size,
            "granularity": granularity,
            "pooling": pooling,
            "max_examples": max_examples,
            "layers": None if layers is None else list(layers),
            "part": part,
            "precision": precision,
        }
        run: dict[str, Any] = {
            "transforms": transforms,
            "device": device,
            "labels": self._beside(labels),
            "allow_nan": allow_nan,
        }
        given = (self._beside_if_there(model), self._beside(data))
        outcome = self._outcome(given, name, limits, made | run | {"float16": float16, "match": match})
        if isinstance(outcome, CheckResult):
            return outcome
        raise CkaRegressionError(outcome)

    def _outcome(
        self, given: tuple[Any, Any], name: str | None, limits: dict[str, Any], options: dict[str, Any]
    ) -> CheckResult | str:
        """A check that passed, or what is to be said of one that did not."""
        path = self._file(name)
        self.baselines.used.add(str(path))
        shown = os.path.relpath(path)
        try:
            asked = Limits(**limits)
            if self.baselines.update:
                return self._accept(given, path, asked, options)
            return self._judge(given, path, asked, options)
        except Exception as error:
            if os.environ.get("CKA_PLUGIN_DEBUG"):
                raise
            said = for_terminal(said_of(error), lines=True)
            accept = f"\n{ACCEPT}" if isinstance(error, StaleBaselineError) and ACCEPT not in said else ""
            where = "" if shown in said else f"\n\nBaseline: {for_terminal(shown)}"
            return said + where + accept

    def _accept(self, given: tuple[Any, Any], path: Path, limits: Limits, options: dict[str, Any]) -> CheckResult:
        """Make the baseline of this check, and write it where it says something else than the one that is there."""
        options.pop("match")
        self._check_shared(path)
        made = replace(make_baseline(*given, progress=False, **options), owner=_within(self.nodeid))
        result = check(made.representation, made, allow_nan=options["allow_nan"], **asdict(limits))
        change = update(path, made)
        if change:
            self.baselines.changes.append(change)
        return result

    def _judge(self, given: tuple[Any, Any], path: Path, limits: Limits, options: dict[str, Any]) -> CheckResult | str:
        """Check against the baseline that is there: a result that passed, or what is to be said of the failure."""
        shown = os.path.relpath(path)
        if not is_there(path):
            raise ValueError(f"there is no baseline {shown}. Make it with: pytest --cka-update")
        try:
            baseline = Baseline.load(path)
        except (ValueError, OSError) as error:
            raise StaleBaselineError(str(error)) from error
        self._check_owner(baseline, path)
        of_check = ("transforms", "device", "labels", "allow_nan", "match")
        _check_options(baseline, {key: value for key, value in options.items() if key not in (*of_check, "float16")})
        run = {key: options[key] for key in of_check}
        result = check(given[0], baseline, given[1], **run, **asdict(limits))
        if result.passed:
            return result
        report = FailureReport(self.baselines.report, self._report_name(path), result, ACCEPT).write(
            self.baselines.reports
        )
        return f"{result}\n\nBaseline: {for_terminal(shown)}\n{ACCEPT}{report}"

    # Files

    def _check_shared(self, path: Path) -> None:
        """Raise where another test of this run has the same file, but for case."""
        if not path.exists():
            return
        try:
            before = Baseline.load(path)
        except (ValueError, OSError):  # a damaged one is nobody's, and written anew
            return
        if before.owner in {_within(other) for other in self._others()}:
            self._check_owner(before, path)

    def _check_owner(self, baseline: Baseline, path: Path) -> None:
        """Raise where a file system that takes upper case for lower gave two tests one file."""
        own, other = _within(self.nodeid), baseline.owner
        if other != own and other.lower() == own.lower():
            raise StaleBaselineError(
                f"{os.path.relpath(path)} is the baseline of {other}, not of {own}: names that differ in case alone"
                " share a file on some systems, so rename one of the tests"
            )

    def _file(self, name: str | None) -> Path:
        """The file of the baseline of the next check; a second one without a name is numbered."""
        own = "" if name is None else f".{file_name(name)}"
        earlier = "" if name is None else f".{earlier_file_name(name)}"
        number, count = 1, ""
        while own + count in self._endings:
            number += 1
            count = f".{number}"
        self._endings.add(own + count)
        folder = folder_of(self.test_file)
        path = folder / f"{owner_of(self.nodeid)}{own}{count}{SUFFIX}"
        before = folder / f"{earlier_owner_of(self.nodeid)}{earlier}{count}{SUFFIX}"
        if not is_there(path) and is_there(before) and not is_shared(self.nodeid, self._others()):
            return before
        return path

    def _others(self) -> set[str]:
        return self.baselines.others(self.test_file, self.nodeid)

    def _beside(self, given: Any) -> Any:
        """A path relative to the file of the test; everything else as it is."""
        if not isinstance(given, str | os.PathLike) or os.fspath(given).startswith("sample:"):
            return given
        return str(self.test_file.parent / given)

    def _beside_if_there(self, model: Any) -> Any:
        """A model's folder or file relative to the file of the test; names as they are."""
        if isinstance(model, Mapping):
            return {name: self._beside_if_there(one) for name, one in model.items()}
        beside = self._beside(model)
        return beside if isinstance(beside, str) and Path(beside).exists() else model

    def _report_name(self, path: Path) -> str:
        """The test's place in the project, and the check: no two checks write one report."""
        folder = os.path.relpath(self.test_file.parent, self.baselines.root)
        parts = [part for part in Path(folder).parts if part not in (".", "..")]
        return ".".join([*parts, self.test_file.stem, path.name.removesuffix(SUFFIX)])


def _within(nodeid: str) -> str:
    """A test's name within its file."""
    return nodeid.partition("::")[2]


def _check_options(baseline: Baseline, asked: Mapping[str, Any]) -> None:
    for key, value in asked.items():
        before = baseline.representation.options.get(key, value)
        if before != value:
            raise StaleBaselineError(
                f"{baseline.source} was made with {key}={before!r}, the test asks for {value!r}. {ACCEPT}"
            )
