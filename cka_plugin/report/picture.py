"""A figure that shows itself in a notebook. This file imports matplotlib: import it where a figure is drawn."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from cka_plugin.warnings import warn

_MISSING = "missing from font"
_SCREEN_DPI = 150  # of what a notebook shows
# Type 42 fonts, since publishers refuse matplotlib's own (Type 3); the same picture is the same file.
_FILES: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "cka_plugin"}
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


class Picture(Figure):
    """A matplotlib figure apart from pyplot, which notebooks show all the same."""

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Write a file, by its suffix PNG, SVG, PDF, ...: as matplotlib does, with fonts that publishers take."""
        suffix = Path(fname).suffix.lstrip(".") if isinstance(fname, str | Path) else ""
        kind = str(kwargs.get("format") or suffix).lower()
        if kind in _UNDATED:
            kwargs["metadata"] = {**_UNDATED[kind], **(kwargs.get("metadata") or {})}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with rc_context(_FILES):
                super().savefig(fname, **kwargs)
        missing = [one for one in caught if _MISSING in str(one.message)]
        for one in caught:
            if one not in missing:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if missing:
            letters = "".join(dict.fromkeys(chr(int(str(one.message).split()[1])) for one in missing))
            warn(
                f"no installed font has {letters}: they are drawn as boxes; install a font that has them, such as Noto"
                " Sans CJK"
            )

    def _repr_png_(self) -> bytes:
        """What IPython shows of a value; only pyplot would teach it to show a plain `Figure`."""
        png = io.BytesIO()
        self.savefig(png, format="png", dpi=_SCREEN_DPI)
        return png.getvalue()
