"""Makes adapters/COVERAGE.md from the sweeps: `python -m tests.sweeps.coverage_page`, some minutes on a few cores.

Rows are (family, architectures, blocks, how they were mapped), all strings; another framework adds its own to SECTIONS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from tests.support import ROOT
from tests.sweeps.test_timm import timm_rows
from tests.sweeps.test_transformers import transformers_rows

Row = tuple[str, str, str, str]

PAGE = ROOT / "adapters" / "COVERAGE.md"
SECTIONS: dict[str, Callable[[], Sequence[Row]]] = {"timm": timm_rows, "transformers": transformers_rows}
HEADER = ("family", "architectures", "blocks", "how mapped")


def page(sections: Mapping[str, Sequence[Row]]) -> str:
    """The page as Markdown.

    Example:
        >>> print(page({"timm": [("vgg", "8", "8 to 16 in 5 stages", "timm's group_matcher")]}).splitlines()[-1])
        | vgg | 8 | 8 to 16 in 5 stages | timm's group_matcher |
    """
    lines = [
        "# What the adapters map",
        "",
        "Made by `python -m tests.sweeps.coverage_page`; `pytest -m sweep` checks the same: every layer has a common",
        "name and fires, in the listed order, and the blocks are as many as the framework counts. `3+4+6+3` are the",
        "blocks of the stages of one tower. What was not checked, or cannot be built, has its reason in the last",
        'column; where a type has no blocks, `granularity="module"` compares every leaf module.',
    ]
    for framework, rows in sections.items():
        architectures = sum(int(row[1]) for row in rows)
        title = f"## {framework} {version(framework)}: {architectures} {_units(architectures, len(rows))}"
        lines += ["", title, "", _row(HEADER), _row(["---"] * len(HEADER)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _units(architectures: int, families: int) -> str:
    return "model types" if architectures == families > 200 else f"architectures in {families} families"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page({framework: rows() for framework, rows in SECTIONS.items()}), encoding="utf-8")
    print(f"wrote {PAGE}")
