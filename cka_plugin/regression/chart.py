"""The figure of a check for Markdown: a Mermaid chart, which GitHub and GitLab draw as SVG where they show Markdown.

A picture in a file of its own would be missing where summaries are read: comments on pull requests and job summaries
hold text alone (https://docs.github.com/get-started/writing-on-github/working-with-advanced-formatting/creating-diagrams).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from cka_plugin.report.checked_layer import CheckedLayer

_NAMED = 14  # layers whose names fit below one another; more are numbered
# Of the two lines; those that Mermaid takes by itself are too pale to be seen.
_COLOURS = '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#0b6bcb, #d1242f"}}}}%%'
_UNSAFE = re.compile(r"[^\w.@/-]")  # in a quoted word of a Mermaid chart


def mermaid(rows: Sequence[CheckedLayer]) -> list[str]:
    """Lines of a chart of CKA with the baseline and of the thresholds, layer by layer; none without a similarity.

    A layer without a similarity is drawn at the foot of the chart.

    Args:
        rows: one a layer, in the order in which they fire: `CheckResult.layers`.
    """
    values = [row.cka for row in rows if math.isfinite(row.cka)]
    if not values or len(rows) < 2:
        return []
    low = math.floor(20 * min([*values, *(row.threshold for row in rows)]) - 1e-9) / 20
    high = max(1.0, math.ceil(100 * max(values) - 1e-3) / 100)
    names = ", ".join(f'"{_UNSAFE.sub("_", row.name)}"' for row in rows)
    across = f"[{names}]" if len(rows) <= _NAMED else f'"layer" 1 --> {len(rows)}'
    line = ", ".join(f"{row.cka if math.isfinite(row.cka) else low:.4f}" for row in rows)
    return [
        "```mermaid",
        _COLOURS,
        "xychart-beta",
        f"  x-axis {across}",
        f'  y-axis "CKA with the baseline" {low:g} --> {high:g}',
        f"  line [{line}]",
        f"  line [{', '.join(f'{row.threshold:.4f}' for row in rows)}]",
        "```",
    ]
