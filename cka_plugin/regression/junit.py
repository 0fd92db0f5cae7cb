"""JUnit XML of checks: a suite a model, a case a layer and one for the rest, as CI systems show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from cka_plugin.regression.layers import layer_sentence
from cka_plugin.regression.result import LayerCheck
from cka_plugin.regression.runs import CheckRun

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0


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
            _add_layer(suite, run, row)
        of_layers = {layer_sentence(row) for row in run.result.layers}
        case = _add_case(suite, run, "predictions and structure", run.seconds)
        for kind, sentences in (("failure", run.result.failures), ("error", run.result.inconclusive)):
            rest = [text for text in sentences if text not in of_layers]
            if rest:
                _add_outcome(case, kind, rest[0], "\n".join([*rest, "", str(run)]))
    counts = {"failures": len(suite.findall("testcase/failure")), "errors": len(suite.findall("testcase/error"))}
    counts["skipped"] = len(suite.findall("testcase/skipped"))
    for key, count in {"tests": len(suite.findall("testcase")), **counts}.items():
        suite.set(key, str(count))


def _add_case(suite: ElementTree.Element, run: CheckRun, name: str, seconds: float) -> ElementTree.Element:
    attributes = {"classname": _clean(f"cka.{run.name}"), "name": _clean(name), "time": f"{seconds:.3f}"}
    return ElementTree.SubElement(suite, "testcase", attributes)


def _add_layer(suite: ElementTree.Element, run: CheckRun, row: LayerCheck) -> None:
    case, sentence = _add_case(suite, run, f"layer {row.name}", 0.0), layer_sentence(row)
    if run.result is None or row.passed:
        return
    if not row.inconclusive:
        _add_outcome(case, "failure", sentence, str(run))
    elif sentence in run.result.inconclusive:
        _add_outcome(case, "error", sentence, str(run))
    else:  # passed over, as allow_nan says
        _add_outcome(case, "skipped", sentence, sentence)


def _add_outcome(case: ElementTree.Element, kind: str, message: str, text: str) -> None:
    outcome = {"failure": "regression", "error": "inconclusive", "skipped": "not judged"}[kind]
    ElementTree.SubElement(case, kind, message=_clean(message), type=outcome).text = _clean(text)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
