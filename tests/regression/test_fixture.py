"""The fixture's object: files beside the test, one message for every failure, and no test's baseline for another."""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.regression.fixture import ACCEPT, CkaRegression, CkaRegressionError
from cka_plugin.regression.names import earlier_owner_of, folder_of
from cka_plugin.regression.session import Baselines
from tests.support.checked import X, perturbed
from tests.support.nets import ConvNet, images

Checks = Callable[..., CkaRegression]


@pytest.fixture
def checks(tmp_path: Path) -> Checks:
    """The fixture of one test of a file; `update=True` as with `--cka-update`."""

    def of(nodeid: str = "test_net.py::test_net", **session: object) -> CkaRegression:
        return CkaRegression(tmp_path / "test_net.py", nodeid, Baselines(root=tmp_path, **session))  # type: ignore[arg-type]

    return of


def failure(fixture: CkaRegression, *arguments: object, **options: object) -> str:
    with pytest.raises(CkaRegressionError) as caught:
        fixture.check(*arguments, **options)  # type: ignore[arg-type]
    ours = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if "cka_plugin" in frame.filename]
    assert [frame.name for frame in ours] == ["check"]  # raised in one place, whose frame pytest hides
    return str(caught.value)


def test_every_failure_that_a_new_baseline_settles_says_how_to_accept(net: ConvNet, checks: Checks) -> None:
    assert "there is no baseline" in (text := failure(checks(), net, X))
    assert "Make it with: pytest --cka-update" in text
    checks(update=True).check(net, X)
    assert checks().check(net, X).passed
    for arguments, options in [
        ((perturbed(net, "stem"), X), {}),
        ((net, images(256, seed=9)), {}),
        ((net, X.flip(0)), {}),
        ((net, X[:100]), {}),
        ((net, X), {"batch_size": 16}),
        ((nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), X), {}),
    ]:
        assert ACCEPT in failure(checks(), *arguments, **options)
    path = folder_of(checks().test_file) / "test_net.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    assert ACCEPT in failure(checks(), net, X)


def test_what_is_asked_wrongly_is_said_and_not_to_be_accepted(net: ConvNet, checks: Checks) -> None:
    checks(update=True).check(net, X)
    text = failure(checks(), net, X, min_cka=1.0)
    assert "within the noise of the baseline" in text
    assert ACCEPT not in text
    assert "max_churn = 5" in failure(checks(), net, X, max_churn=5)
    assert "pooling 'avg': expected one of" in failure(checks(update=True), net, X, pooling="avg")


def test_an_error_in_the_users_own_code_is_said_with_its_place(checks: Checks) -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head({"x": x}["y"])

    text = failure(checks(update=True), Broken(), torch.randn(64, 3))
    assert "'y'" in text
    assert "raised in forward, " in text
    assert __file__ in text


def test_paths_are_relative_to_the_test_file(
    checks: Checks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: ConvNet
) -> None:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "x.npy", X.numpy())
    np.save(tmp_path / "data" / "y.npy", net(X).argmax(1).numpy())
    cka.represent(net, X, batch_size=32, progress=False).save(tmp_path / "data" / "net.safetensors")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = checks(update=True).check(net, "data/x.npy", labels="data/y.npy")
    assert result.errors is not None
    assert result.errors.accuracy_a == 1
    assert checks().check(net, Path("data/x.npy")).passed
    assert checks().check("data/net.safetensors", None, match="ids").passed
    assert str(tmp_path / "gone.npy") in failure(checks(), net, "gone.npy")


@pytest.mark.filterwarnings("ignore:.*CKA is NaN")
def test_a_model_that_cannot_be_judged_makes_no_baseline_unless_asked(net: ConvNet, checks: Checks) -> None:
    dead = copy.deepcopy(net)
    with torch.no_grad():
        dead.head.weight.zero_()
    assert "allow_nan=True" in failure(checks(update=True), dead, X)
    checks(update=True).check(dead, X, allow_nan=True)
    assert "cannot be judged" in failure(checks(), dead, X)
    assert checks().check(dead, X, allow_nan=True).passed
    again = checks(update=True)
    again.check(dead, X, allow_nan=True)
    assert again.baselines.changes == []  # the same, dead layer and all


def test_a_tree_that_cannot_be_written_hides_nothing(net: ConvNet, checks: Checks, tmp_path: Path) -> None:
    checks(update=True).check(net, X)
    (tmp_path / "file").write_text("no folder")
    text = failure(checks(report=tmp_path / "file" / "reports"), perturbed(net, "stem"), X)
    assert "layer stem: CKA" in text
    assert "The report could not be written to" in text
    (tmp_path / "__cka__" / "test_other").write_text("no folder")
    other = CkaRegression(tmp_path / "test_other.py", "test_other.py::test_x", Baselines(update=True))
    assert "cannot be written" in failure(other, net, X)


def test_reports_of_tests_of_one_name_lie_apart(net: ConvNet, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        session = Baselines(update=True, report=tmp_path / "reports", root=tmp_path)
        test = CkaRegression(tmp_path / folder / "test_net.py", "test_net.py::test_net", session)
        test.check(net, X)
        session.update = False
        failure(CkaRegression(test.test_file, test.nodeid, session), perturbed(net, "stem"), X)
    names = sorted(path.name for path in (tmp_path / "reports").glob("*.json"))
    assert names == ["a.test_net.test_net.json", "b.test_net.test_net.json"]
    assert json.loads((tmp_path / "reports" / names[0]).read_text())["verdict"] == "FAILED"


# Names


def test_a_baseline_of_an_earlier_name_is_found_unless_it_might_be_anothers(net: ConvNet, checks: Checks) -> None:
    nodeid, twin = "test_net.py::test_net[ReLU]", "test_net.py::test_net[relu]"
    checks(nodeid, update=True).check(net, X)
    folder = folder_of(checks().test_file)
    (path,) = folder.glob("*")
    assert path.name != f"{earlier_owner_of(nodeid)}.safetensors"
    path.rename(folder / f"{earlier_owner_of(nodeid)}.safetensors")
    assert checks(nodeid).check(net, X).passed
    with_twin = checks(nodeid, tests={str(checks().test_file): {nodeid, twin}})
    assert "there is no baseline" in failure(with_twin, net, X)


def test_two_classes_that_differ_in_case_alone_do_not_share_a_baseline(net: ConvNet, checks: Checks) -> None:
    one, other = "test_net.py::TestNet::test_x", "test_net.py::Testnet::test_x"
    checks(one, update=True).check(net, X)
    folder = folder_of(checks().test_file)
    (folder / "TestNet.test_x.safetensors").rename(folder / "Testnet.test_x.safetensors")  # as some systems have it
    assert "is the baseline of TestNet::test_x, not of Testnet::test_x" in failure(checks(other), net, X)
    both = {str(checks().test_file): {one, other}}
    assert "rename one of the tests" in failure(checks(other, update=True, tests=both), net, X)
    checks(other, update=True).check(net, X)  # one test that was renamed
