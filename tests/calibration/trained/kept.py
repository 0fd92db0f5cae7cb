"""What the calibration keeps of trained networks: the Gram matrices of their block outputs, small.

`python -m tests.calibration.trained.kept FOLDER [NAME ...]` makes `kept/NAME.safetensors` from the networks that
`python examples/studies/photographs/train.py FOLDER` trained: three minibatches of 64 test examples, as float16, each
layer scaled to a largest entry of 1 (CKA does not see scale). What is rounded away is 0.0005 of an entry.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from cka_plugin.analysis.grams import PackedGrams
from tests.calibration.trained.figures import HERE, STUDY, represented

KEPT = HERE / "kept"
MINIBATCHES = 3


class Kept(PackedGrams):
    """What a `Representation` is to `block_structure`."""

    layer_names: list[str]
    example_ids: list[int]


def read(name: str) -> Kept:
    """The kept Gram matrices of a network."""
    with safe_open(KEPT / f"{name}.safetensors", "numpy") as file:
        vectors, diagonals = (file.get_tensor(key).astype(np.float32) for key in ("vectors", "diagonals"))
        layers = json.loads(file.metadata()["layers"])
    size = diagonals.shape[2]
    positions = [np.arange(start, start + size) for start in range(0, len(vectors) * size, size)]
    kept = Kept(list(vectors), list(diagonals), positions, [0] * len(vectors))
    kept.layer_names, kept.example_ids = layers, list(range(len(vectors) * size))
    return kept


def write(folder: Path, name: str, settings: object) -> None:
    """Keep the first minibatches of a trained network."""
    made = represented(folder, settings, "block")
    vectors = np.stack([np.asarray(part) for part in made.vectors[:MINIBATCHES]])
    diagonals = np.stack([np.asarray(part) for part in made.diagonals[:MINIBATCHES]])
    scale = np.maximum(np.abs(vectors).max(axis=(0, 2)), np.abs(diagonals).max(axis=(0, 2)))[None, :, None]
    KEPT.mkdir(exist_ok=True)
    save_file(
        {"vectors": (vectors / scale).astype(np.float16), "diagonals": (diagonals / scale).astype(np.float16)},
        KEPT / f"{name}.safetensors",
        {"layers": json.dumps([layer.name for layer in made.layers])},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    sys.path.insert(0, str(STUDY))
    from train import STUDY as SETTINGS

    for settings in SETTINGS:
        there = (KEPT / f"{settings.name}.safetensors").exists()
        chosen = settings.name in given.names if given.names else not there
        if chosen and (given.folder / f"{settings.name}.json").exists():
            write(given.folder, settings.name, settings)
            print(settings.name, flush=True)


if __name__ == "__main__":
    main()
