"""Baselines: what a model made of some examples, with the noise of its machine, small enough for version control."""

from __future__ import annotations

import io
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cka_plugin.calls import read_like, represent
from cka_plugin.comparison import Comparison
from cka_plugin.data import ReadOptions, open_data, rows_of
from cka_plugin.models import given as models
from cka_plugin.regression.noise import floor_of, rounded_otherwise
from cka_plugin.representation import Representation, check_comparable, files
from cka_plugin.warnings import CKAWarning

BATCH_SIZE = 32  # 256 examples give the 8 minibatches that an interval needs
_KEY = "baseline"  # of the facts below in a representation's options
_LIKE = ("granularity", "pooling", "kernel", "bandwidth", "estimator", "seed", "max_examples")
_LARGEST_FLOAT16 = 2.0**14  # half-precision vectors are brought to about this, far from what would vanish


@dataclass(frozen=True)
class Baseline:
    """A saved state of a model to check later states against.

    Attributes:
        representation: the model's, in minibatches of 32.
        noise: layer name -> 1 - CKA between two runs that differ by rounding alone; empty where it was not measured.
        churn: share of examples whose prediction changed between these two runs.
        storage_loss: the largest 1 - CKA of a layer that storing it in half precision cost; 0 for float32.
        environment: versions and device it was made with.
        examples: the examples themselves where they were kept, as `data` for `represent`; else None.
    """

    representation: Representation
    noise: dict[str, float] = field(default_factory=dict)
    churn: float = 0.0
    storage_loss: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)
    examples: Any = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.representation.name

    def floor(self, layer: str) -> float:
        """1 - CKA that an unchanged layer may show on another machine; no threshold may ask for more."""
        return floor_of(self.noise.get(layer)) + self.storage_loss

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one `.safetensors` file, atomically: a representation that `cka_plugin.load` reads too."""
        facts = {
            "noise": self.noise,
            "churn": self.churn,
            "storage_loss": self.storage_loss,
            "environment": self.environment,
        }
        options = {**self.representation.options, _KEY: facts}
        attached = {} if self.examples is None else _as_arrays(self.examples)
        return replace(self.representation, options=options).save(path, attached)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Baseline:
        """Read a baseline, or any saved representation as one whose noise was not measured.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is truncated, not ours, or of a newer format.
        """
        representation, attached = Representation.load(path), files.read(path).attached
        return replace(Baseline.of(representation), examples=_from_arrays(attached) if attached else None)

    @staticmethod
    def of(representation: Representation) -> Baseline:
        """A representation as a baseline, with what it remembers of being one."""
        facts = representation.options.get(_KEY, {})
        logits = None if representation.logits is None else representation.logits.astype(np.float32, copy=False)
        return Baseline(replace(representation, logits=logits), **facts)

    def __repr__(self) -> str:
        kept = ", with the examples themselves" if self.examples is not None else ""
        return f"Baseline({self.representation!r}{kept})"


def make_baseline(
    model: Any,
    data: Any,
    labels: Any = None,
    *,
    name: str | None = None,
    batch_size: int | None = BATCH_SIZE,
    float16: bool = False,
    keep_examples: bool = False,
    measure_noise: bool = True,
    granularity: str = "block",
    pretrained: bool = True,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    transforms: Any = None,
    **options: Any,
) -> Baseline:
    """Run a model over data, and keep what later states of it are checked against.

    The model runs twice, the second time with every activation moved in its last bits as another machine might: the
    difference is the noise that no threshold may ask to be below.

    Args:
        model: a name or an `nn.Module`; a `Representation` or its file, without noise measured, is taken as it is.
        data: as for `represent`; some 256 examples are enough, and give intervals.
        labels: classes of the examples where `data` has none; with them drops of accuracy are seen.
        name: the model's name.
        batch_size: examples a CKA minibatch.
        float16: store vectors and logits in half precision: half the size, for CKA and predictions alone (no block
            structure); what that costs is measured (`storage_loss`, some 1e-7 to 2e-5) and allowed for.
        keep_examples: store the examples themselves, so that a check needs no data.
        measure_noise: run a second time.
        granularity, pretrained, checkpoint, model_kwargs, transforms, options: as for `represent`.

    Returns:
        A `Baseline`; `.save(path)` writes it.

    Raises:
        ValueError: data that are not the same when read twice (random augmentation), and what `represent` raises.

    Example:
        >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> baseline = make_baseline(net, torch.randn(256, 8), name="net", granularity="module", progress=False)
        >>> baseline.representation, baseline.floor("0") < 1e-5
        (Representation('net': 3 layers, 256 examples in 8 minibatches), True)
    """
    if models.is_saved(model):
        ((own, given),) = models.named([model])
        return Baseline.of(models.saved(name or own, given))
    ((own, given),) = models.named([model if isinstance(model, Mapping) else {name or models.own_name(model): model}])
    if not isinstance(given, nn.Module):
        given = models.subject(own, given, granularity, pretrained, transforms, checkpoint, model_kwargs).root
    once = iter(data) is data if hasattr(data, "__next__") else False
    if once and (measure_noise or keep_examples):
        raise ValueError(
            "data that can be read only once (a generator) cannot make a baseline: give a list, a data set or a"
            " loader, or measure_noise=False"
        )
    run = {"granularity": granularity, "transforms": transforms, "labels": labels, **options}
    first = represent({own: given}, data, batch_size=batch_size, **run)
    noise, churn = _noise(first, {own: given}, data, run) if measure_noise else ({}, 0.0)
    examples = _kept(first, data, labels, options) if keep_examples else None
    stored, loss = _in_half_precision(first) if float16 else (first, 0.0)
    return Baseline(stored, noise, churn, loss, environment(first.options.get("device")), examples)


def represent_as(baseline: Baseline, model: Any, data: Any = None, **options: Any) -> Representation:
    """Run a model as a baseline was made: its examples, its minibatches, its granularity, pooling and kernel.

    Args:
        baseline: it.
        model: a name or an `nn.Module`.
        data: the data that it was made of; None for the examples that it keeps.
        options: as for `represent`.

    Raises:
        ValueError: no data, and none kept; and what `represent` raises.
    """
    reference = baseline.representation
    options = {**{key: reference.options[key] for key in _LIKE if key in reference.options}, **options}
    if data is not None:
        return represent(model, data, like=reference, **options)
    if baseline.examples is None:
        raise ValueError(
            f"data is missing, and the baseline of {baseline.name} holds no examples: give the data that it was made"
            " of, or make it with keep_examples=True"
        )
    numbered = replace(reference, example_ids=list(range(reference.n_examples)))
    made = represent(model, baseline.examples, like=numbered, **options)
    # They are the baseline's own examples: what was stored is what was read.
    return replace(made, example_ids=reference.example_ids, fingerprints=reference.fingerprints)


def environment(device: Any = None) -> dict[str, str]:
    """Versions that may move a model's activations, for the record.

    Example:
        >>> sorted(environment())
        ['cka_plugin', 'device', 'machine', 'python', 'torch']
    """
    from cka_plugin import __version__
    from cka_plugin.engine.run import choose_device

    chosen = choose_device("auto") if device in (None, "auto") else device
    return {
        "cka_plugin": __version__,
        "device": str(chosen),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def _noise(first: Representation, model: Any, data: Any, run: dict[str, Any]) -> tuple[dict[str, float], float]:
    (module,) = model.values()
    with rounded_otherwise(module), warnings.catch_warnings():
        warnings.simplefilter("ignore", CKAWarning)  # the first run said it all
        second = represent(model, data, like=first, **run)
    try:
        check_comparable(first, second)
    except ValueError as error:
        raise ValueError(
            "the data gave other examples when read a second time (random augmentation, or a shuffle without a"
            f" seed?): a baseline needs examples that stay what they are. {error}"
        ) from error
    measured = 1.0 - np.diagonal(Comparison([first.renamed("first"), second.renamed("second")]).matrix())
    noise = {
        layer.name: max(0.0, float(value))
        for layer, value in zip(first.layers, measured, strict=True)
        if np.isfinite(value)
    }
    if first.predictions is None or second.predictions is None:
        return noise, 0.0
    return noise, float((first.predictions != second.predictions).mean())


# Half precision


def _in_half_precision(representation: Representation) -> tuple[Representation, float]:
    """Vectors and logits as float16, and the largest 1 - CKA of a layer with what it was."""
    largest = np.max([np.abs(m.vectors).max(axis=1) for m in representation.minibatches], axis=0)
    shift = np.zeros(len(largest), dtype=np.int64)
    alive = (largest > 0) & np.isfinite(largest)
    shift[alive] = np.floor(np.log2(_LARGEST_FLOAT16 / largest[alive])).astype(np.int64)
    scale = np.ldexp(np.float32(1.0), shift)[:, None]
    minibatches = [
        replace(m, vectors=(m.vectors * scale).astype(np.float16), diagonals=m.diagonals * scale)
        for m in representation.minibatches
    ]
    logits = None if representation.logits is None else _half_logits(representation.logits)
    stored = replace(representation, minibatches=minibatches, exponents=representation.exponents - shift, logits=logits)
    pair = Comparison([representation.renamed("exact"), stored.renamed("stored")])
    losses = 1.0 - np.diagonal(pair.matrix())[alive]
    return stored, max(0.0, float(losses.max())) if len(losses) else 0.0


def _half_logits(logits: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Logits as float16 with the same predictions: where rounding makes a tie, the winner is put one step above."""
    half = np.clip(logits, -60000, 60000).astype(np.float16)
    winner = logits.argmax(1)
    tied = np.flatnonzero(half.argmax(1) != winner)
    half[tied, winner[tied]] = np.nextafter(half[tied].max(1), np.float16(np.inf))
    return half


# The examples themselves


def _kept(first: Representation, data: Any, labels: Any, options: Mapping[str, Any]) -> Any:
    """The examples of a representation in its order: tensors, a mapping of tensors, or a list of images or texts."""
    read = read_like(first, ReadOptions(seed=options.get("seed", 0), max_examples=options.get("max_examples")))
    rows: dict[int, Any] = {}
    for batch in open_data(data, labels).batches(read):
        of_batch = batch.raw if batch.raw is not None else rows_of(batch.inputs, batch.size)  # type: ignore[arg-type]
        for rank, row in zip(batch.places, of_batch, strict=True):
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


def _as_arrays(examples: Any) -> dict[str, npt.NDArray[Any]]:
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


def _from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    if "tensor" in arrays:
        return torch.from_numpy(arrays["tensor"])
    if "lengths" not in arrays:
        return {key.removeprefix("mapping."): torch.from_numpy(value) for key, value in arrays.items()}
    content = arrays["texts" if "texts" in arrays else "images"].tobytes()
    ends = np.cumsum(arrays["lengths"])
    blobs: Sequence[bytes] = [content[end - length : end] for end, length in zip(ends, arrays["lengths"], strict=True)]
    if "texts" in arrays:
        return [blob.decode("utf-8") for blob in blobs]
    from PIL import Image

    images = [Image.open(io.BytesIO(blob)) for blob in blobs]
    for image in images:
        image.load()
    return images


def _png(image: Any) -> bytes:
    """A lossless PNG; images in a mode that PNG lacks are stored as RGB."""
    buffer = io.BytesIO()
    known = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    known.save(buffer, "PNG")
    return buffer.getvalue()
