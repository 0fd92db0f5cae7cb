"""What was found: checks, with their state, and times, with what they are held against."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

PASSED, FAILED, LEFT_OUT = "passed", "failed", "left out"
CUDA_ONLY = "not applicable on {}"  # what needs CUDA is never said to have passed elsewhere


@dataclass(frozen=True)
class Size:
    """How much is run: all of it on a GPU, a little where it is only shown that it runs."""

    quick: bool

    def of(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full


@dataclass
class Record:
    """All that was found on one device."""

    device: torch.device
    size: Size
    deadline: float
    checks: list[dict[str, Any]] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"

    def check(self, name: str, look: Callable[[], str], cuda_only: bool = False) -> None:
        """Run one check: `look` says what it has seen, or raises."""
        if cuda_only and not self.on_cuda:
            self._note(name, CUDA_ONLY.format(self.device.type), "")
        elif time.monotonic() > self.deadline:
            self._note(name, LEFT_OUT, "no time was left")
        else:
            try:
                self._note(name, PASSED, look())
            except Exception as error:
                said = traceback.format_exc(limit=-3)
                self._note(name, FAILED, f"{type(error).__name__}: {error}"[:500], said)

    def measure(self, name: str, look: Callable[[], dict[str, Any]], **against: Any) -> None:
        """Measure one thing: `look` gives figures by name; `against` are targets and published figures."""
        if time.monotonic() > self.deadline:
            self.times.append({"what": name, "state": LEFT_OUT, "why": "no time was left"})
        else:
            try:
                self.times.append({"what": name, "state": "measured", **look(), **against})
            except Exception as error:
                said = traceback.format_exc(limit=-3)
                why = f"{type(error).__name__}: {error}"[:500]
                self.times.append({"what": name, "state": FAILED, "why": why, "trace": said})
        print(_line(self.times[-1]), flush=True)

    def _note(self, name: str, state: str, seen: str, trace: str = "") -> None:
        self.checks.append({"what": name, "state": state, "seen": seen, **({"trace": trace} if trace else {})})
        print(f"{state:24} {name}: {seen}", flush=True)

    @property
    def failed(self) -> list[str]:
        return [one["what"] for one in [*self.checks, *self.times] if one["state"] == FAILED]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"device": str(self.device), **asdict(self.size), "checks": self.checks, "times": self.times}

    def table(self) -> str:
        """Markdown."""
        lines = ["| check | state | seen |", "|---|---|---|"]
        lines += [f"| {one['what']} | {one['state']} | {one['seen']} |" for one in self.checks]
        lines += ["", "| measured | figures |", "|---|---|"]
        return "\n".join(lines + [f"| {one['what']} | {_figures(one)} |" for one in self.times])


def _line(one: dict[str, Any]) -> str:
    return f"{one['state']:24} {one['what']}: {_figures(one)}"


def _figures(one: dict[str, Any]) -> str:
    shown = {key: value for key, value in one.items() if key not in ("what", "state", "trace", "runs")}
    return ", ".join(f"{key} {_number(value)}" for key, value in shown.items())


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def wall(record: Record, run: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of `repeats` runs after one that warms up, from and to a device that has nothing left to do."""
    seconds = []
    for turn in range(repeats + 1):
        wait(record.device)
        started = time.perf_counter()
        run()
        wait(record.device)
        if turn:
            seconds.append(time.perf_counter() - started)
        if time.monotonic() > record.deadline and seconds:
            break
    return seconds


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
