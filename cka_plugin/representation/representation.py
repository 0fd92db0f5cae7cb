"""Representation: what one model made of one data set, to be saved, read, merged and compared."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cka_plugin.representation import files
from cka_plugin.representation.content import Content
from cka_plugin.representation.merging import merge_shards
from cka_plugin.representation.minibatch import Array
from cka_plugin.representation.records import fields_of, record_of
from cka_plugin.representation.shown import html_of

KIND = "representation"


@dataclass(frozen=True, repr=False)
class Representation(Content):
    """What one model made of one data set; compare it with any other of the same examples, now or next year.

    Attributes:
        name: the model's name in comparisons.
        layers: the layers, in the order in which they fire.
        minibatches: the Gram vectors, one `Minibatch` after the other.
        example_ids: one id an example, in the order of reading: 0, 1, ... or relative paths.
        fingerprints: (n_examples,) uint64, of the raw content of each example.
        ranks: (n_examples,) int, each example's place in the whole run's order of reading; 0, 1, ... but in a shard.
        exponents: (layers,) int: a layer's Gram matrices are `2**exponent` times what is stored; ratios do not
            depend on it.
        logits: (n_examples, classes) float32, or None where the model does not classify. Row i is of the example
            `example_ids[i]`, as are `labels`: arrays and folders are read in a seeded random order, not in their own.
        labels: (n_examples,) int64, or None.
        class_names: names of the model's classes, in the order of the logits, or None.
        label_names: names of the labels, or None.
        problems: layer name -> why its similarity is NaN.
        skipped: ids of examples that could not be read (`on_error="skip"`).
        options: how it was made: kernel, bandwidth, estimator, pooling, batch_size, passes, seed, precision,
            granularity.
        shard: (i, n) for the i-th of n parts; None for a whole.
        beside: what `levels=True` left: `untrained`, of an untrained copy of the model, and `input`, of the inputs as a
            layer, in the same minibatches. They are levels to hold the model against, and never compared as models.
    """

    def save(self, path: str | os.PathLike[str], attached: Mapping[str, Array] | None = None) -> Path:
        """Write one `.safetensors` file, atomically; returns its path.

        Args:
            path: of the file.
            attached: arrays that go with it, under names of their own.
        """
        return files.write(path, files.Saved(KIND, [self.to_record()], attached=attached or {}))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Representation:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is truncated or damaged, was not written by this package, or by a newer version of it.
        """
        return Representation.of_file(files.read(path), path)

    @staticmethod
    def of_file(saved: files.Saved, path: str | os.PathLike[str]) -> Representation:
        """What the file at `path` holds, once it has been read.

        Raises:
            ValueError: it holds something else, or what contradicts itself.
        """
        if saved.kind != KIND:
            raise ValueError(
                f"{path} holds a {saved.kind} of {len(saved.records)} models, not one representation: use "
                "cka_plugin.load"
            )
        with files.naming(path):
            if len(saved.records) > 1:
                raise ValueError(f"it holds {len(saved.records)} representations where one is expected")
            return Representation.from_record(saved.records[0])

    @staticmethod
    def all_of_file(path: str | os.PathLike[str]) -> list[Representation]:
        """The representations in a file: one, or those of a saved comparison.

        Raises:
            FileNotFoundError, ValueError: as `load`.
        """
        saved = files.read(path)
        with files.naming(path):
            return [Representation.from_record(record) for record in saved.records]

    def to_record(self) -> files.Record:
        """This as plain data and arrays, for a file."""
        return record_of(self)

    @staticmethod
    def from_record(record: files.Record) -> Representation:
        """What `to_record` gave.

        Raises:
            ValueError: it is no representation, or one that contradicts itself.
        """
        return Representation(**fields_of(record))

    @staticmethod
    def merge(
        parts: Iterable[Representation | str | os.PathLike[str]], max_memory: int | float | str = "auto"
    ) -> Representation:
        """Put the shards of one run together: the same as the whole, whatever the order of the parts.

        Args:
            parts: representations made with `--shard I/N` (or their files), all N of them, in any order.
            max_memory: for the vectors, as for `represent`.

        Raises:
            ValueError: a part is missing, given twice, or of another model, data or options.
        """
        loaded = [part if isinstance(part, Representation) else Representation.load(part) for part in parts]
        return merge_shards(loaded, max_memory)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_of(self)

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.1%}"
        part = "" if self.shard is None else f", shard {self.shard[0]} of {self.shard[1]}"
        kept = "" if self.projection is None else f", sketches of {self.projection.size:,}"
        return (
            f"Representation({self.name!r}: {len(self.layers)} layers, {self.n_examples} examples in "
            f"{len(self.minibatches)} minibatches{accuracy}{part}{kept})"
        )
