"""What `levels=True` runs beside the models: an untrained copy of each, and the inputs as a layer, in the same pass.

They come out of the run as representations of their own, and are then put beside those of their models, where no
comparison takes them for models.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cka_plugin.adapters import registry as adapters
from cka_plugin.core import pairs_of
from cka_plugin.data import ReadOptions, Source
from cka_plugin.engine.hashes import hash_of
from cka_plugin.engine.inputs import NO_NUMBERS, NoNumbers, inputs_like, usable
from cka_plugin.lending.identity import weights_hash
from cka_plugin.models.subject import Subject
from cka_plugin.models.untrained import NoUntrained, untrained
from cka_plugin.options import Options
from cka_plugin.representation import INPUT, UNTRAINED, Representation
from cka_plugin.warnings import warn
from cka_plugin.wording import for_terminal

BYTES = 4  # of a number of a vector
DEFAULT_MINIBATCH = 64


class Beside:
    """What is run beside the models of one call.

    Args:
        options: of the call.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.copies: list[Subject] = []
        self.reasons: dict[str, str] = {}  # by model, why it has no untrained copy

    def copy(self, models: Sequence[Subject]) -> list[Subject]:
        """An untrained copy of each model that can have one, ready to run; why others have none is kept."""
        for model in models:
            try:
                self.copies.append(untrained_copy(model, self.options.seed))
            except NoUntrained as error:
                self.reasons[model.name] = str(error)
            except Exception as error:  # a model's own initialiser may fail in its own way: the comparison need not
                self.reasons[model.name] = f"its initialisation failed ({type(error).__name__}: {error})"
        for name, reason in self.reasons.items():
            warn(f"{name} has no untrained copy: {reason}")
        return self.copies

    def say_cost(self, models: Sequence[Subject], source: Source, read: ReadOptions) -> None:
        """One line on standard error, before anything runs: how many more forward passes, and what memory."""
        if self.options.progress:
            print(for_terminal(cost(self.copies, models, source.count(read), read)), file=sys.stderr)

    def attached(self, made: Sequence[Representation], models: int) -> list[Representation]:
        """The representations of the models with what belongs beside each.

        Args:
            made: of the models, of the copies, and of the inputs.
            models: how many models.
        """
        of_models, copies, inputs = made[:models], made[models:-1], usable(made[-1])
        whose = {copy.copy_of: found for copy, found in zip(self.copies, copies, strict=True)}
        return [self._with(model, whose.get(model.name), inputs) for model in of_models]

    def _with(
        self, model: Representation, copy: Representation | None, inputs: Representation | None
    ) -> Representation:
        beside, reasons = {}, {}
        if copy is None:
            reasons[UNTRAINED] = self.reasons[model.name]
        else:
            beside[UNTRAINED] = _bare(copy)
        if inputs is None:
            reasons[INPUT] = NO_NUMBERS
        else:
            beside[INPUT] = _bare(inputs)
        told = {"levels": reasons} if reasons else {}
        return replace(model, beside=beside, options=model.options | told)


def with_inputs(model: Representation, data: Any) -> Representation:
    """A representation that was made without levels, with the inputs beside it: the data are read again.

    Raises:
        ValueError: other data than those that it was made on.
    """
    if INPUT in model.beside:
        return model
    try:
        found = inputs_like(data, model, np.float32)
    except NoNumbers as error:
        told = {"levels": model.options.get("levels", {}) | {INPUT: str(error)}}
        return replace(model, options=model.options | told)
    return replace(model, beside={**model.beside, INPUT: _bare(found)})


def _bare(made: Representation) -> Representation:
    """Without what its model has already: predictions and labels."""
    return replace(made, logits=None, labels=None, class_names=None, label_names=None, options={})


def untrained_copy(model: Subject, seed: int) -> Subject:
    """The architecture of a model before training, with the same inputs and the same layers.

    Its weights follow from the seed and the model's own weights: two trainings of one architecture have two copies
    (one and the same would be alike at 1), and one model has the same copy in every call.

    Raises:
        NoUntrained: nothing can initialise it.
    """
    own = int(hash_of(weights_hash(model.module))[:12], 16)
    fresh = untrained(model.module, (seed + own) % 2**32)
    prefix = adapters.unwrap(model.root)[1]
    return replace(
        model,
        name=f"{model.name} (untrained)",
        root=fresh,
        module=fresh,
        layers=[replace(layer, path=layer.path.removeprefix(prefix)) for layer in model.layers],
        named=frozenset(path.removeprefix(prefix) for path in model.named),
        copy_of=model.name,
    )


def cost(
    copies: Sequence[Subject], models: Sequence[Subject], count: tuple[int | None, int | None], read: ReadOptions
) -> str:
    """What the levels cost, in one line.

    Args:
        copies: untrained ones.
        models: those that are compared.
        count: (examples, minibatches), where they are known.
        read: how the data are read.
    """
    examples, minibatches = count
    what = f"{len(copies)} untrained cop{'y' if len(copies) == 1 else 'ies'}"
    weights = sum(tensor.nbytes for copy in copies for tensor in copy.module.state_dict().values()) / 1e6
    if examples is None:
        return f"levels: {what} beside {len(models)} models, one more forward pass each; {weights:,.1f} MB of weights"
    size = examples // max(minibatches or 1, 1) if minibatches else read.batch_size or DEFAULT_MINIBATCH
    layers = sum(len(copy.layers) for copy in copies) + 2  # and the inputs
    vectors = layers * examples / max(size, 1) * pairs_of(size) * BYTES / 1e6
    passes = f"{examples * len(copies):,} more forward passes ({examples:,} examples through each copy)"
    beside = f"{what} beside {len(models)} model{'s' * (len(models) != 1)}"
    return f"levels: {beside}: {passes}; about {weights + vectors:,.1f} MB more memory"
