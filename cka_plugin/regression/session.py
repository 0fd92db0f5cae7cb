"""The baselines of one pytest session: where they lie, which were used, written or left over. Standard library only."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cka_plugin.regression.names import FOLDER, SUFFIX, earlier_owner_of, folder_of, owner_of
from cka_plugin.wording import for_terminal


@dataclass
class Baselines:
    """What one session does with baselines.

    Attributes:
        update: missing and changed baselines are written.
        prune: those left over are removed.
        report: the folder for reports of failures, or None.
        root: the project's folder; reports are named by their tests' places in it.
        complete: all tests were looked at; otherwise nothing can be called left over.
        tests: test file -> ids of all its tests, where the whole file was collected.
        used: files of baselines that a check asked for.
        passed: ids of tests that passed, behind their files.
        changes: sentences on what was written.
        reports: files written for failures.
        unused: files of baselines that no test uses.
        kept: those of them that could not be removed, with the reason.
    """

    update: bool = False
    prune: bool = False
    report: Path | None = None
    root: Path = Path()
    complete: bool = True
    tests: dict[str, set[str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    changes: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def collect(self, test_file: Path, nodeid: str) -> None:
        """A test exists."""
        self.tests.setdefault(str(test_file), set()).add(nodeid)

    def others(self, test_file: Path, nodeid: str) -> set[str]:
        """The ids of the other tests of a file, as far as they are known."""
        return self.tests.get(str(test_file), set()) - {nodeid}

    def ended_well(self, test_file: Path, nodeid: str) -> None:
        """A test passed."""
        self.passed.add(f"{test_file}::{nodeid}")

    def to_plain(self) -> dict[str, Any]:
        """What a worker saw, as plain data for the controller."""
        return {
            "complete": self.complete,
            "tests": {file: sorted(ids) for file, ids in self.tests.items()},
            "used": sorted(self.used),
            "passed": sorted(self.passed),
            "changes": self.changes,
            "reports": self.reports,
        }

    def merge(self, seen: dict[str, Any]) -> None:
        """Take over what a worker saw."""
        self.complete &= seen["complete"]
        for file, ids in seen["tests"].items():
            self.tests.setdefault(file, set()).update(ids)
        self.used.update(seen["used"])
        self.passed.update(seen["passed"])
        self.changes += seen["changes"]
        self.reports += seen["reports"]

    def finish(self) -> None:
        """After all tests: find what is left over, and remove it where that is wanted."""
        self.unused = self._find_unused() if self.complete else []
        if self.prune:
            for path in self.unused:
                try:
                    path.unlink()
                except OSError as error:  # a read-only tree: said in the summary, and no end of the session
                    self.kept.append(f"not removed: {path} ({error.strerror})")
            for folder in {path.parent for path in self.unused}:
                for empty in (folder, folder.parent):
                    with contextlib.suppress(OSError):  # not empty after all, or read-only
                        empty.rmdir()

    def _find_unused(self) -> list[Path]:
        found = []
        for file, ids in self.tests.items():
            for path in sorted(folder_of(Path(file)).glob(f"*{SUFFIX}")):
                name = path.name.removesuffix(SUFFIX)
                owners = [one for one in ids if _is_of(name, owner_of(one)) or _is_of(name, earlier_owner_of(one))]
                # A test that did not pass may not have come to its check.
                if str(path) not in self.used and all(f"{file}::{one}" in self.passed for one in owners):
                    found.append(path)
        for parent in {Path(file).parent for file in self.tests}:
            for folder in sorted((parent / FOLDER).glob("*")):
                if folder.is_dir() and not (parent / f"{folder.name}.py").exists():
                    found += sorted(folder.glob(f"*{SUFFIX}"))
        return found

    def summary(self, start: Path) -> list[str]:
        """Lines for the end of the session."""
        lines = sorted(self.changes)
        if self.unused and self.prune:
            gone = [path for path in self.unused if not path.exists()]
            lines += [f"removed, no test uses it: {_shown(path, start)}" for path in gone] + self.kept
        elif self.unused:
            lines += [f"unused: {_shown(path, start)}" for path in self.unused]
            lines.append("Remove unused baselines with --cka-prune.")
        elif self.prune and not self.complete:
            lines.append("Nothing was pruned: only part of the tests was collected.")
        lines += [f"report: {path}" for path in sorted(self.reports)]
        return [for_terminal(line) for line in lines]


def _is_of(name: str, owner: str) -> bool:
    """Whether a file of this name, without its suffix, is of a test of this name, or of one of its checks."""
    return name == owner or name.startswith(f"{owner}.")


def _shown(path: Path, start: Path) -> str:
    return os.path.relpath(path, start)
