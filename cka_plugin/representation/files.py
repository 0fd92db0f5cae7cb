"""The file format: one `.safetensors` file for a Representation or a Comparison. Never pickle; written atomically.

Tensors are named `{model}/vectors.{minibatch}`, `{model}/diagonals.{minibatch}`, `{model}/logits` and so on, with
models
numbered from 0; everything else is JSON in the header's metadata, with the format's version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.representation.representation import Minibatch, Representation
from cka_plugin.storage.tensorfile import read_tensors, write_atomically, write_tensors

FORMAT = "cka_plugin"
VERSION = 1
ATTACHED = "attached/"  # before the names of arrays that are no part of a representation


def save_representation(
    representation: Representation,
    path: str | os.PathLike[str],
    attached: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> Path:
    """Write one representation, and arrays that go with it under names of their own (`load_attached`)."""
    return _save([representation], "representation", path, attached=attached)


def save_comparison(
    representations: Sequence[Representation], path: str | os.PathLike[str], match: str, estimator: str
) -> Path:
    """Write the representations of a comparison into one file."""
    return _save(representations, "comparison", path, {"match": match, "estimator": estimator})


def load_representation(path: str | os.PathLike[str]) -> Representation:
    """Read one representation; see `Representation.load`."""
    kind, representations, _ = load_file(path)
    if kind != "representation":
        raise ValueError(
            f"{path} holds a {kind} of {len(representations)} models, not one representation: use cka_plugin.load"
        )
    return representations[0]


def load_attached(path: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that were attached to a file of this package; none in most."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        held = list(file.keys())
        return {name.removeprefix(ATTACHED): file.get_tensor(name) for name in held if name.startswith(ATTACHED)}


def is_saved(path: str | os.PathLike[str]) -> bool:
    """Whether `path` looks like a file of this package: a `.safetensors` file with our metadata."""
    try:
        return Path(path).is_file() and _read_metadata(Path(path)) is not None
    except (ValueError, OSError):
        return False


def _save(
    representations: Sequence[Representation],
    kind: str,
    path: str | os.PathLike[str],
    extra: dict[str, Any] | None = None,
    attached: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> Path:
    tensors = {ATTACHED + name: array for name, array in (attached or {}).items()}
    models = []
    for number, rep in enumerate(representations):
        prefix = f"{number}/"
        for position, minibatch in enumerate(rep.minibatches):
            tensors[f"{prefix}vectors.{position}"] = minibatch.vectors
            tensors[f"{prefix}diagonals.{position}"] = minibatch.diagonals
            tensors[f"{prefix}positions.{position}"] = minibatch.positions
        for name in ("fingerprints", "ranks", "exponents", "logits", "labels"):
            value = getattr(rep, name)
            if value is not None:
                tensors[prefix + name] = value
        models.append(
            {
                "name": rep.name,
                "layers": [asdict(layer) for layer in rep.layers],
                "minibatches": [[m.index, m.pass_index] for m in rep.minibatches],
                "example_ids": rep.example_ids,
                "class_names": rep.class_names,
                "label_names": rep.label_names,
                "problems": rep.problems,
                "skipped": rep.skipped,
                "options": rep.options,
                "shard": rep.shard,
            }
        )
    metadata = {"format": FORMAT, "version": str(VERSION), "kind": kind, "models": json.dumps(models)}
    metadata.update(extra or {})
    return write_atomically(path, lambda file: write_tensors(file, tensors, metadata))


def load_file(path: str | os.PathLike[str]) -> tuple[str, list[Representation], dict[str, str]]:
    """Read a file of this package: its kind (`representation` or `comparison`), what it holds, its metadata.

    The vectors of a large file are read when they are used (`tensorfile.read_tensors`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: truncated, foreign, or of a newer format.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a .safetensors file written by this package")
    metadata = _read_metadata(path)
    if metadata is None:
        raise ValueError(f"{path} was not written by cka_plugin: expected a file made with save()")
    if int(metadata["version"]) > VERSION:
        raise ValueError(
            f"{path} has format version {metadata['version']}, this cka_plugin reads up to {VERSION}: upgrade "
            "cka-plugin to read it"
        )
    try:
        models = json.loads(metadata["models"])
        held = read_tensors(path)
        representations = [_read_model(held, number, model) for number, model in enumerate(models)]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    return metadata["kind"], representations, metadata


def _read_metadata(path: Path) -> dict[str, str] | None:
    """The metadata of our files; None for a safetensors file of others."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or not a .safetensors file: {error}") from error
    return metadata if metadata.get("format") == FORMAT else None


def _read_model(held: dict[str, Any], number: int, model: dict[str, Any]) -> Representation:
    def tensor(name: str) -> Any:
        return held[f"{number}/{name}"]

    def maybe(name: str) -> Any:
        return held.get(f"{number}/{name}")

    minibatches = [
        Minibatch(
            tensor(f"vectors.{position}"),
            tensor(f"diagonals.{position}"),
            tensor(f"positions.{position}"),
            index,
            pass_index,
        )
        for position, (index, pass_index) in enumerate(model["minibatches"])
    ]
    return Representation(
        name=model["name"],
        layers=[Layer(**layer) for layer in model["layers"]],
        minibatches=minibatches,
        example_ids=model["example_ids"],
        fingerprints=tensor("fingerprints"),
        ranks=tensor("ranks"),
        exponents=tensor("exponents"),
        logits=maybe("logits"),
        labels=maybe("labels"),
        class_names=model["class_names"],
        label_names=model["label_names"],
        problems=model["problems"],
        skipped=model["skipped"],
        options=model["options"],
        shard=None if model["shard"] is None else (int(model["shard"][0]), int(model["shard"][1])),
    )
