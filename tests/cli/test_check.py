"""`cka-plugin check` and `baseline`: exit codes, JUnit, Markdown, several models at once, and the examples for CI."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import xmlschema
from PIL import Image

import cka_plugin as cka
from cka_plugin.regression.junit import to_junit
from cka_plugin.regression.runs import CheckRun
from tests.support import ROOT
from tests.support.nets import ConvNet, images

pytest_plugins = ["pytester"]
SCHEMA = xmlschema.XMLSchema(str(ROOT / "tests" / "support" / "junit.xsd"))
EXAMPLES = ROOT / "examples" / "ci"
DATA = ("--data", "sample:digits", "-q")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = cka.make_baseline("sample:narrow", "sample:digits", max_examples=256, progress=False)
    return made.save(tmp_path_factory.mktemp("baselines") / "narrow.safetensors")


def test_baseline_and_check_of_an_unchanged_model(command) -> None:
    code, out, _ = command("baseline", "sample:narrow", *DATA, "-o", "narrow.safetensors")
    assert code == 0
    assert "10 layers, 256 examples in 8 minibatches" in out
    code, out, _ = command("check", "sample:narrow", "--baseline", "narrow.safetensors", *DATA, "--min-cka", 0.9999)
    assert code == 0
    assert "passed, 0 of 10 layers below their thresholds" in out
    assert "\x1b" not in out  # plain text without a terminal


def test_a_regression_is_exit_code_1_and_reported_everywhere(command, narrow: Path) -> None:
    arguments = ("check", "sample:wide", "--baseline", narrow, *DATA, "--junit", "out.xml", "--markdown", "out.md")
    code, out, _ = command(*arguments)
    assert code == 1
    assert "FAILED" in out
    SCHEMA.validate("out.xml")
    suite = ElementTree.parse("out.xml").getroot()[0]
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) > 0
    assert Path("out.md").read_text(encoding="utf-8").startswith("### ❌ CKA check: sample:wide")
    code, out, _ = command(*arguments, "--json")
    assert code == 1
    assert json.loads(out)[0]["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "sample:narrow", *DATA), "give --baseline FILE"),
        (("check", "sample:narrow", "--baseline", "no.safetensors", *DATA), "no such file: no.safetensors"),
        (("check", "sample:narrow", "--baseline", "NARROW", "-q"), "data is missing"),
        (("check", "sample:narrow", "--baseline", "NARROW", *DATA, "--min-cka", "2"), "expected a lowest CKA"),
        (("check", "sample:narrow", "--baseline", "NARROW", *DATA, "--min-cka", "1"), "within the noise"),
        (("check", "sample:narrow", "--baseline", "NARROW", *DATA, "--thresholds", "no.toml"), "no such file"),
        (("check", "python:no_such_module:f", "--baseline", "NARROW", *DATA), "no_such_module"),
        (("check",), "no such file: pyproject.toml"),
        (("check", "--min-cka", "0.9"), "--min-cka needs a model"),
        (("baseline", "sample:narrow"), "give --data PATH and -o FILE"),
        (("baseline", "sample:narrow", *DATA, "-o", "/proc/no/b.safetensors"), "the folder /proc/no cannot be made"),
    ],
)
def test_what_cannot_be_judged_is_exit_code_2_and_one_line(
    command, narrow: Path, arguments: tuple, message: str
) -> None:
    code, out, errors = command(*[narrow if a == "NARROW" else a for a in arguments])
    assert code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert out == ""


def test_a_damaged_baseline_is_named(command, narrow: Path) -> None:
    Path("cut.safetensors").write_bytes(narrow.read_bytes()[:4000])
    code, _, errors = command("check", "sample:narrow", "--baseline", "cut.safetensors", *DATA)
    assert code == 2
    assert "cut.safetensors is truncated" in errors


def test_thresholds_from_a_file(command, narrow: Path) -> None:
    Path("t.toml").write_text('[thresholds]\n"stages.*" = 0.1\nstem = 0.2\nhead = 0.1\n')
    arguments = ("check", "sample:wide", "--baseline", narrow, *DATA, "--max-churn", 1, "--max-class-drop", 1)
    code, out, _ = command(*arguments, "--max-accuracy-drop", 1, "--thresholds", "t.toml")
    assert (code, "passed" in out) == (0, True)
    Path("bad.toml").write_text("[thresholds]\nstages.3 = 0.1\n")
    code, _, errors = command(*arguments, "--thresholds", "bad.toml")
    assert code == 2
    assert "quote names with dots" in errors


def test_a_model_of_the_project_itself(command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mymodels.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build():\n    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))\n"
        "    generator = torch.Generator().manual_seed(0)\n"
        "    for p in net.parameters():\n        p.data.normal_(generator=generator)\n    return net\n"
    )
    np.save("x.npy", np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32))
    monkeypatch.syspath_prepend(str(Path.cwd()))
    common = ("python:mymodels:build", "--data", "x.npy", "-q")
    assert command("baseline", *common, "-o", "own.safetensors", "--keep-examples")[0] == 0
    assert command("check", *common, "--baseline", "own.safetensors")[0] == 0
    assert command("check", "python:mymodels:build", "-q", "--baseline", "own.safetensors")[0] == 0  # kept examples
    code, _, errors = command("check", "python:mymodels:nothing", *common[1:], "--baseline", "own.safetensors")
    assert (code, "has no function 'nothing'" in errors) == (2, True)


def test_pictures_are_prepared_by_a_function_of_the_project(command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pictured.py").write_text(
        "import numpy as np\nimport torch\nfrom torch import nn\n"
        "def build():\n    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3))\n"
        "    generator = torch.Generator().manual_seed(0)\n"
        "    for p in net.parameters():\n        p.data.normal_(generator=generator)\n    return net\n"
        "def prepare(picture):\n    return torch.from_numpy(np.array(picture)).float() / 255\n"
        "def other(picture):\n    return prepare(picture).roll(1, 0)\n"
    )
    Path("photos").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (64, 4, 4, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(f"photos/{i:02}.png")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    common = ("python:pictured:build", "--data", "photos", "-q")
    code, _, errors = command("baseline", *common, "-o", "b.safetensors")
    assert (code, "--transforms python:MODULE:FUNCTION that makes a tensor of one example" in errors) == (2, True)
    prepared = ("--transforms", "python:pictured:prepare")
    assert command("baseline", *common, *prepared, "-o", "b.safetensors")[0] == 0
    assert command("check", *common, *prepared, "--baseline", "b.safetensors")[0] == 0
    code, out, _ = command("check", *common, "--transforms", "python:pictured:other", "--baseline", "b.safetensors")
    assert (code, "-o b.safetensors --transforms python:pictured:other" in out) == (1, True)
    Path("pyproject.toml").write_text(
        "[tool.cka-plugin.models.own]\nmodel = 'python:pictured:build'\nbaseline = 'own.safetensors'\n"
        "data = 'photos'\ntransforms = 'python:pictured:prepare'\n"
    )
    assert command("baseline", "-q")[0] == 0
    assert command("check", "-q")[0] == 0


def test_several_models_of_pyproject_as_in_the_examples(command, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "pyproject.toml", tmp_path)
    code, out, _ = command("baseline", "-q")
    assert code == 0
    assert out.count("written to") == 2
    workflow = _workflow()
    (step,) = [s for s in workflow["jobs"]["check"]["steps"] if "models against" in s.get("name", "")]
    program, *arguments = shlex.split(step["run"])  # the very command that users copy
    assert program == "cka-plugin"
    code, out, _ = command(*arguments)
    assert code == 0
    assert out.count("passed") == 2
    assert len(ElementTree.parse("cka-junit.xml").getroot()) == 2
    assert Path("cka-summary.md").read_text(encoding="utf-8").count("✅") == 2
    (show,) = [s for s in workflow["jobs"]["check"]["steps"] if s.get("name") == "Show the table"]
    subprocess.run(["bash", "-ec", show["run"]], check=True, env={**os.environ, "GITHUB_STEP_SUMMARY": "summary"})
    assert Path("summary").read_text(encoding="utf-8") == Path("cka-summary.md").read_text(encoding="utf-8")

    Path("narrow.cka.safetensors").write_bytes(Path("wide.cka.safetensors").read_bytes())
    (hook,) = _yaml("pre-commit-config.yaml")["repos"][0]["hooks"]
    code, out, _ = command(*shlex.split(hook["entry"])[1:])
    assert code == 1
    assert out.count("FAILED") == 1
    Path("narrow.cka.safetensors").unlink()
    code, out, errors = command(*arguments)
    assert code == 2  # the other model is checked all the same
    assert out.count("passed") == 1
    assert "error: narrow: no such file" in errors
    assert ElementTree.parse("cka-junit.xml").getroot().find("testsuite/testcase/error") is not None


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[tool.cka-plugin]\n", "guards no models"),
        ("[tool.cka-plugin.models.a]\nmodel = 'm'\n", "needs baseline"),
        (
            "[tool.cka-plugin.models.a]\nmodel = 'm'\nbaseline = 'b'\nmin-ckaa = 1\n",
            "min_ckaa of model a means nothing",
        ),
        (
            "[tool.cka-plugin.models.a]\nmodel = 'm'\nbaseline = 'b'\ntransforms = 'prepare'\n",
            "transforms of model a: 'prepare': expected python:package.module:function",
        ),
        ("not toml", "is no TOML"),
    ],
)
def test_a_configuration_that_means_nothing_is_an_error(command, toml: str, message: str) -> None:
    Path("pyproject.toml").write_text(toml)
    code, _, errors = command("check")
    assert code == 2
    assert message in errors


# How to accept


def test_the_way_to_accept_stands_in_every_failure(command, narrow: Path) -> None:
    made = f"cka-plugin baseline sample:wide --data sample:digits -o {narrow}"
    code, out, _ = command("check", "sample:wide", "--baseline", narrow, *DATA, "--markdown", "out.md")
    assert code == 1
    assert out.strip().endswith(f"If this is what you want, accept it with: {made}")
    assert "accept it with" in Path("out.md").read_text(encoding="utf-8")
    code, _, errors = command("check", "sample:narrow", "--baseline", narrow, "--data", "sample:photos", "-q")
    assert code == 2
    assert "the data are not those of narrow.safetensors" in errors
    assert "accept it with: cka-plugin baseline sample:narrow --data sample:photos -o" in errors
    code, _, errors = command("check", "sample:narrow", "--baseline", "no.safetensors", *DATA, "--untrained")
    assert (
        "Make it with: cka-plugin baseline sample:narrow --data sample:digits -o no.safetensors --untrained" in errors
    )


def test_one_model_of_pyproject_is_picked_by_its_name(command, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "pyproject.toml", tmp_path)
    code, out, _ = command("baseline", "narrow", "-q")
    assert (code, out.count("written to")) == (0, 1)
    code, out, _ = command("check", "narrow", "-q", "--device", "cpu")
    assert (code, out.count("passed")) == (0, 1)
    code, _, errors = command("check", "wide", "-q")
    assert code == 2
    assert "no such file: wide.cka.safetensors. Make it with: cka-plugin baseline wide" in errors
    code, _, errors = command("check", "narrow", "-q", "--max-churn", "0.5")
    assert code == 2
    assert "--max-churn needs a model that pyproject.toml does not guard" in errors
    code, _, errors = command("check", "slim", "-q")
    assert code == 2
    assert "or the name of a model that pyproject.toml guards" in errors


def test_folders_are_made(command) -> None:
    assert command("baseline", "sample:narrow", *DATA, "-o", "new/folder/b.safetensors")[0] == 0
    code, _, _ = command(
        "check", "sample:narrow", *DATA, "--baseline", "new/folder/b.safetensors", "--junit", "reports/here/a.xml"
    )
    assert code == 0
    SCHEMA.validate("reports/here/a.xml")


def test_a_report_that_cannot_be_written_hides_nothing(command, narrow: Path) -> None:
    Path("file").write_text("no folder")
    report = ("--junit", "file/out.xml", "--markdown", "/proc/no/out.md")
    code, out, errors = command("check", "sample:wide", "--baseline", narrow, *DATA, *report)
    assert code == 1
    assert "FAILED" in out
    assert "error: cannot write file/out.xml" in errors
    assert "error: cannot write /proc/no/out.md" in errors
    code, out, errors = command("check", "sample:narrow", "--baseline", narrow, *DATA, *report)
    assert code == 2  # it passed, but what was asked for is not there
    assert "passed" in out


# What cannot be judged


BROKEN = """
import torch
from torch import nn
def build():
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    generator = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.data.normal_(generator=generator)
    net[2].weight.data[0] = float("nan")
    return net
"""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    Path("broken_net.py").write_text(BROKEN)
    np.save("x.npy", np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32))
    monkeypatch.syspath_prepend(str(Path.cwd()))
    return "python:broken_net:build", "--data", "x.npy", "-q"


@pytest.mark.filterwarnings("ignore:.*CKA is NaN")
def test_what_cannot_be_judged_is_exit_code_2_by_name(command, broken: tuple[str, ...]) -> None:
    code, _, errors = command("baseline", *broken, "-o", "nan.safetensors")
    assert code == 2
    assert "store what there is with --allow-nan" in errors
    assert not Path("nan.safetensors").exists()
    assert command("baseline", *broken, "-o", "nan.safetensors", "--allow-nan")[0] == 0
    code, out, _ = command("check", *broken, "--baseline", "nan.safetensors", "--junit", "nan.xml")
    assert code == 2
    assert "inconclusive" in out
    SCHEMA.validate("nan.xml")
    suite = ElementTree.parse("nan.xml").getroot()[0]
    assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error")) > 0
    assert int(suite.attrib["failures"]) == 0
    arguments = ("--baseline", "nan.safetensors", "--allow-nan", "--junit", "nan.xml")
    code, out, _ = command("check", *broken, *arguments)
    assert code == 0
    assert "not judged" in out
    assert int(ElementTree.parse("nan.xml").getroot()[0].attrib["skipped"]) > 0
    SCHEMA.validate("nan.xml")


# Names are data


def test_names_do_nothing_to_a_terminal_or_a_log(command, narrow: Path) -> None:
    name = "x[/red]y\x1b[31m\n::error::gone\n|<b>"
    copy = cka.load(narrow).renamed(name)
    copy.save("named.safetensors")
    arguments = ("check", "sample:wide", *DATA, "--baseline", "named.safetensors", "--markdown", "out.md")
    code, out, _ = command(*arguments)
    assert code == 1
    code, out, errors = command("check", "named.safetensors", "--baseline", "gone.safetensors")
    toml = f"[tool.cka-plugin.models.{json.dumps(name)}]\nmodel = 'sample:wide'\nbaseline = 'named.safetensors'\n"
    Path("pyproject.toml").write_text(toml + "data = 'sample:digits'\n")
    code, out, errors = command("check", "-q", "--markdown", "out.md")
    assert code == 1
    for text in (out, errors, Path("out.md").read_text(encoding="utf-8")):
        assert "\x1b" not in text
        assert not any(line.startswith("::") for line in text.splitlines())
    assert "<b>" not in Path("out.md").read_text(encoding="utf-8").replace("\\<b\\>", "")
    assert "x[/red]y" in out


# JUnit


def test_junit_has_the_form_that_ci_systems_read() -> None:
    net = ConvNet().eval()
    made = cka.make_baseline(net, images(128), progress=False)
    torch.nn.init.normal_(net.blocks[1].conv1.weight)
    failed = cka.check(net, made, images(128), max_churn=0.0)
    runs = [CheckRun("net", failed, seconds=1.5), CheckRun("a\x00<b>", None, "no & baseline")]
    text = to_junit(runs)
    SCHEMA.validate(text)
    root = ElementTree.fromstring(text.encode())
    for suite in root:
        assert int(suite.attrib["tests"]) == len(suite)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
    assert root[1].attrib["name"] == "a?<b>"
    named = [case.attrib["name"] for case in root[0] if len(case)]
    assert named[0] == "layer blocks.1"


@pytest.mark.parametrize("wrong", ['<testsuite name="a"/>', '<testcase name="a" classname="b" time="soon"/>', "<b/>"])
def test_the_schema_refuses_what_is_no_junit_and_takes_what_pytest_writes(pytester, wrong: str) -> None:
    assert not SCHEMA.is_valid(f"<testsuites>{wrong}</testsuites>")
    pytester.makepyfile("def test_a():\n    assert False\ndef test_b():\n    pass\n")
    pytester.runpytest_inprocess("-p", "no:xdist", "--junitxml=own.xml")
    SCHEMA.validate(str(pytester.path / "own.xml"))


# The examples


def _yaml(name: str) -> dict:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


def _workflow() -> dict:
    return _yaml("github-actions.yml")


def test_the_workflow_is_well_formed() -> None:
    workflow = _workflow()
    assert set(workflow) == {"name", True, "permissions", "jobs"}  # YAML reads the key `on` as true
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert set(step) <= {"name", "uses", "run", "with", "if", "env"}


def test_nothing_is_installed_by_a_name_that_an_index_may_give_to_others() -> None:
    job = _workflow()["jobs"]["check"]
    assert job["env"]["CKA_PLUGIN"].startswith("git+https://")
    for step in job["steps"]:
        for line in step.get("run", "").splitlines():
            if "pip install" in line and "cka-plugin" in line:
                assert "@ $CKA_PLUGIN" in line
    (hook,) = _yaml("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert hook["language"] == "system"
    assert "additional_dependencies" not in hook


def test_the_hook_is_well_formed() -> None:
    (hook,) = _yaml("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert {"id", "name", "entry", "language"} <= set(hook)
    assert hook["pass_filenames"] is False
