"""`ablate`: accuracy after each residual block is replaced by its shortcut. It runs the model once a block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from cka_plugin.adapters.base import Inputs, Layer
from cka_plugin.analysis.ablation import Ablation, KeptBlock, Replacement, ablation_effects
from cka_plugin.analysis.errors.heads import align
from cka_plugin.capture.hooks import Capture
from cka_plugin.data import Batch, ReadOptions
from cka_plugin.engine.feeding import feeding
from cka_plugin.engine.model_run import hooked
from cka_plugin.engine.progress import progress_bar
from cka_plugin.experiments.shortcuts import (
    Seen,
    Silencing,
    branch_parameters,
    outside_parameters,
    silenced,
    what_is_left,
    why_nothing,
)
from cka_plugin.experiments.single import needs_labels, open_one
from cka_plugin.lending.running import stays_where_it_is
from cka_plugin.models.subject import Subject
from cka_plugin.options import Options
from cka_plugin.warnings import warn
from cka_plugin.wording import listed


def ablate(
    model: Any,
    data: Any = None,
    labels: Any = None,
    *,
    mapping: str | Mapping[str, Any] | None = None,
    level: float = 0.95,
    batch_size: int | None = None,
    max_examples: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    pretrained: bool = True,
    transforms: Any = None,
    forward: Any = None,
    inputs: Any = None,
    label_key: str | int | None = None,
    on_error: str = "raise",
    workers: int | str = "auto",
    seed: int = 0,
    progress: bool = True,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    layers: Iterable[str] | None = None,
) -> Ablation:
    """What a model loses when one of its residual blocks is replaced by its shortcut, block by block.

    A block's shortcut is what it computes with the weights of its residual branches at zero: the identity, or its
    downsample path, and the activation or normalisation that follows the addition. Blocks that pass nothing on then are
    listed with the reason. The data are read once, and on each minibatch the model runs once whole and once for each
    block; it comes back as it was lent.

    Args:
        model: a name or an `nn.Module` that classifies; a mapping of one names it.
        data: as for `compare`.
        labels: classes of the examples, where `data` has none.
        mapping: how the classes of the model's head correspond to those of the labels, as for `compare_errors`.
        level: of the intervals.
        batch_size, max_examples, device, precision, pretrained, transforms, forward, inputs, label_key, on_error,
            workers, seed, progress, checkpoint, model_kwargs: as for `compare`.
        layers: the blocks to replace, by names, paths or patterns; all by default.

    Returns:
        An `Ablation`: a row a block with accuracy, paired difference, interval, p and churn; `.kept` has the others.

    Raises:
        ValueError, TypeError, OSError, RuntimeError: as for `compare`; no labels, or a model that does not classify.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> class Residual(nn.Module):
        ...     def __init__(self): super().__init__(); self.branch = nn.Linear(6, 6)
        ...     def forward(self, x): return x + self.branch(x).tanh()
        >>> net = nn.Sequential(nn.Linear(6, 6), Residual(), Residual(), Residual(), nn.Linear(6, 2))
        >>> x = torch.randn(80, 6)
        >>> found = ablate({"net": net}, x, (x[:, 0] > 0).long(), progress=False)
        >>> [(row.block, row.shortcut) for row in found.blocks]
        [('blocks.0', 'identity'), ('blocks.1', 'identity'), ('blocks.2', 'identity')]
    """
    options = Options.of(locals())
    read = ReadOptions.of(options)
    source, subject = open_one("ablate", model, data, options)
    name = subject.name
    if stays_where_it_is(subject.module):
        raise ValueError(f"{name} is quantised or spread over devices: its weights cannot be set to zero and back")
    blocks = [layer for layer in subject.layers if layer.kind == "block"]
    if not blocks:
        raise ValueError(f"{name} has no layers of the kind block: cka-plugin layers lists what it has")
    run = _Run(subject, blocks, mapping, source.label_names)
    watched = replace(subject, layers=subject.layers[-1:])  # the Gram vectors of one layer, which are not looked at
    with contextlib.ExitStack() as stack:
        capture = stack.enter_context(hooked(watched, options))
        batches = stack.enter_context(feeding(source, read, [subject.takes], options))
        bar = stack.enter_context(progress_bar([subject] * (1 + len(blocks)), source, read, options.progress))
        for batch in batches:
            run.add(capture, batch, bar)
    return run.finish(level)


class _Run:
    """Predictions of the whole model and without each block, as they come in."""

    def __init__(self, subject: Subject, blocks: list[Layer], mapping: Any, label_names: Any) -> None:
        self.subject, self.candidates = subject, blocks
        self.mapping, self.label_names = mapping, label_names
        self.silencings: dict[str, Silencing] = {}
        self.kept: dict[str, KeptBlock] = {}
        self.labels: list[np.ndarray] = []
        self.whole: list[np.ndarray] = []
        self.without: dict[str, list[np.ndarray]] = {}
        self.absent: set[str] = set()

    def add(self, capture: Capture, batch: Batch, bar: Any) -> None:
        batch = batch.labelled_for(self.subject.takes)
        if batch.labels is None:
            raise needs_labels("ablate")
        if batch.labels.dtype.kind == "U":
            raise ValueError(
                f"the labels are words such as {batch.labels[0]!r}, whose numbers are not known before all are read: "
                "let the data give numbers, or give labels="
            )
        inputs = batch.for_model(self.subject.takes)
        first = not self.labels
        self.labels.append(batch.labels)
        self.whole.append(self._classes(capture.run(inputs, batch.size, batch.index).logits, batch.labels))
        bar.update(batch.size)
        for layer in self.candidates:
            if layer.name not in self.kept:
                logits = self._look(capture, layer, inputs, batch) if first else None
                if silencing := self.silencings.get(layer.name):
                    if not first:
                        with silenced(silencing.parameters):
                            logits = capture.run(inputs, batch.size, batch.index).logits
                    self._note(layer, logits, batch.labels)
            bar.update(batch.size)

    def _note(self, layer: Layer, logits: np.ndarray | None, labels: np.ndarray) -> None:
        """Take the predictions of one minibatch without a block."""
        if logits is None or not np.isfinite(logits).all():
            self._keep(layer, "without it the scores are not finite")
        else:
            self.without.setdefault(layer.name, []).append(self._classes(logits, labels))

    def _look(self, capture: Capture, layer: Layer, inputs: Inputs, batch: Batch) -> np.ndarray | None:
        """Find what is left of a block, or why nothing is; returns what the model then predicts."""
        module: nn.Module = self.subject.root.get_submodule(layer.path)
        own = branch_parameters(module)
        if not own:
            self._keep(layer, "its module has no weights to set to zero")
            return None
        if outside_parameters(self.subject.root, layer.path) & set(map(id, own)):
            self._keep(layer, "it shares weights with the rest of the network")
            return None
        for keep_norms in (False, True):
            parameters = branch_parameters(module, keep_norms)
            with Seen(module, batch.size) as seen, silenced(parameters):
                logits = capture.run(inputs, batch.size, batch.index).logits
            if seen.calls != 1:
                self._keep(layer, f"it runs {seen.calls} times in one pass")
                return None
            shortcut = what_is_left(module, seen.x, seen.y, keep_norms)
            if shortcut is not None:
                self.silencings[layer.name] = Silencing(layer, parameters, shortcut)
                return logits
        self._keep(layer, why_nothing(seen.x, seen.y))
        return None

    def _keep(self, layer: Layer, reason: str) -> None:
        self.kept[layer.name] = KeptBlock(layer.name, layer.path, reason)

    def _classes(self, logits: np.ndarray | None, labels: np.ndarray) -> np.ndarray:
        """The classes predicted, among those of the labels."""
        name = self.subject.name
        if logits is None:
            raise ValueError(
                f"ablate needs class scores (examples, classes): the output of {name} has none (multi-label, "
                "regression and language-model heads are not supported)"
            )
        head = self.subject.adapter.class_names(self.subject.module)
        found = align([(name, logits)], labels, self.label_names, head_classes={name: head}, mapping=self.mapping)
        self.absent |= {found.class_names[label] for label in found.absent[0]}
        return found.models[0].classes

    def finish(self, level: float) -> Ablation:
        if self.absent:
            warn(
                f"no class of the head of {self.subject.name} means {listed(sorted(self.absent), 4)}: "
                "its predictions of their examples can only be wrong"
            )
        order = [layer.name for layer in self.candidates]
        replacements = {
            block: Replacement(one.shortcut, one.layer.path if one.layer.path != block else "")
            for block, one in self.silencings.items()
        }
        found = ablation_effects(
            np.concatenate(self.whole),
            {block: np.concatenate(rows) for block, rows in self.without.items() if block not in self.kept},
            np.concatenate(self.labels),
            replacements=replacements,
            kept=[self.kept[name] for name in order if name in self.kept],
            level=level,
        )
        return replace(found, model=self.subject.name)
