"""First results soon: what commands cost beside importing the libraries that they need.

CPU time of whole processes, medians of runs in turn, each with one thread: so a busy machine matters little.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_MODULES = """
import sys
from cka_plugin.cli.main import main
sys.argv = ["cka-plugin", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
libraries = [name for name in sys.modules if name.partition(".")[0] not in ("cka_plugin", "__main__")]
print(" ".join(libraries), file=sys.stderr)
"""
_IMPORT = """
import contextlib, importlib, sys
for name in sys.stdin.read().split():
    with contextlib.suppress(Exception):  # names that a library put there itself
        importlib.import_module(name)
"""


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of each command and of its imports, and the ratio."""
    import cka_plugin as cka

    with tempfile.TemporaryDirectory() as folder:
        baseline = Path(folder) / "baseline.safetensors"
        cka.make_baseline("sample:narrow", "sample:digits", max_examples=128, progress=False).save(baseline)
        check = ["check", "sample:narrow", "--baseline", str(baseline), "--data", "sample:digits", "--quiet"]
        commands = {
            "--help, to nothing but Python": (["--help"], ["-c", ""], ""),
            "layers resnet18, to importing torch and timm": (["layers", "resnet18"], ["-c", "import torch, timm"], ""),
            "check of a small model, to its own imports": (check, ["-c", _IMPORT], _libraries(check)),
        }
        return {name: _ratio(*command, repeats) for name, command in commands.items()}


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    lines = ["| command | CPU s | imports, CPU s | ratio |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {one['s']:.2f} | {one['imports_s']:.2f} | {one['ratio']:.2f} |" for name, one in found.items()
    ]
    return "\n".join(lines)


def _libraries(command: list[str]) -> str:
    """Names of all modules that a command imports, but for this package's, in the order in which it imports them."""
    return _run(["-c", _MODULES, *command], "")[1].splitlines()[-1]


def _ratio(command: list[str], imports: list[str], given: str, repeats: int) -> dict[str, float]:
    runs = []
    for _ in range(repeats + 1):
        runs.append((_run(["-m", "cka_plugin", *command], "")[0], _run(imports, given)[0]))
    own, other = (statistics.median(column) for column in zip(*runs[1:], strict=True))  # the first reads from disk
    return {"s": own, "imports_s": other, "ratio": statistics.median(a / b for a, b in runs[1:])}


def _run(arguments: list[str], given: str) -> tuple[float, str]:
    """CPU seconds of a Python process, and what it says on standard error."""
    before = os.times()
    ran = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
    )
    after = os.times()
    if ran.returncode not in (0, 1):
        raise RuntimeError(ran.stderr)
    return after[2] + after[3] - before[2] - before[3], ran.stderr


__all__ = ["measure", "table"]
