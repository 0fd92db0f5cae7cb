"""Where and how large a picture is drawn, and the type, widths and colours that all pictures share.

Text is 6 to 8 points at the size at which a picture is printed, so it is drawn at that size: `column` is one column of
a paper (3.25 inches), `text` the whole width (6.75 inches). Both fit ICML and NeurIPS as well as IEEE and Nature, whose
columns are a little wider.
"""

from __future__ import annotations

import functools
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from cka_plugin.wording import for_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

WIDTHS = {"column": 3.25, "text": 6.75}  # inches
WIDE = 4.5  # inches, and more: a picture over the whole width
DPI = 300
TEXT, SMALL = 7.0, 6.0  # points: labels, and the names along axes; no text is smaller
LETTER = 0.55  # mean width of a letter of DejaVu Sans, in its size

# Okabe and Ito's colours, which readers with any colour vision tell apart (https://jfly.uni-koeln.de/color/).
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
GREY = "0.45"
MINUS = "\u2212"  # as long as a plus

# Fonts of systems with Chinese, Japanese, Korean and other letters that DejaVu Sans lacks.
_OTHER_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans",
)

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "figure.titlesize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "0.25",
    "axes.titlepad": 4.0,
    "axes.labelpad": 3.0,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.0,
    "hatch.linewidth": 0.4,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.03,
}


@dataclass(frozen=True)
class Frame:
    """Where and how large a picture is drawn.

    Attributes:
        ax: matplotlib axes to draw in, of a figure of one's own; a new figure by default.
        width: of a new figure: `column` (3.25 inches), `text` (6.75 inches), or inches; by default what fits the kind.
        title: over the picture.
    """

    ax: Axes | None = None
    width: str | float | None = None
    title: str | None = None

    def inches(self, default: str) -> float:
        """The width of a new figure.

        Raises:
            ValueError: a width that is neither a name nor a number of inches.
        """
        width = default if self.width is None else self.width
        if isinstance(width, str):
            if width not in WIDTHS:
                known = ", ".join(f"{name!r} ({inches} inches)" for name, inches in WIDTHS.items())
                raise ValueError(f"width {width!r}: expected {known}, or a number of inches")
            return WIDTHS[width]
        if not width >= 1.0:
            raise ValueError(f"width {width!r}: expected inches, 1 or more")
        return float(width)

    def alone(self, kind: str) -> None:
        """Raise a ValueError where axes were given to a picture of several."""
        if self.ax is not None:
            raise ValueError(f"{kind!r} has several panels and fills a figure of its own: leave ax= out")


DEFAULT = Frame()


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the type, widths and colours that all pictures share, whatever style is set for others."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        from matplotlib import rc_context

        with rc_context({**_STYLE, "font.sans-serif": _fonts()}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # said once, where it is written
            return draw(*args, **kwargs)

    return drawn


@functools.cache
def _fonts() -> list[str]:
    """The font of the pictures, and those installed that have what it lacks."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in installed)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, apart from pyplot's global state; notebooks show it."""
    from cka_plugin.report.picture import Picture

    return Picture(figsize=(width, height), layout="constrained", dpi=DPI)


def axes_in(frame: Frame, default: str, height: float, wide: float | None = None) -> tuple[Figure, Axes]:
    """The axes given, or those of a new figure, with the title over them.

    Args:
        frame: what was given.
        default: width of a new figure.
        height: its height as a multiple of its width.
        wide: the same where it is wider than one column; by default no other.
    """
    if frame.ax is None:
        width = frame.inches(default)
        figure = new_figure(width, (height if wide is None or width < WIDE else wide) * width)
        titled(figure, frame)
        return figure, figure.add_subplot()
    found = figure_of(frame.ax)
    for axis in (frame.ax.xaxis, frame.ax.yaxis):
        axis.label.set_fontsize(TEXT)  # it was made with the axes, outside of our style
    if frame.title:
        frame.ax.set_title(wrapped(frame.title, float(frame.ax.bbox.width) / found.dpi))
    return found, frame.ax


def figure_of(axes: Axes) -> Figure:
    """The whole figure that axes are in, also where they are in a part of it."""
    from matplotlib.figure import Figure

    found = axes.figure
    if not isinstance(found, Figure):
        found = found.figure
    assert isinstance(found, Figure)
    return found


def titled(figure: Figure, frame: Frame) -> None:
    """Put the title over a figure of its own."""
    if frame.title:
        figure.suptitle(wrapped(frame.title, float(figure.get_figwidth())))


def cut_to_height(figure: Figure, frame: Frame) -> None:
    """Take away what is empty above and below panels of a fixed shape, in a figure of its own."""
    if frame.ax is not None:
        return
    engine = figure.get_layout_engine()
    assert engine is not None
    most = float(figure.get_figheight())
    for turn in range(4):  # a layout settles at the second time, and in another height needs another
        engine.execute(figure)
        drawn = [axes.get_tightbbox() for axes in figure.axes]
        needed = max(box.y1 for box in drawn if box) - min(box.y0 for box in drawn if box)
        if frame.title:
            title = figure._suptitle  # type: ignore[attr-defined]
            needed += title.get_window_extent().height + 0.05 * figure.dpi
        height = float(figure.get_figheight())
        figure.set_figheight(min(needed / figure.dpi + 0.1, most))
        if turn and abs(figure.get_figheight() - height) < 0.01 * height:
            break


def legend_above(axes: Axes) -> None:
    """The legend over the axes, where it hides nothing, in as many columns as fit."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    figure = figure_of(axes)
    figure.draw_without_rendering()
    room = float(axes.bbox.width) / figure.dpi * 72
    each = max(len(name.replace("\\", "")) for name in names) * SMALL * LETTER + 5 * SMALL
    columns = min(len(names), max(1, int(room / each)))
    side, at = ("left", 0.0) if each <= room else ("right", 1.0)  # where it is wider than the axes: over their names
    where: dict[str, Any] = {"loc": f"lower {side}", "bbox_to_anchor": (at, 1.0), "borderaxespad": 0.3}
    axes.legend(handles, names, ncols=columns, columnspacing=1.2, **where)


def wrapped(text: str, width: float, size: float = TEXT) -> str:
    """A text in lines that fit a width in inches, harmless to matplotlib."""
    letters = max(12, int(width * 72 / (size * LETTER)))
    return "\n".join(for_plot(line) for part in text.split("\n") for line in textwrap.wrap(part, letters))


def elided(name: str, most: int = 28) -> str:
    """A long name without its middle, harmless to matplotlib.

    Example:
        >>> elided("encoder.blocks.11.attention.self.query.projection", 24)
        'encoder.bloc….projection'
    """
    return for_plot(_cut(name, most, 0.5))


def distinct(names: Sequence[str], most: int = 28) -> list[str]:
    """Long names, each without a part that does not tell them apart, harmless to matplotlib.

    Example:
        >>> distinct(["vit_small_patch16_224.augreg_in21k", "vit_small_patch32_224.augreg_in21k"], 20)
        ['vit_small_patch1…n21k', 'vit_small_patch3…n21k']
    """
    for letters in range(most, max(map(len, names), default=0) + 1):
        for share in (0.5, 0.8, 0.2):
            cut = [_cut(name, letters, share) for name in names]
            if len(set(cut)) == len(set(names)):
                return [for_plot(name) for name in cut]
    return [for_plot(name) for name in names]


def abbreviated(paths: Sequence[str], most: int = 28) -> list[str]:
    """Long dotted names with parts cut to their first letters, from the left, until they fit; numbers stay.

    Example:
        >>> abbreviated(["encoder.layers.11.attention.self.query", "stages.2.blocks.0"], 24)
        ['e.l.11.a.self.query', 'stages.2.blocks.0']
    """
    return distinct([_initials(path, most) for path in paths], most)


def _initials(path: str, most: int) -> str:
    parts = path.split(".")
    for place, part in enumerate(parts[:-1]):
        if len(".".join(parts)) <= most:
            break
        parts[place] = part if part.isdigit() else part[:1]
    return ".".join(parts)


def _cut(name: str, most: int, share: float) -> str:
    """A name of at most so many letters, of which this share are of its beginning and the rest of its end."""
    if len(name) <= most:
        return name
    head = round(share * (most - 1))
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"
