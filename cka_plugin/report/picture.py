"""A figure that shows itself in a notebook. This file imports matplotlib: import it where a figure is drawn."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A matplotlib figure apart from pyplot, which notebooks show all the same."""

    def _repr_png_(self) -> bytes:
        """What IPython shows of a value; only pyplot would teach it to show a plain `Figure`."""
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()
