"""JUnit XML of checks: a suite a model, a case a layer and one for the rest, as CI systems show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree

from cka_plugin.regression.result import CheckResult, LayerCheck

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0


@dataclass(frozen=True)
class CheckRun:
    """One model that was checked, or could not be.

    Attributes:
        name: of the model.
        result: None where it could not be judged.
        error: why not.
        seconds: how long it took.
    """

    name: str
    result: CheckResult | None
    error: str = ""
    seconds: float = 0.0


def to_junit(runs: Sequence[CheckRun]) -> str:
    """The XML, in the form that Jenkins, GitLab and the actions for GitHub read (xunit2, as of pytest).

    Example:
        >>> print(to_junit([CheckRun("net", None, "no such file", 0.5)]).splitlines()[0])
        <?xml version='1.0' encoding='utf-8'?>
    """
    root = ElementTree.Element("testsuites", name="cka-plugin check")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    for run in runs:
        _add_suite(root, run, now)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True).decode("utf-8") + "\n"


def _add_suite(root: ElementTree.Element, run: CheckRun, now: str) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_clean(run.name), timestamp=now, time=f"{run.seconds:.3f}")
    if run.result is None:
        case = _add_case(suite, run, "check", run.seconds)
        ElementTree.SubElement(case, "error", message=_clean(run.error), type="error").text = _clean(run.error)
    else:
        for row in run.result.layers:
            case = _add_case(suite, run, f"layer {row.name}", 0.0)
            if not row.passed:
                _add_failure(case, _sentence(run.result, row), str(run.result))
        rest = [text for text in run.result.failures if not text.startswith("layer ")]
        case = _add_case(suite, run, "predictions and structure", run.seconds)
        if rest:
            _add_failure(case, rest[0], "\n".join([*rest, "", str(run.result)]))
    counts = {"failures": len(suite.findall("testcase/failure")), "errors": len(suite.findall("testcase/error"))}
    for key, count in {"tests": len(suite.findall("testcase")), **counts, "skipped": 0}.items():
        suite.set(key, str(count))


def _add_case(suite: ElementTree.Element, run: CheckRun, name: str, seconds: float) -> ElementTree.Element:
    attributes = {"classname": _clean(f"cka.{run.name}"), "name": _clean(name), "time": f"{seconds:.3f}"}
    return ElementTree.SubElement(suite, "testcase", attributes)


def _add_failure(case: ElementTree.Element, message: str, text: str) -> None:
    ElementTree.SubElement(case, "failure", message=_clean(message), type="regression").text = _clean(text)


def _sentence(result: CheckResult, row: LayerCheck) -> str:
    starts = (f"layer {row.name}:", f"layer {row.name} (")
    return next(text for text in result.failures if text.startswith(starts))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
