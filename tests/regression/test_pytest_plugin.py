"""The pytest plugin, in pytest runs of their own: what is written, what is said, what fails."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch  # noqa: F401  (here, and not again and again in the runs within this process)
import yaml

import cka_plugin.analysis.blocks.detector
import cka_plugin.analysis.errors.compare
import cka_plugin.regression.fixture
import cka_plugin.report.plots.check  # noqa: F401
from tests.support import ROOT

pytest_plugins = ["pytester"]

MODEL = """
import os
import torch
from torch import nn

torch.set_num_threads(1)
torch.default_generator.manual_seed(0)  # torch.manual_seed imports the compiler, which takes seconds
NET = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
X = torch.randn(256, 6)
Y = NET(X).argmax(1)
if os.environ.get("PERTURB"):
    with torch.no_grad():
        NET[2].weight += torch.randn(16, 16)
"""

FIVE_LINES = """
from net import NET, X, Y

def test_net(cka_regression):
    cka_regression.check(NET, X, Y, granularity="module")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PERTURB", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(net=MODEL)
    pytester.syspathinsert()
    return pytester


def run(project: pytest.Pytester, *arguments: str, apart: bool = False) -> pytest.RunResult:
    """A pytest run with our plugin as an installed one; `apart`: in a process of its own."""
    start = ("-p", "cka_plugin.pytest_plugin")
    if apart or "-n" in arguments:
        return project.runpytest_subprocess(*start, *arguments, timeout=3600)
    return project.runpytest_inprocess(*start, "-p", "no:xdist", *arguments)


def files(project: pytest.Pytester) -> list[str]:
    return sorted(p.relative_to(project.path).as_posix() for p in project.path.rglob("*.safetensors"))


def workflow_arguments() -> list[str]:
    """What the workflow in examples/ci/ gives to pytest."""
    path = ROOT / "examples" / "ci" / "github-actions.yml"
    steps = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]["check"]["steps"]
    (command,) = [step["run"] for step in steps if step.get("run", "").startswith("python -m pytest")]
    return shlex.split(command)[3:]


def test_five_lines_guard_a_project(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makepyfile(test_net=FIVE_LINES)

    first = run(project, apart=True)
    assert first.ret == 1
    first.stdout.fnmatch_lines(
        ["*there is no baseline __cka__*test_net.safetensors. Make it with: pytest --cka-update*"]
    )
    assert files(project) == []
    assert not (project.path / "__cka__").exists()

    made = run(project, "--cka-update", apart=True)
    assert made.ret == 0
    made.stdout.fnmatch_lines(
        [
            "*= CKA baselines =*",
            "written: __cka__/test_net/test_net.safetensors (5 layers, 256 examples, accuracy 100.0%)",
        ]
    )
    assert files(project) == ["__cka__/test_net/test_net.safetensors"]
    content = (project.path / files(project)[0]).read_bytes()

    assert run(project).ret == 0

    monkeypatch.setenv("PERTURB", "1")
    broken = run(project, *workflow_arguments(), apart=True)
    assert broken.ret == 1
    text = broken.stdout.str()
    sentences = [line for line in text.splitlines() if "- layer" in line]
    assert "layer 2: CKA" in sentences[0]
    assert "All before 2 is as it was: the change begins there." in text
    assert "95% interval" in text
    assert "accept it with: pytest --cka-update" in text
    assert "regression.py" not in text  # no traceback of ours
    assert "pytest_check.py" not in text
    assert 'cka_regression.check(NET, X, Y, granularity="module")' in text  # the user's line
    report = json.loads((project.path / "cka-reports" / "test_net.test_net.json").read_text())
    assert report["passed"] is False
    assert report["first_moved"] == "2"
    assert "| 2 |" in (project.path / "cka-reports" / "test_net.test_net.md").read_text()
    assert (project.path / "cka-reports" / "test_net.test_net.png").read_bytes().startswith(b"\x89PNG")
    assert (project.path / files(project)[0]).read_bytes() == content

    accepted = run(project, "--cka-update")
    assert accepted.ret == 0
    accepted.stdout.fnmatch_lines(
        [
            "changed: *before: 5 layers, 256 examples, accuracy 100.0%; now: *",
        ]
    )
    assert "first layer to move 2" in accepted.stdout.str()
    assert run(project).ret == 0
    assert run(project, "--cka-update").stdout.str().count("changed:") == 0


def test_no_torch_unless_the_fixture_is_used(project: pytest.Pytester) -> None:
    project.makepyfile(test_plain="import sys\ndef test_plain():\n    assert 'torch' not in sys.modules\n")
    assert run(project, apart=True).ret == 0


SEVERAL = """
import unittest
import pytest
from net import NET, X, Y

@pytest.mark.parametrize("scale", [1, "a/b"])
def test_parametrized(cka_regression, scale):
    cka_regression.check(NET, X, name="module", granularity="module")

class TestClass:
    def test_several(self, cka_regression):
        cka_regression.check(NET, X, granularity="module")
        cka_regression.check(NET, X, granularity="module")
        cka_regression.check(NET, X[:64], name="few", granularity="module")

@pytest.mark.usefixtures("cka_regression")
class TestUnit(unittest.TestCase):
    def test_unit(self):
        self.cka_regression.check(NET, X, granularity="module")
"""

ALL = [
    "__cka__/test_several/TestClass.test_several.2.safetensors",
    "__cka__/test_several/TestClass.test_several.few.safetensors",
    "__cka__/test_several/TestClass.test_several.safetensors",
    "__cka__/test_several/TestUnit.test_unit.safetensors",
    "__cka__/test_several/test_parametrized[1].module.safetensors",
    "__cka__/test_several/test_parametrized[a_b]-*.module.safetensors",
]


def same_files(found: list[str]) -> bool:
    return len(found) == len(ALL) and all(
        name == pattern or (pattern.count("*") and name.startswith(pattern.split("*")[0]))
        for name, pattern in zip(found, ALL, strict=True)
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_classes_parameters_unittest_and_several_checks(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist")
    project.makepyfile(test_several=SEVERAL)
    written = run(project, "--cka-update", *workers)
    assert written.ret == 0
    assert same_files(files(project)), files(project)
    assert written.stdout.str().count("written: ") == 6
    if not workers:
        again = run(project)
        assert again.ret == 0
        assert "unused" not in again.stdout.str()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_unused_baselines_are_reported_and_pruned(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist")
    project.makepyfile(test_several=SEVERAL)
    assert run(project, "--cka-update").ret == 0
    kept = set(files(project))
    folder = project.path / "__cka__" / "test_several"
    source = folder / "TestUnit.test_unit.safetensors"
    leftovers = [folder / "test_gone.safetensors", folder / "TestUnit.test_unit.old.safetensors"]
    leftovers.append(project.path / "__cka__" / "test_no_file" / "test_x.safetensors")
    leftovers[-1].parent.mkdir()
    for path in leftovers:
        path.write_bytes(source.read_bytes())
    for partial in [] if workers else (["-k", "nothing"], ["test_several.py::TestUnit"], ["--lf"]):
        part = run(project, *partial, "--cka-prune", *workers).stdout.str()
        assert "TestUnit.test_unit.safetensors" not in part
        assert kept <= set(files(project))
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source.read_bytes())
    told = run(project, *workers)
    assert told.ret == 0
    for path in leftovers:
        told.stdout.fnmatch_lines([f"unused: {path.relative_to(project.path).as_posix()}"])
    told.stdout.fnmatch_lines(["Remove unused baselines with --cka-prune."])
    assert len(files(project)) == len(kept) + 3
    run(project, "--cka-prune", *workers).stdout.fnmatch_lines(["removed, no test uses it: *test_gone.safetensors"])
    assert set(files(project)) == kept
    assert not leftovers[-1].parent.exists()


IDS = """
import pytest
from net import NET, X

@pytest.mark.parametrize("layer", ["ReLU", "relu", "a::b", "a.b", "a/b", "a_b", "x" * 300])
@pytest.mark.xdist_group("one")
def test_ids(cka_regression, layer):
    cka_regression.check(NET, X, granularity="module")
"""


def test_parameters_have_baselines_of_their_own_however_tests_are_distributed(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    project.makepyfile(test_ids=IDS)
    assert run(project, "--cka-update", "-n", "1", "--dist", "loadgroup").ret == 0
    names = files(project)
    assert len({name.lower() for name in names}) == 7
    again = run(project, "-W", "ignore::pytest.PytestUnknownMarkWarning")
    again.assert_outcomes(passed=7)
    assert "unused" not in again.stdout.str()


def test_a_test_that_fails_before_its_check_keeps_its_baseline(project: pytest.Pytester) -> None:
    project.makepyfile(test_net=FIVE_LINES)
    assert run(project, "--cka-update").ret == 0
    project.makepyfile(test_net=FIVE_LINES.replace("    cka_regression", "    assert False\n    cka_regression"))
    failed = run(project, "--cka-prune")
    assert failed.ret == 1
    assert files(project) == ["__cka__/test_net/test_net.safetensors"]
    assert "unused" not in failed.stdout.str()


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_damaged_baseline_fails_with_its_name_and_without_our_traceback(
    project: pytest.Pytester, damage: str
) -> None:
    project.makepyfile(test_net=FIVE_LINES)
    assert run(project, "--cka-update").ret == 0
    path = project.path / files(project)[0]
    path.write_bytes(path.read_bytes()[:3000] if damage == "truncated" else b"\x02\0\0\0\0\0\0\0{}")
    failed = run(project)
    assert failed.ret == 1
    text = failed.stdout.str()
    assert "test_net.safetensors" in text
    assert ("is truncated" if damage == "truncated" else "was not written by cka_plugin") in text
    assert "cka_plugin/" not in text.replace("__cka__", "")
    assert run(project, "--cka-update").ret == 0
    assert run(project).ret == 0


def test_other_data_and_other_options_fail_and_say_so(project: pytest.Pytester) -> None:
    project.makepyfile(test_net=FIVE_LINES)
    assert run(project, "--cka-update").ret == 0
    project.makepyfile(test_net=FIVE_LINES.replace("(NET, X, Y", "(NET, X + 1, Y"))
    run(project).stdout.fnmatch_lines(["*the data are not those of*", "*Baseline: __cka__*test_net.safetensors"])
    project.makepyfile(test_net=FIVE_LINES.replace('"module"', '"module", batch_size=16'))
    run(project).stdout.fnmatch_lines(["*was made with batch_size=32, the test asks for 16*--cka-update*"])
    project.makepyfile(test_net=FIVE_LINES.replace('"module"', '"module", min_cka=1.0'))
    run(project).stdout.fnmatch_lines(["*lies within the noise of the baseline*"])


def test_nothing_is_written_without_the_flag(project: pytest.Pytester) -> None:
    project.makepyfile(test_net=FIVE_LINES)
    assert run(project, "--cka-update").ret == 0
    before = {p: p.stat().st_mtime_ns for p in (project.path / "__cka__").rglob("*")}
    for path in before:  # a read-only tree; the clock of the folder shows what permissions may not (root may write)
        path.chmod(0o444 if path.is_file() else 0o555)
    assert run(project, "-p", "no:cacheprovider").ret == 0
    assert {p: p.stat().st_mtime_ns for p in (project.path / "__cka__").rglob("*")} == before
    for path in before:
        path.chmod(0o755)


def test_a_tree_that_cannot_be_written_is_a_clear_failure(project: pytest.Pytester) -> None:
    project.makepyfile(test_net=FIVE_LINES)
    (project.path / "__cka__").write_text("a file where the folder should be")
    failed = run(project, "--cka-update")
    assert failed.ret == 1
    failed.stdout.fnmatch_lines(["*CkaRegressionError: *__cka__*"])


REPEATED = """
import os, pytest, torch
from pathlib import Path
import net
import cka_plugin as cka

@pytest.mark.parametrize("threads", [1, 2, 4])
def test_repeated(threads):
    torch.set_num_threads(threads)
    path = Path(__file__).parent / "__cka__" / "test_net" / "test_net.safetensors"
    runs = int(os.environ["CKA_RUNS"])
    assert sum(cka.check(net.NET, path, net.X, 0.9999, labels=net.Y).passed for _ in range(runs)) == runs
"""


@pytest.mark.parametrize("runs", [4, pytest.param(200, marks=pytest.mark.sweep)])
def test_an_unchanged_model_never_fails_on_1_2_and_4_threads(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    project.makepyfile(test_net=FIVE_LINES)
    assert run(project, "--cka-update").ret == 0
    monkeypatch.setenv("CKA_RUNS", str(runs))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # more threads than cores must not spin
    project.makepyfile(test_repeated=REPEATED)
    run(project, "test_repeated.py", apart=True).assert_outcomes(passed=3)


def test_the_installed_plugin_is_found_by_its_entry_point(tmp_path: Path) -> None:
    from importlib.metadata import entry_points

    if not any(e.value == "cka_plugin.pytest_plugin" for e in entry_points(group="pytest11")):
        pytest.skip("the package was installed before it had a pytest plugin: install it again")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, cwd=tmp_path, env={**os.environ}
    )
    assert "--cka-update" in done.stdout
