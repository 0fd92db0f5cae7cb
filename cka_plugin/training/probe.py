"""A fixed probe set, on which a model in training is compared with what it was."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from cka_plugin.calls import represent
from cka_plugin.comparison import Comparison
from cka_plugin.engine import ranks as distributed
from cka_plugin.regression.baseline import BATCH_SIZE, Baseline, represent_as
from cka_plugin.representation import Representation, check_comparable
from cka_plugin.training.start import RESUMED, START, Kept
from cka_plugin.warnings import CKAWarning, warn
from cka_plugin.wording import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Probe:
    """Measures how far a model has moved, layer by layer, without disturbing its training.

    The model's mode, gradients, hooks and all random states are afterwards what they were: a run with a probe gives the
    same weights, bit by bit, as one without. Nothing of it stays on the model's device. One process measures for
    itself, whatever process group there is. The callbacks keep the start beside the checkpoints; where training resumes
    from one that has none, figures from there on are called `cka/resumed/...`.

    Attributes:
        history: what was measured in this process, one mapping a measurement, with the `step` where it was told.

    Args:
        data: the probe set, as for `represent`: some 256 examples that can be read again and again. Given a `baseline`
            that keeps its examples, it may be left out.
        baseline: a baseline (or its file) of the same examples, to compare with as well.
        labels: classes of the examples, where `data` has none; they are not needed.
        batch_size: examples a CKA minibatch.
        options: granularity, pooling, max_examples, transforms, precision, ...: as for `represent`.

    Raises:
        ValueError: no data.
        RuntimeError: when measuring: a model whose parameters are spread over processes (FSDP, ZeRO-3).

    Example:
        >>> import torch
        >>> net, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), torch.randn(64, 8)
        >>> probe = Probe(x, granularity="module")
        >>> probe.start(net)
        >>> _ = nn.init.normal_(net[2].weight)
        >>> figures = probe.measure(net)
        >>> sorted(figures)[:3], round(figures["cka/start/0"], 6)
        (['cka/previous/0', 'cka/previous/1', 'cka/previous/head'], 1.0)
    """

    def __init__(
        self,
        data: Any = None,
        baseline: Baseline | str | os.PathLike[str] | None = None,
        *,
        labels: Any = None,
        batch_size: int = BATCH_SIZE,
        **options: Any,
    ) -> None:
        self.baseline = Baseline.load(baseline) if isinstance(baseline, str | os.PathLike) else baseline
        if data is None and (self.baseline is None or self.baseline.examples is None):
            raise ValueError("a probe needs data: give the examples, or a baseline that keeps them")
        if hasattr(data, "__next__"):
            raise ValueError("the probe set is read again and again: give a list, a data set or a loader, no generator")
        self.data = data
        self.options = {"labels": labels, "batch_size": batch_size, **options}
        self.history: list[dict[str, float]] = []
        self._kept: Kept | None = None

    @property
    def kept(self) -> Kept | None:
        """What is compared with, to be kept beside checkpoints; None before the start."""
        return self._kept

    def start(self, model: nn.Module) -> None:
        """Take the model as it is now for the start."""
        self._kept = None
        first = self._represent(model)
        self._kept = Kept(START, first, first)

    def resume(self, model: nn.Module, kept: Kept | None) -> None:
        """Go on from a checkpoint with what was kept beside it; without, from the model as it is now, said by name.

        Warns:
            CKAWarning: nothing was kept, or what was is of other examples.
        """
        reason = "none was kept beside the checkpoint"
        if kept is not None:
            self._kept = kept
            try:
                check_comparable(kept.first, self._represent(model))
            except ValueError as error:
                reason = f"it is of other examples or options: {error}"
            else:
                return
        warn(
            f"training resumes without the start that CKA is measured from, {reason}: figures from here are called"
            " cka/resumed/..."
        )
        self.start(model)
        assert self._kept is not None
        self._kept = replace(self._kept, which=RESUMED)

    def measure(self, model: nn.Module, step: int | None = None) -> dict[str, float]:
        """CKA of each layer to the start, to the last measurement and to the baseline; without a start, this is it.

        What is returned is also kept in `history`, for `plot`.

        Args:
            model: in training.
            step: of the training, for `history`.

        Returns:
            `cka/start/{layer}`, `cka/previous/{layer}`, `cka/baseline/{layer}`, and `cka/{which}/lowest` of each;
            layers that are dead or not finite have no figure. Where training resumed and its start was not kept, it is
            `cka/resumed/{layer}` for `cka/start/{layer}`.
        """
        if self._kept is None:
            self.start(model)
        assert self._kept is not None
        now = self._represent(model)
        figures = {
            **_figures(self._kept.which, self._kept.first, now),
            **_figures("previous", self._kept.previous, now),
        }
        if self.baseline is not None:
            figures.update(_figures("baseline", self.baseline.representation, now))
        self._kept = replace(self._kept, previous=now)
        self.history.append(figures if step is None else {"step": step, **figures})
        return figures

    def plot(
        self,
        which: str = START,
        *,
        ax: Axes | None = None,
        width: str | float | None = None,
        title: str | None = None,
        **options: Any,
    ) -> Figure:
        """How far each layer has moved while the model trained: layers upwards, measurements to the right.

        Args:
            which: `start`, `previous`, `baseline` or `resumed`.
            ax: matplotlib axes to draw in; by default a figure of its own.
            width: `column` (3.25 inches), `text` (6.75 inches), or inches.
            title: over the picture.
            options: such as `limits=(0, 1)` of the colour scale.

        Returns:
            A matplotlib figure. `cka_plugin.report.plots.training.training` draws the same from a log of the trainer's.

        Raises:
            ValueError: nothing of the kind was measured.
            ModuleNotFoundError: matplotlib is not installed: `pip install matplotlib`.
        """
        from cka_plugin.report.plots.frame import Frame
        from cka_plugin.report.plots.training import training

        return training(self.history, which, frame=Frame(ax, width, title), **options)

    def _represent(self, model: nn.Module) -> Representation:
        _check_whole(model)
        # The model stays where it trains; a device of its own would be moved to and back.
        device = next((str(tensor.device) for tensor in [*model.parameters(), *model.buffers()]), "cpu")
        options = {"device": device, "progress": False, **self.options}
        with distributed.alone(), warnings.catch_warnings():  # the first rank measures, the others go on
            warnings.simplefilter("ignore", CKAWarning)  # a dead layer has no figure: that says it
            if self.baseline is not None:
                return represent_as(self.baseline, {"model": model}, self.data, **options)
            like = None if self._kept is None else self._kept.first
            return represent({"model": model}, self.data, like=like, **options)


def _check_whole(model: nn.Module) -> None:
    """A rank that ran a sharded model alone would wait for the others for ever."""
    wrapped = any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules())
    for name, parameter in model.named_parameters():
        if wrapped or hasattr(parameter, "device_mesh") or hasattr(parameter, "ds_id"):
            raise RuntimeError(
                f"parameter {name} is spread over processes (FSDP, tensor parallelism or ZeRO-3), so that none can"
                " run the model alone: save checkpoints and compare these, or train with DDP"
            )


def _figures(which: str, before: Representation, now: Representation) -> dict[str, float]:
    comparison = Comparison([before.renamed("before"), now.renamed("now")])
    matrix = comparison.matrix("before", "now")
    places = {layer.name: position for position, layer in enumerate(now.layers)}
    pairs = [(name, i, places[name]) for i, name in enumerate(before.layer_names) if name in places]
    if not pairs:
        raise ValueError(
            f"the model in training has {listed(now.layer_names)}, what it is compared with"
            f" {listed(before.layer_names)}: no layer in common; give the granularity of the baseline, or the part of"
            " the module that it is of"
        )
    values = {name: float(matrix[i, j]) for name, i, j in pairs if np.isfinite(matrix[i, j])}
    figures = {f"cka/{which}/{name}": value for name, value in values.items()}
    if values:
        figures[f"cka/{which}/lowest"] = min(values.values())
    return figures
