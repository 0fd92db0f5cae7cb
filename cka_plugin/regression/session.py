"""The baselines of one pytest session: where they lie, which were used, written or left over. Standard library only."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = "__cka__"
SUFFIX = ".safetensors"


def owner_of(nodeid: str) -> str:
    """The name of a test as part of a file name: class and function, with a hash where characters had to go.

    Example:
        >>> owner_of("tests/test_net.py::TestNet::test_small[0.5-relu]")
        'TestNet.test_small[0.5-relu]'
        >>> owner_of("test_net.py::test_path[a/b]")
        'test_path[a_b]-7fec59'
    """
    return file_name(".".join(nodeid.split("::")[1:]))


def file_name(name: str) -> str:
    """A name that every file system takes.

    Example:
        >>> file_name("after quantisation")
        'after quantisation'
    """
    safe = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)[:150].rstrip(" .")
    return safe if safe == name else f"{safe}-{hashlib.blake2b(name.encode(), digest_size=3).hexdigest()}"


def folder_of(test_file: Path) -> Path:
    """Where the baselines of a test file lie."""
    return test_file.parent / FOLDER / test_file.stem


@dataclass
class Baselines:
    """What one session does with baselines.

    Attributes:
        update: missing and changed baselines are written.
        prune: those left over are removed.
        report: the folder for reports of failures, or None.
        complete: all tests were looked at; otherwise nothing can be called left over.
        owners: test file -> names of all its tests, where the whole file was collected.
        used: files of baselines that a check asked for.
        passed: `file::owner` of tests that passed.
        changes: sentences on what was written.
        reports: files written for failures.
        unused: files of baselines that no test uses.
    """

    update: bool = False
    prune: bool = False
    report: Path | None = None
    complete: bool = True
    owners: dict[str, set[str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    changes: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)

    def collect(self, test_file: Path, nodeid: str) -> None:
        """A test exists."""
        self.owners.setdefault(str(test_file), set()).add(owner_of(nodeid))

    def to_plain(self) -> dict[str, Any]:
        """What a worker saw, as plain data for the controller."""
        return {
            "complete": self.complete,
            "owners": {file: sorted(names) for file, names in self.owners.items()},
            "used": sorted(self.used),
            "passed": sorted(self.passed),
            "changes": self.changes,
            "reports": self.reports,
        }

    def merge(self, seen: dict[str, Any]) -> None:
        """Take over what a worker saw."""
        self.complete &= seen["complete"]
        for file, names in seen["owners"].items():
            self.owners.setdefault(file, set()).update(names)
        self.used.update(seen["used"])
        self.passed.update(seen["passed"])
        self.changes += seen["changes"]
        self.reports += seen["reports"]

    def finish(self) -> None:
        """After all tests: find what is left over, and remove it where that is wanted."""
        self.unused = self._find_unused() if self.complete else []
        if self.prune:
            for path in self.unused:
                path.unlink()
            for folder in {path.parent for path in self.unused}:
                for empty in (folder, folder.parent):
                    if empty.is_dir() and not any(empty.iterdir()):
                        empty.rmdir()

    def _find_unused(self) -> list[Path]:
        found = []
        for file, names in self.owners.items():
            for path in sorted(folder_of(Path(file)).glob(f"*{SUFFIX}")):
                name = path.name.removesuffix(SUFFIX)
                owners = [owner for owner in names if name == owner or name.startswith(f"{owner}.")]
                # A test that did not pass may not have come to its check.
                if str(path) not in self.used and all(f"{file}::{owner}" in self.passed for owner in owners):
                    found.append(path)
        for parent in {Path(file).parent for file in self.owners}:
            for folder in sorted((parent / FOLDER).glob("*")):
                if folder.is_dir() and not (parent / f"{folder.name}.py").exists():
                    found += sorted(folder.glob(f"*{SUFFIX}"))
        return found

    def summary(self, start: Path) -> list[str]:
        """Lines for the end of the session."""
        lines = sorted(self.changes)
        if self.unused and self.prune:
            lines += [f"removed, no test uses it: {_shown(path, start)}" for path in self.unused]
        elif self.unused:
            lines += [f"unused: {_shown(path, start)}" for path in self.unused]
            lines.append("Remove unused baselines with --cka-prune.")
        elif self.prune and not self.complete:
            lines.append("Nothing was pruned: only part of the tests was collected.")
        lines += [f"report: {path}" for path in sorted(self.reports)]
        return lines


def _shown(path: Path, start: Path) -> str:
    return os.path.relpath(path, start)
