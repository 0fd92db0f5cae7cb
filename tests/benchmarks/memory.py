"""Peak memory above the models: two ResNet-50, 128 px, n = 64, every leaf module; each package in its own process.

python -m tests.benchmarks memory --rivals RIVALS
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.jobs import BARE, MAX_MEMORY, OURS, bare, images, loader_of, ours

MINIBATCHES = 2
PIXELS, N = 128, 64


def measure(rivals: list[str], folder: Path | None, repeats: int) -> dict[str, Any]:
    """Peak resident bytes of each run beyond what the process held once the models and data were there.

    What fails has the end of its error message instead.
    """
    found: dict[str, Any] = {what: [] for what in (BARE, *MAX_MEMORY, *rivals)}
    for _ in range(repeats):
        for what in [what for what, peaks in found.items() if isinstance(peaks, list)]:
            command = [sys.executable, "-m", "tests.benchmarks.memory", what, str(folder or "")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                found[what].append(json.loads(done.stdout.splitlines()[-1]))
            else:
                found[what] = done.stderr[-200:]
    return found


def peak_of(what: str, folder: Path | None) -> int:
    """Bytes, measured in this process: the kernel's high-water mark after it is set back."""
    import timm
    import torch

    from tests.benchmarks.rivals import installed, silent

    torch.set_num_threads(2)
    torch.manual_seed(0)
    models = {name: timm.create_model("resnet50", zero_init_last=False).eval() for name in "ab"}
    loader = loader_of(images(MINIBATCHES * N, PIXELS), N)
    rival = installed(folder).get(what)
    paths = _leaf_paths(models["a"])
    with silent(), torch.inference_mode():
        models["a"](torch.zeros(2, 3, 32, 32))  # what oneDNN and the allocator keep from a first run
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    with silent():
        if what == BARE:
            bare(models, loader)
        elif what in MAX_MEMORY:
            ours(models, loader, "module", MAX_MEMORY[what])
        elif rival is not None:
            rival(models["a"], models["b"], paths, paths, loader)
    return _status("VmHWM") - before


def _leaf_paths(model: Any) -> list[str]:
    import cka_plugin as cka

    return [layer.path for layer in cka.layers(model, "module")]


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024


def table(found: dict[str, Any]) -> str:
    """A Markdown table, in MB."""
    lines = ["| | peak above the models, MB: median | least and most | times ours |", "|---|---|---|---|"]
    for what, peaks in found.items():
        if isinstance(peaks, list):
            median = statistics.median(peaks)
            cells = [what, f"{median / 1e6:.0f}", f"{min(peaks) / 1e6:.0f} to {max(peaks) / 1e6:.0f}"]
            lines.append("| " + " | ".join([*cells, f"{median / statistics.median(found[OURS]):.1f}"]) + " |")
        else:
            lines.append(f"| {what} | fails | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(peak_of(sys.argv[1], Path(sys.argv[2]) if sys.argv[2] else None))
