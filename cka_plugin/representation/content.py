"""What a representation holds: one packed Gram vector a layer and minibatch, the examples, and the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from cka_plugin.adapters.base import Layer
from cka_plugin.core import Projection
from cka_plugin.representation.classes import labels_as_classes
from cka_plugin.representation.minibatch import Array, Minibatch
from cka_plugin.wording import listed

ExampleId: TypeAlias = int | str

UNTRAINED, INPUT = "untrained", "input"  # what may lie beside a representation


@dataclass(frozen=True)
class Content:
    """The fields of a `Representation` (its docstring says what they are), and what follows from them alone.

    It stands apart so that matching and merging, which `Representation` offers, need not know that class.
    """

    name: str
    layers: list[Layer]
    minibatches: list[Minibatch]
    example_ids: list[ExampleId]
    fingerprints: npt.NDArray[np.uint64]
    ranks: npt.NDArray[np.int64]
    exponents: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32] | None = None
    labels: npt.NDArray[np.int64] | None = None
    class_names: list[str] | None = None
    label_names: list[str] | None = None
    problems: dict[str, str] = field(default_factory=dict)
    skipped: list[ExampleId] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    shard: tuple[int, int] | None = None
    beside: Mapping[str, Content] = field(default_factory=dict)

    @property
    def n_examples(self) -> int:
        """Number of different examples."""
        return len(self.example_ids)

    @property
    def batch_sizes(self) -> list[int]:
        """Number of examples of each minibatch."""
        return [minibatch.size for minibatch in self.minibatches]

    @property
    def projection(self) -> Projection | None:
        """Which random projection the Gram vectors are kept as (`sketch=`); None where they are whole."""
        return Projection.recorded(self.options.get("sketch"))

    @property
    def vectors(self) -> list[Array]:
        """The packed vectors of each minibatch: (layers, n(n-1)/2).

        Raises:
            ValueError: they are not there: what was kept are sketches, which give CKA and its intervals alone.
        """
        if self.projection is not None:
            raise ValueError(
                f"this needs whole Gram matrices, and of {self.name} there are sketches of "
                f"{self.projection.size:,} numbers a minibatch, which give CKA alone: represent it without sketch= (on "
                "fewer examples, max_examples=)"
            )
        return [minibatch.vectors for minibatch in self.minibatches]

    @property
    def diagonals(self) -> list[Array]:
        """The diagonals of HKH of each minibatch: (layers, n)."""
        return [minibatch.diagonals for minibatch in self.minibatches]

    @property
    def positions(self) -> list[npt.NDArray[np.int64]]:
        """Which examples each minibatch holds, as positions in `example_ids`."""
        return [minibatch.positions for minibatch in self.minibatches]

    @property
    def passes(self) -> list[int]:
        """The pass that each minibatch belongs to."""
        return [minibatch.pass_index for minibatch in self.minibatches]

    @property
    def layer_names(self) -> list[str]:
        """Common names of the layers."""
        return [layer.name for layer in self.layers]

    @property
    def shown_layers(self) -> list[Layer]:
        """The layers as tables and pictures name them: those of the user's own modules by their paths.

        Common names say where a layer stands in a network that others know as well; in one's own, paths say it better.
        """
        about = self.options.get("model")
        if not isinstance(about, dict) or about.get("framework") != "generic":
            return self.layers
        return [replace(layer, name=_by_path(layer)) for layer in self.layers]

    @property
    def predictions(self) -> npt.NDArray[np.int64] | None:
        """(n_examples,) the class of the largest logit; None without logits."""
        return None if self.logits is None else self.logits.argmax(1).astype(np.int64)

    @property
    def accuracy(self) -> float | None:
        """Share of examples predicted as labelled; None without labels that are the model's classes."""
        meant = self.head_labels
        return None if meant is None else float(np.mean(self.predictions == meant))

    @property
    def head_labels(self) -> npt.NDArray[np.int64] | None:
        """(n_examples,) labels as classes of the model's head; None where they are not (`labels_as_classes`)."""
        if self.labels is None or self.logits is None:
            return None
        return labels_as_classes(self.labels, self.label_names, self.class_names, self.logits.shape[1])

    def renamed(self, name: str) -> Self:
        """The same under another name."""
        return replace(self, name=name)

    def of_layers(self, positions: Sequence[int]) -> Self:
        """The same with some of its layers only."""
        chosen = list(positions)
        layers = [self.layers[i] for i in chosen]
        names = {layer.name for layer in layers}
        return replace(
            self,
            layers=layers,
            minibatches=[
                replace(m, vectors=m.vectors[chosen], diagonals=m.diagonals[chosen]) for m in self.minibatches
            ],
            exponents=self.exponents[chosen],
            problems={name: reason for name, reason in self.problems.items() if name in names},
        )

    def position_of(self, layer: str) -> int:
        """Position of a layer by its name.

        Raises:
            ValueError: there is no such layer; the message lists those there are.
        """
        for position, candidate in enumerate(self.layers):
            if layer in (candidate.name, candidate.path):
                return position
        raise ValueError(f"layer {layer!r} is not in {self.name}: it has {listed(self.layer_names)}")


def _by_path(layer: Layer) -> str:
    """A layer's path, with the number of the call where its module runs several times."""
    _, at, call = layer.name.rpartition("@")
    path = layer.path or layer.name
    return f"{path}@{call}" if at and call.isdigit() and not path.endswith(f"@{call}") else path
