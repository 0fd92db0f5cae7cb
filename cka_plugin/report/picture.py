"""A figure that shows itself in a notebook. This file imports matplotlib: import it where a figure is drawn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

_SCREEN_DPI = 150  # of what a notebook shows
# Type 42 fonts, since publishers refuse matplotlib's own (Type 3); the same picture is the same file.
_FILES = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "cka_plugin"}
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


class Picture(Figure):
    """A matplotlib figure apart from pyplot, which notebooks show all the same."""

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Write a file, by its suffix PNG, SVG, PDF, ...: as matplotlib does, with fonts that publishers take."""
        suffix = Path(fname).suffix.lstrip(".") if isinstance(fname, str | Path) else ""
        kind = str(kwargs.get("format") or suffix).lower()
        if kind in _UNDATED:
            kwargs["metadata"] = {**_UNDATED[kind], **(kwargs.get("metadata") or {})}
        with rc_context(_FILES):
            super().savefig(fname, **kwargs)

    def _repr_png_(self) -> bytes:
        """What IPython shows of a value; only pyplot would teach it to show a plain `Figure`."""
        png = io.BytesIO()
        self.savefig(png, format="png", dpi=_SCREEN_DPI)
        return png.getvalue()
