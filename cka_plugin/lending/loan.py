"""A model on loan: every forward pass meets it as it was lent, and what the pass did to it is undone.

So nothing a model writes in one minibatch reaches the next one (shards and resumed runs give the same bits as one run),
and at the end it is what it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from cka_plugin.lending.identity import weights_hash
from cka_plugin.lending.randomness import Drawn, seed_of, seeded
from cka_plugin.lending.samples import Samples
from cka_plugin.lending.snapshot import Snapshot
from cka_plugin.lending.writes import COPIED


@contextlib.contextmanager
def lent(model: nn.Module) -> Iterator[Snapshot]:
    """Whatever happens within: the model is afterwards what it was, also after an error.

    All that `Snapshot` knows, and training flags. Values of large tensors are only put back where they were written to
    while the snapshot yielded was `watched`. Parameters that lazy modules have made meanwhile stay.

    Raises:
        RuntimeError: a large tensor was written to while nothing watched.
    """
    flags = [(module, module.training) for module in model.modules() if hasattr(module, "training")]  # not if frozen
    before = Snapshot(model)
    samples = Samples(before.large())
    try:
        yield before
    finally:
        for module, flag in flags:
            if module.training != flag:
                module.training = flag
        before.put_back()
        for tensor, device in before.lazy:
            if not nn.parameter.is_lazy(tensor) and tensor.device != device:
                tensor.data = tensor.data.to(device)
    if changed := samples.changed():
        raise RuntimeError(
            f"{type(model).__name__} wrote to {', '.join(changed)} (more than {COPIED} entries) through `.data` after "
            "its first minibatch, where nothing could keep what was there: results of later minibatches are those of "
            "another model. Load its weights again; it cannot be compared as it is"
        )


class Loan:
    """A model that is lent for many passes.

    Args:
        model: any module.
        name: for messages.
        seed: what its random numbers follow from, besides its weights and the number of the minibatch.

    Attributes:
        drew: whether random numbers were drawn in the last pass.
        rewrote_weights: whether parameters were written to, or replaced, in the first pass.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> loan = Loan(net, "net", seed=0)
        >>> with loan.for_pass(0):
        ...     _ = net.weight.data.fill_(3.0)
        >>> bool((net.weight == 3).any()), loan.drew
        (False, False)
    """

    def __init__(self, model: nn.Module, name: str, seed: int) -> None:
        self._model, self._name, self._seed = model, name, seed
        self._identity: str | None = None
        self._before: Snapshot | None = None
        self.drew = self.rewrote_weights = self._watching = False

    @property
    def identified(self) -> bool:
        """Whether random numbers follow from the weights already."""
        return self._identity is not None

    def identify(self) -> None:
        """From now on random numbers follow from the weights too: another model draws others, a copy the same."""
        kinds = ",".join(type(module).__qualname__ for module in self._model.modules())
        self._identity = f"{weights_hash(self._model)} {kinds}"

    @contextlib.contextmanager
    def for_pass(self, minibatch: int) -> Iterator[Drawn]:
        """Within it the model runs on one minibatch; tells whether random numbers have been drawn.

        Raises:
            RuntimeError: a large tensor of the model was written to that cannot be put back, as it was not written to
                in the first pass; the message names it.
        """
        before, first = self._snapshot()
        self._before, self._watching = before, first
        seed = seed_of(self._seed, self._identity or "", minibatch)
        drawn: Drawn | None = None  # where it is interrupted before anything can be drawn
        try:
            with (
                seeded(seed, before.devices(), before.generators) as drawn,
                before.watched() if first else contextlib.nullcontext(),
            ):
                yield drawn
        finally:
            self._watching = False
            self.drew = bool(drawn)
            if first:
                self.rewrote_weights = before.rewritten()
            lost = before.put_back(thoroughly=first)
        if lost:
            raise RuntimeError(
                f"{self._name} wrote to {', '.join(lost)} (more than {COPIED} entries) in minibatch {minibatch}, but "
                "not in its first one: what was there is lost. Load its weights again; it cannot be compared as it is"
            )

    def _snapshot(self) -> tuple[Snapshot, bool]:
        """The model as it is now, and whether what it writes to is yet to be seen."""
        if self._before is None:
            return Snapshot(self._model), True
        if self._before.current():
            return self._before, False
        before = Snapshot(self._model)  # changed on purpose since the last pass
        return before, not before.takes_over(self._before)

    def aside(self) -> contextlib.AbstractContextManager[object]:
        """Within it, in a pass, what is computed is not the model's doing, and need not be watched."""
        return _disable_current_modes() if self._watching else contextlib.nullcontext()

    def making_lazy_parameters(self) -> contextlib.AbstractContextManager[object]:
        """Within it the model runs for the first time, and makes the parameters of its lazy modules; these stay."""
        held = [*self._model.parameters(), *self._model.buffers()]
        return seeded(seed_of(self._seed, self._name), sorted({tensor.device for tensor in held}, key=str))
