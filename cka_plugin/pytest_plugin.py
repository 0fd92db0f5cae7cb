"""The pytest plugin: the fixture `cka_regression`, its options, and what the terminal says of baselines.

    def test_model(cka_regression):
        cka_regression.check(load_model(), data=images, labels=labels, min_cka=0.99)

A baseline lies in `__cka__/<test file>/<test>.safetensors` beside the test, and belongs into version control. Every
run of pytest imports this file: torch is imported when a test uses the fixture, not before.
"""

from __future__ import annotations

import unittest
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cka_plugin.regression.session import Baselines

if TYPE_CHECKING:
    from cka_plugin.regression.fixture import CkaRegression

_KEY = pytest.StashKey[Baselines]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cka", "checks of representations against baselines (cka-plugin)")
    group.addoption("--cka-update", action="store_true", help="write missing and changed baselines of cka_regression")
    group.addoption("--cka-prune", action="store_true", help="remove baselines that no test uses any more")
    group.addoption(
        "--cka-report",
        metavar="DIR",
        default=None,
        help="write a page, a summary and a figure of each failed check to DIR",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = Baselines(
        update=config.getoption("--cka-update"),
        prune=config.getoption("--cka-prune"),
        report=(
            None if config.getoption("--cka-report") is None else Path(config.getoption("--cka-report")).absolute()
        ),
        root=config.rootpath,
    )


@pytest.fixture
def cka_regression(request: pytest.FixtureRequest) -> CkaRegression:
    """Check models against baselines that lie beside the test: `cka_regression.check(model, data, min_cka=0.99)`."""
    from cka_plugin.regression.fixture import CkaRegression

    fixture = CkaRegression(request.node.path, _id(request.node), request.config.stash[_KEY])
    if isinstance(request.instance, unittest.TestCase):  # which cannot take fixtures as arguments
        request.instance.cka_regression = fixture  # type: ignore[attr-defined]
    return fixture


# Which baselines are used


@pytest.hookimpl(tryfirst=True)  # before -k and other plugins leave tests out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    baselines = config.stash[_KEY]
    if config.getoption("lf", False) or config.getoption("last_failed", False):
        baselines.complete = False
    start = config.invocation_params.dir
    single = {(start / argument.split("::")[0]).resolve() for argument in config.args if "::" in argument}
    for item in items:
        if item.path.resolve() not in single:
            baselines.collect(item.path, _id(item))


def _id(item: pytest.Item) -> str:
    """The test within its file; `nodeid` is that too, but for a group that pytest-xdist adds (`--dist loadgroup`)."""
    chain = item.listchain()
    first = 1 + max(place for place, node in enumerate(chain) if isinstance(node, pytest.File))
    return "::".join([item.path.name, *(node.name for node in chain[first:])])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.passed:
        item.config.stash[_KEY].ended_well(item.path, _id(item))
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker of pytest-xdist ended: what it saw is taken over."""
    baselines = node.config.stash[_KEY]
    seen = getattr(node, "workeroutput", {}).get("cka")
    if seen is None:
        baselines.complete = False
    else:
        baselines.merge(seen)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    baselines = session.config.stash[_KEY]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cka"] = baselines.to_plain()
    else:
        baselines.finish()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash[_KEY].summary(config.invocation_params.dir)
    if lines:
        terminalreporter.section("CKA baselines")
        for line in lines:
            terminalreporter.line(line)
