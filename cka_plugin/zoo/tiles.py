"""All pairs of models of a folder in tiles of models by models by minibatches, each a file once it is finished.

A tile says of which files it is, by their checksums: one whose files have changed since is made again, and the others
are not. So a comparison that is stopped goes on where it was, and any number of workers share it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.analysis.model_tiles import cut, own_sums, place_tile, tile_means, tile_sums
from cka_plugin.core import Floats, pairs_of
from cka_plugin.executors import check_executor, over_executor
from cka_plugin.representation.stored import vectors_alone
from cka_plugin.storage import CHECKSUM, at_hand, read_metadata, read_tensors, write_atomically, write_tensors

FOLDER = "tiles"  # beside the representations
VERSION = 1  # of the sums in a tile
_OPERATIONS = 2e12  # of a tile: what is lost of it where a worker is killed, some half a minute on two cores


@dataclass(frozen=True)
class Tile:
    """One tile.

    Attributes:
        rows: files of models.
        columns: files of models; those of the rows on the diagonal.
        minibatches: from, to.
        estimator: `unbiased` or `biased`.
        file: where it lies.
        identity: of all that its sums depend on.
    """

    rows: tuple[Path, ...]
    columns: tuple[Path, ...]
    minibatches: tuple[int, int]
    estimator: str
    file: Path
    identity: str


def make_tile(tile: Tile) -> None:
    """What a worker does: one tile, written whole.

    Raises:
        ValueError, OSError: a file of a model is damaged or gone; the tile cannot be written.
    """
    rows = [vectors_alone(path) for path in tile.rows]
    columns = rows if tile.columns == tile.rows else [vectors_alone(path) for path in tile.columns]
    minibatches = range(*tile.minibatches)
    tensors = {"sums": tile_sums(rows, columns, minibatches, tile.estimator)}
    if columns is rows:
        tensors["own"] = own_sums(rows, minibatches, tile.estimator)
    about = {"format": "cka_plugin tile", "identity": tile.identity}
    write_atomically(tile.file, lambda file: write_tensors(file, tensors, about))


class Tiles:
    """The tiles of a folder.

    Args:
        folder: for the tiles; made where it does not exist.
        files: of the models, in order.
        depths: of the layers of each.
        batch_sizes: of their minibatches.
        estimator: `unbiased` or `biased`.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[Path],
        depths: Sequence[Sequence[float]],
        batch_sizes: Sequence[int],
        estimator: str,
    ) -> None:
        self.folder = folder
        self.depths = depths
        self.groups = cut([len(each) for each in depths])
        checksums = {path: read_metadata(path)[CHECKSUM] for path in files}
        largest = max(sum(len(depths[place]) for place in group) for group in self.groups)
        ranges = _ranges(batch_sizes, 2.0 * largest**2)
        self.tiles: dict[tuple[int, int], list[Tile]] = {}
        for column, columns in enumerate(self.groups):
            for row, rows in enumerate(self.groups[: column + 1]):
                own = [tuple(files[place] for place in group) for group in (rows, columns)]
                held = [[checksums[path] for path in side] for side in own]
                self.tiles[row, column] = [
                    Tile(
                        own[0],
                        own[1],
                        minibatches,
                        estimator,
                        folder / f"{row:04}-{column:04}-{number:04}.safetensors",
                        _hash([VERSION, *held, minibatches, estimator]),
                    )
                    for number, minibatches in enumerate(ranges)
                ]

    def missing(self) -> list[Tile]:
        """Those that are still to be made, the first minibatches of all models first: these are read once."""
        every = sorted((tile for tiles in self.tiles.values() for tile in tiles), key=lambda tile: tile.minibatches)
        return [tile for tile in every if not _is_finished(tile)]

    def make(self, executor: Any, progress: Callable[[Sequence[Tile]], Any]) -> None:
        """Make the missing ones.

        Args:
            executor: anything with `submit`, or None.
            progress: of the tiles to do, a context manager whose value has an `update()`.

        Raises:
            RuntimeError: workers failed; those tiles that are done are kept.
        """
        check_executor(executor)
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = self.missing()
        failed: list[str] = []
        with progress(missing) as bar:
            for _, _, error in over_executor(executor, make_tile, missing):
                if error is not None:
                    failed.append(f"{type(error).__name__}: {error}")
                bar.update()
        if failed:
            raise RuntimeError(
                f"{len(failed)} of {len(missing)} tiles of {self.folder} could not be made (the first: {failed[0]}); "
                "the others are kept, and the same call again makes these alone"
            )

    def similarity(self) -> Floats:
        """(models, models) mean CKA of layers at equal depth, with 1 on the diagonal, once all tiles are there."""
        own = [_added_up(self.tiles[place, place], "own") for place in range(len(self.groups))]
        table = np.eye(len(self.depths))
        for (row, column), tiles in self.tiles.items():
            at = self.groups[row], self.groups[column]
            depths = [[self.depths[place] for place in group] for group in at]
            means = tile_means(_added_up(tiles, "sums"), (own[row], own[column]), (depths[0], depths[1]))
            place_tile(table, at, means)
        return table


def _ranges(batch_sizes: Sequence[int], operations: float) -> list[tuple[int, int]]:
    """Minibatches, cut so that a tile takes no more than `_OPERATIONS`, of `operations` an element of a vector."""
    starts, held = [0], 0.0
    for number, size in enumerate(batch_sizes):
        cost = operations * pairs_of(size)
        if held and held + cost > _OPERATIONS:
            starts.append(number)
            held = 0.0
        held += cost
    return list(zip(starts, [*starts[1:], len(batch_sizes)], strict=True))


def _is_finished(tile: Tile) -> bool:
    if not tile.file.is_file():
        return False
    try:
        return read_metadata(tile.file).get("identity") == tile.identity
    except ValueError:  # truncated, or foreign: it is made again
        return False


def _added_up(tiles: Sequence[Tile], name: str) -> Floats:
    held: list[Mapping[str, Any]] = [read_tensors(tile.file, checksums=True).arrays for tile in tiles]
    return np.asarray(np.sum([at_hand(arrays[name]) for arrays in held], axis=0), dtype=np.float64)


def _hash(parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
