"""`Baseline`: what a model made of some examples, with the noise of its machine, small enough for version control."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.regression.kept_examples import as_arrays, from_arrays
from cka_plugin.regression.noise import floor_of
from cka_plugin.representation import Representation, files
from cka_plugin.storage import at_hand


class StaleBaselineError(ValueError):
    """Nothing of what was given can be held against the baseline: only a new one could judge it."""


_KEY = "baseline"  # of the facts below in a representation's options


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
        source: what messages call it: the name of its file.
        owner: the test that it is of, where one is.
    """

    representation: Representation
    noise: dict[str, float] = field(default_factory=dict)
    churn: float = 0.0
    storage_loss: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)
    examples: Any = None
    source: str = ""
    owner: str = ""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.representation.name

    @property
    def has_block_structure(self) -> bool:
        """Whether a block structure can be told from what is stored: half precision keeps too little of it."""
        return self.storage_loss == 0.0

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
            "owner": self.owner,
        }
        options = {**self.representation.options, _KEY: facts}
        attached = {} if self.examples is None else as_arrays(self.examples)
        return replace(self.representation, options=options).save(path, attached)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Baseline:
        """Read a baseline, or any saved representation as one whose noise was not measured.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is truncated, damaged, not ours, or of a newer format.
        """
        saved = files.read(path)
        representation = Representation.of_file(saved, path)
        with files.naming(path):
            attached = {name: at_hand(array) for name, array in saved.attached.items()}
            kept = from_arrays(attached) if attached else None
            return replace(Baseline.of(representation), examples=kept, source=Path(path).name)

    @staticmethod
    def of(representation: Representation) -> Baseline:
        """A representation as a baseline, with what it remembers of being one."""
        facts = representation.options.get(_KEY, {})
        _check_facts(facts)
        logits = None if representation.logits is None else representation.logits.astype(np.float32, copy=False)
        return Baseline(replace(representation, logits=logits), **facts)

    def __repr__(self) -> str:
        kept = ", with the examples themselves" if self.examples is not None else ""
        return f"Baseline({self.representation!r}{kept})"


def _check_facts(facts: Any) -> None:
    """Raise a ValueError unless these are facts that `Baseline.save` writes."""
    kinds = {"noise": dict, "churn": float, "storage_loss": float, "environment": dict, "owner": str}
    fits = isinstance(facts, dict) and all(isinstance(facts[name], kinds.get(name, ())) for name in facts)
    if fits:
        losses = [*facts.get("noise", {}).values(), facts.get("churn", 0.0), facts.get("storage_loss", 0.0)]
        fits = all(isinstance(loss, float) and 0.0 <= loss <= 2.0 for loss in losses)  # CKA lies between -1 and 1
    if not fits:
        raise ValueError(f"its facts of a baseline are {facts!r:.80}, expected {', '.join(kinds)}")
