"""The script that a GPU is shown with runs through where there is none, and claims nothing of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gpu.__main__ import main
from tests.gpu.record import FAILED, PASSED, Record, Size

CPU = "not applicable on cpu"


def test_all_of_it_runs_on_a_cpu_and_what_needs_cuda_is_not_said_to_have_passed(tmp_path: Path) -> None:
    assert main(["--device", "cpu", "--quick", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    states = {one["what"]: one["state"] for one in found["checks"]}
    assert found["machine"]["gpu"] == "none was seen"
    assert [what for what, state in states.items() if state not in (PASSED, CPU)] == []
    assert all("accuracy" in what or "left as found" in what or "compiled" in what
               for what, state in states.items() if state == PASSED)  # fmt: skip
    assert sum(state == CPU for state in states.values()) == 7
    assert {one["state"] for one in found["times"]} == {"measured"}
    assert "| check | state | seen |" in (tmp_path / "gpu.md").read_text("utf-8")


def test_what_fails_is_said_and_the_rest_goes_on() -> None:
    import torch

    record = Record(torch.device("cpu"), Size(quick=True), deadline=float("inf"))
    record.check("broken", lambda: "" + 1)  # type: ignore[operator]
    record.measure("broken too", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    record.check("whole", lambda: "seen")
    assert record.failed == ["broken", "broken too"]
    assert [one["state"] for one in record.checks] == [FAILED, PASSED]


def test_without_a_gpu_the_script_says_how_to_run_it(monkeypatch, capsys) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        main([])
    assert "--device cpu --quick" in capsys.readouterr().err
