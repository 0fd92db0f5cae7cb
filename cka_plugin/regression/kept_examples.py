"""The examples themselves, kept in a baseline so that a check needs no data."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cka_plugin.data import ReadOptions, open_data
from cka_plugin.engine.reading import read_like
from cka_plugin.representation import Representation


def kept(representation: Representation, data: Any, labels: Any, read: ReadOptions) -> Any:
    """The examples of a representation in its order: tensors, a mapping of tensors, or a list of images or texts.

    Raises:
        ValueError: examples of another kind.
    """
    read = read_like(representation, read)
    rows: dict[int, Any] = {}
    for batch in open_data(data, labels).batches(read):
        for rank, row in zip(batch.places, batch.examples(), strict=True):
            rows.setdefault(int(rank), row)
    ordered: list[Any] = [rows[rank] for rank in sorted(rows)]
    if isinstance(ordered[0], Tensor):
        return torch.stack(ordered)
    if isinstance(ordered[0], Mapping):
        return {key: torch.stack([row[key] for row in ordered]) for key in ordered[0]}
    if isinstance(ordered[0], str) or hasattr(ordered[0], "getbands"):
        return ordered
    raise ValueError(
        f"keep_examples: examples of type {type(ordered[0]).__name__} cannot be stored: expected tensors, a mapping"
        " of tensors, images or texts"
    )


def as_arrays(examples: Any) -> dict[str, npt.NDArray[Any]]:
    """Kept examples as named arrays for a file; images as lossless PNG."""
    if isinstance(examples, Tensor):
        return {"tensor": examples.detach().cpu().numpy()}
    if isinstance(examples, Mapping):
        return {f"mapping.{key}": value.detach().cpu().numpy() for key, value in examples.items()}
    texts = isinstance(examples[0], str)
    blobs = [example.encode("utf-8") if texts else _png(example) for example in examples]
    return {
        "texts" if texts else "images": np.frombuffer(b"".join(blobs), dtype=np.uint8),
        "lengths": np.array([len(blob) for blob in blobs], dtype=np.int64),
    }


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """What `as_arrays` was given.

    Raises:
        ValueError: these arrays are not of its making.
    """
    if "tensor" in arrays:
        return torch.from_numpy(arrays["tensor"])
    if "lengths" not in arrays:
        return {key.removeprefix("mapping."): torch.from_numpy(value) for key, value in arrays.items()}
    content = arrays["texts" if "texts" in arrays else "images"].tobytes()
    if arrays["lengths"].ndim != 1 or (arrays["lengths"] < 0).any() or arrays["lengths"].sum() != len(content):
        raise ValueError("the lengths of the kept examples do not fit their content")
    ends = np.cumsum(arrays["lengths"])
    blobs: Sequence[bytes] = [content[end - length : end] for end, length in zip(ends, arrays["lengths"], strict=True)]
    if "texts" in arrays:
        return [blob.decode("utf-8") for blob in blobs]
    return [_image(blob, place) for place, blob in enumerate(blobs)]


def _image(blob: bytes, place: int) -> Any:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(blob))
        image.load()
    except Exception as error:  # PIL raises what its decoders do, of many kinds
        raise ValueError(f"the image of example {place} cannot be read: {error}") from error
    return image


def _png(image: Any) -> bytes:
    """A lossless PNG; images in a mode that PNG lacks are stored as RGB."""
    buffer = io.BytesIO()
    known = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    known.save(buffer, "PNG")
    return buffer.getvalue()
