"""What a probe compares with, kept beside the checkpoints: training that resumes is compared with its true start."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cka_plugin.representation import Representation

START, RESUMED = "start", "resumed"  # of training itself; of its going on, where the start was not kept
_LAST = "cka_previous.safetensors"


@dataclass(frozen=True)
class Kept:
    """What a probe compares with.

    Attributes:
        which: `start`, or `resumed` where the start of training was not there any more.
        first: the model then.
        previous: the model when it was measured last.
    """

    which: str
    first: Representation
    previous: Representation

    def to_folder(self, folder: Path) -> None:
        """Write two files.

        Raises:
            OSError: they cannot be written.
        """
        self.first.save(folder / _file(self.which))
        self.previous.save(folder / _LAST)

    @staticmethod
    def from_folder(folder: Path) -> Kept | None:
        """What is there; None where nothing is.

        Raises:
            ValueError: the files are damaged.
        """
        for which in (START, RESUMED):
            if (folder / _file(which)).is_file() and (folder / _LAST).is_file():
                return Kept(which, Representation.load(folder / _file(which)), Representation.load(folder / _LAST))
        return None

    def to_tensors(self) -> dict[str, Tensor]:
        """The same two files as tensors of bytes, for checkpoints that hold tensors."""
        with tempfile.TemporaryDirectory() as folder:
            self.to_folder(Path(folder))
            return {path.name: torch.from_numpy(np.fromfile(path, dtype=np.uint8)) for path in Path(folder).iterdir()}

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor]) -> Kept | None:
        """What `to_tensors` was given.

        Raises:
            ValueError: the files are damaged.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name in (_file(START), _file(RESUMED), _LAST):
                if name in tensors:
                    tensors[name].cpu().numpy().tofile(Path(folder) / name)
            return Kept.from_folder(Path(folder))


def _file(which: str) -> str:
    return f"cka_{which}.safetensors"
