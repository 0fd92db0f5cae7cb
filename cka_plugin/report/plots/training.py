"""CKA over training steps, layer by layer, from what the callbacks logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.report.plots.colour_scale import HATCH, colours, scale_of
from cka_plugin.report.plots.frame import DEFAULT, Frame, axes_in, styled
from cka_plugin.report.plots.layer_axis import name_layers
from cka_plugin.report.stages import stage_starts
from cka_plugin.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = {
    "start": "CKA to the start",
    "previous": "CKA to the measurement before",
    "baseline": "CKA to the baseline",
    "resumed": "CKA to where training resumed",
}
_LOWEST = "lowest"
_TIMES = ("step", "epoch")


@dataclass(frozen=True)
class _Logged:
    """A layer that was logged."""

    name: str
    depth: float = 0.0


@styled
def training(
    history: Sequence[Mapping[str, Any]],
    which: str = "start",
    limits: tuple[float, float] | None = None,
    frame: Frame = DEFAULT,
) -> Figure:
    """How far each layer has moved while a model trained: layers upwards, steps to the right.

    Args:
        history: one mapping a measurement with `cka/{which}/{layer}` and, where it is known, `step` or `epoch`: such as
            `trainer.state.log_history` of transformers, the rows of a Lightning CSV log, or `Probe.history`. Entries
            without such figures (losses) are passed over; a layer that one lacks is hatched there.
        which: `start`, `previous`, `baseline` or `resumed`.
        limits: ends of the colour scale; by default what was logged.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: nothing of the kind was logged; the message says what was.

    Example:
        >>> log = [{"step": 10, "cka/start/stem": 0.99, "cka/start/head": 0.8}, {"step": 10, "loss": 2.3},
        ...        {"step": 20, "cka/start/stem": 0.98, "cka/start/head": 0.5}]
        >>> axes = training(log).axes[0]
        >>> axes.collections[0].get_array().tolist(), axes.get_xlabel()
        ([[0.99, 0.98], [0.8, 0.5]], 'step')
    """
    prefix = f"cka/{which}/"
    entries = [entry for entry in history if any(_is_figure(entry, key, prefix) for key in entry)]
    if not entries:
        kinds = sorted({key.split("/")[1] for entry in history for key in entry if key.startswith("cka/")})
        logged = f"logged were {listed(kinds)}" if kinds else "no CKA was logged"
        raise ValueError(f"no figure {prefix}... in {len(history)} entries: {logged}")
    names = list(
        dict.fromkeys(key.removeprefix(prefix) for entry in entries for key in entry if _is_figure(entry, key, prefix))
    )
    names = [name for name in names if name != _LOWEST]
    matrix = np.array([[_number(entry.get(prefix + name)) for entry in entries] for name in names])
    word, times = _times(entries)
    figure, axes = axes_in(frame, "column", height=float(np.clip(0.5 + 0.04 * len(names), 0.8, 1.8)), wide=0.7)
    scale = scale_of([matrix], limits)
    axes.patch.set(facecolor="0.93", edgecolor="0.35", hatch=HATCH, linewidth=0)
    rows = np.arange(len(names) + 1) - 0.5
    shown = np.ma.masked_invalid(matrix)
    mesh = axes.pcolormesh(_edges(times), rows, shown, cmap=colours(), vmin=scale.low, vmax=scale.high, rasterized=True)
    layers = [_Logged(name) for name in names]
    for start in stage_starts(names):
        axes.axhline(start - 0.5, color="white", linewidth=0.8, gid="stage")
    name_layers(axes, "y", layers, 22)
    axes.set_xlabel(word)
    axes.locator_params(axis="x", nbins=5)
    label = WORDS.get(which, f"CKA to {which}")
    figure.colorbar(mesh, ax=axes, label=label, extend=scale.extend, fraction=0.05, pad=0.03)
    return figure


def _is_figure(entry: Mapping[str, Any], key: str, prefix: str) -> bool:
    return key.startswith(prefix) and np.isfinite(_number(entry[key]))


def _number(value: Any) -> float:
    """A figure as a number; NaN where there is none (empty cells of a CSV log)."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _times(entries: Sequence[Mapping[str, Any]]) -> tuple[str, np.ndarray]:
    """What is counted along the axis, and where each measurement stands."""
    for word in _TIMES:
        times = np.array([_number(entry.get(word)) for entry in entries])
        if np.isfinite(times).all() and (np.diff(times) > 0).all():
            return word, times
    return "measurement", np.arange(1.0, len(entries) + 1)


def _edges(times: np.ndarray) -> np.ndarray:
    """Ends of the cells around each measurement, halfway to its neighbours."""
    if len(times) == 1:
        return np.array([times[0] - 0.5, times[0] + 0.5])
    middle = (times[1:] + times[:-1]) / 2
    return np.r_[times[0] - (middle[0] - times[0]), middle, times[-1] + (times[-1] - middle[-1])]
