"""The inputs themselves as a layer: what two models share may be the data's doing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cka_plugin.adapters.base import Layer, first_tensor
from cka_plugin.capture.captured import Captured
from cka_plugin.core import GramPacker, similarities
from cka_plugin.data import Batch, ReadOptions, Source, open_data
from cka_plugin.engine.builder import Builder
from cka_plugin.engine.reading import read_like
from cka_plugin.representation import INPUT, Representation
from cka_plugin.storage.vectors import VectorStore

SIDE = 32  # pixels, of pictures of several sizes, or large ones
MOST_PIXELS = 512 * 512  # of a picture: a minibatch of photographs from a camera would take gigabytes
NO_NUMBERS = (
    "the examples are not numbers of one shape (texts, tokens, sounds of several lengths): similarity to the input "
    "needs arrays, or images"
)


class NoNumbers(ValueError):
    """Examples that are not numbers of one shape."""


class InputGrams:
    """Collects the inputs of a run as a representation of one layer, `input`.

    They are taken as they are in the data, before any model's preparation: pixels or features. Pictures have a second
    layer, their pixels at 32 x 32, which is there also where their sizes differ or they are larger than 512 x 512.
    Where examples are no numbers of one shape the layer is NaN.

    Args:
        kernel: of the Gram matrices, that of the models they are compared with.
        bandwidth: for `rbf`.
        store: where vectors lie.
        dtype: of the vectors.
    """

    def __init__(self, kernel: str, bandwidth: float, store: VectorStore, dtype: Any = np.float32) -> None:
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.dtype = dtype
        self.builder = Builder(INPUT, None, store)
        self.layers: list[Layer] = []
        self._shape: tuple[int, ...] | None = None

    def add(self, batch: Batch) -> None:
        """Take one minibatch."""
        examples = list(batch.examples())
        raw = [numbers_of(example) for example in examples]
        pictures = [picture_of(example) for example in examples]
        kinds = [_rows(raw, self._known(raw))]
        if not self.layers:
            names = [INPUT, f"{INPUT} at {SIDE} x {SIDE}"][: 1 + all(picture is not None for picture in pictures)]
            self.layers = [Layer(name, name, "module", 0.0) for name in names]
        if len(self.layers) > 1:
            small = [None if picture is None else _small(picture) for picture in pictures]
            kinds.append(_rows(small, (SIDE, SIDE, 3)))
        packer = GramPacker(torch.device("cpu"))
        for rows in kinds:
            if rows is None:
                packer.add(torch.full((batch.size, batch.size), torch.nan), torch.zeros((), dtype=torch.int32))
            else:
                packer.add(*similarities(rows, self.kernel, self.bandwidth))
        vectors, diagonals, exponents = (part.numpy() for part in packer.finish())
        made = Captured(
            vectors.astype(self.dtype), diagonals.astype(self.dtype), exponents.astype(np.int64), logits=None
        )
        self.builder.add(batch, made)

    def _known(self, raw: list[npt.NDArray[Any] | None]) -> tuple[int, ...] | None:
        """The shape of all examples: that of the first."""
        if self._shape is None and raw[0] is not None:
            self._shape = raw[0].shape
        return self._shape

    def finish(self, source: Source, options: dict[str, Any], shard: tuple[int, int] | None) -> Representation:
        """The inputs as a representation, beside those of the models.

        Args:
            source: the data that were read.
            options: how the models' representations were made.
            shard: of the run.
        """
        return self.builder.finish(self.layers, source, options, shard)


def usable(inputs: Representation) -> Representation | None:
    """The inputs with their one layer `input` that has a similarity: as they are, else at 32 x 32; None where none."""
    for place, name in enumerate(inputs.layer_names):
        if name not in inputs.problems:
            return inputs.of_layers([place])
    return None


def inputs_like(data: Any, like: Representation, dtype: Any = np.float64) -> Representation:
    """The inputs of a representation, read again.

    Args:
        data: what the representation was made on.
        like: the representation.
        dtype: of the vectors.

    Raises:
        ValueError: other examples, or examples that are not numbers of one shape (`NoNumbers`).
    """
    read = read_like(like, ReadOptions())
    source = open_data(data)
    kernel, bandwidth = like.options.get("kernel", "linear"), like.options.get("bandwidth", 0.5)
    grams = InputGrams(kernel, bandwidth, VectorStore(2**62), dtype)
    with contextlib.closing(source.batches(read)) as batches:  # type: ignore[type-var]
        for batch in _together(batches, like):
            grams.add(batch)
    found = usable(grams.finish(source, {}, None))
    if found is None:
        raise NoNumbers(NO_NUMBERS)
    return found


def _together(batches: Iterator[Batch], like: Representation) -> Iterator[Batch]:
    """The minibatches read, once they are seen to be those of the representation."""
    minibatches = iter(like.minibatches)
    for batch in batches:
        minibatch = next(minibatches, None)
        known = None if minibatch is None else like.fingerprints[minibatch.positions]
        if known is None or not np.array_equal(batch.fingerprints, known):
            raise ValueError(f"the data are not those that {like.name} was made on: other examples, or another order")
        yield batch
    if next(minibatches, None) is not None:
        raise ValueError(f"the data are fewer than those that {like.name} was made on")


def numbers_of(example: Any) -> npt.NDArray[Any] | None:
    """What an example is made of as numbers, as they are in the data; None where it is no quantities, or too many.

    Whole numbers in a row are taken for tokens: names of words, not quantities.
    """
    picture = picture_of(example)
    if picture is not None:
        return np.asarray(picture) if picture.width * picture.height <= MOST_PIXELS else None
    tensor = first_tensor(example)
    if tensor is None and isinstance(example, Tensor | np.ndarray | int | float):
        tensor = torch.as_tensor(example)
    if tensor is None or tensor.is_complex():
        return None
    if tensor.ndim <= 1 and not tensor.is_floating_point() and tensor.dtype not in (torch.uint8, torch.bool):
        return None
    return tensor.double().numpy()


def picture_of(example: Any) -> Image.Image | None:
    """The first picture in an example, where there is one."""
    if isinstance(example, Image.Image):
        return example
    parts = example.values() if isinstance(example, Mapping) else example if isinstance(example, list | tuple) else ()
    return next((found for found in map(picture_of, parts) if found is not None), None)


def _small(picture: Image.Image) -> npt.NDArray[Any]:
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _rows(arrays: list[npt.NDArray[Any] | None], shape: tuple[int, ...] | None) -> Tensor | None:
    """(n, d) rows, float64, of pixels float32; None where an example is none, or of another shape."""
    kept = [array for array in arrays if array is not None and array.shape == shape]
    if len(kept) < len(arrays):
        return None
    stacked = np.stack(kept).reshape(len(kept), -1)
    return torch.from_numpy(stacked.astype(np.float32 if stacked.dtype == np.uint8 else np.float64))
