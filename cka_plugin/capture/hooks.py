"""Hooks: run one model over minibatches and yield a Gram vector a layer, and the logits.

The Gram matrix is made inside the forward hook, at the moment the activation exists: nothing that happens to the tensor
later (an in-place ReLU, `+=`) can change it, and no activation outlives its layer. The model comes back as it was lent.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer
from cka_plugin.adapters.modules import module_at
from cka_plugin.capture.captured import Captured, HostCopy
from cka_plugin.capture.direct import DirectCalls
from cka_plugin.capture.features import Features
from cka_plugin.capture.firing import CaptureError, settled
from cka_plugin.capture.inputs import describe_inputs, hint_of, own_copy, to_device
from cka_plugin.capture.layouts import gains_from_channels_last, weights_channels_last
from cka_plugin.capture.orders import doubled, exchanged, reordered
from cka_plugin.capture.packed_weights import weights_packed
from cka_plugin.capture.pooling import UnknownPlaces
from cka_plugin.capture.remarks import Remarks
from cka_plugin.capture.rows import OUTPUT, Rows, Slot, Taken
from cka_plugin.core import GramPacker, careful_similarities, products_in_doubt, similarities
from cka_plugin.lending.loan import Loan, lent
from cka_plugin.lending.running import device_of, evaluating, hooks_seen, no_gradients
from cka_plugin.options import Options

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Watched:
    """A model, and where to look in it.

    Attributes:
        model: the unwrapped module.
        adapter: its adapter.
        layers: where to look, by paths in `root`.
        root: what `model` was unwrapped from; None where that is `model`.
        name: the model's name, for messages.
        discover: the layers are candidates (`module` granularity, generic models): those that do not fire are left out,
            and the order is that of firing. Otherwise every layer must fire, in the listed order within its tower.
        required: paths of layers that must run, also where others are left out.
    """

    model: nn.Module
    adapter: Adapter
    layers: Sequence[Layer]
    root: nn.Module | None = None
    name: str = "model"
    discover: bool = False
    required: Collection[str] = ()


class Capture:
    """One model with hooks on its layers, as a context manager; `run` takes one minibatch of inputs.

    Args:
        watched: the model, and where to look.
        options: of the call: `kernel`, `bandwidth`, `precision`, `seed` (of models that draw random numbers in `eval()`
            mode) and `pooling` (which axes are places is followed through the first minibatch).
        device: where to run; the model is brought there and back. None leaves it where it is.
        features: keep the features of every layer too, a minibatch at a time (probes need them, comparisons do not).
    """

    def __init__(
        self,
        watched: Watched,
        options: Options | None = None,
        *,
        device: torch.device | None = None,
        features: bool = False,
    ) -> None:
        options = Options() if options is None else options
        model, adapter, layers = watched.model, watched.adapter, watched.layers
        self.model = model
        self.root = model if watched.root is None else watched.root
        self.adapter = adapter
        self.name = watched.name
        self.layers: list[Layer] = []  # known after the first minibatch: a module called k times is k layers
        self.candidates = list(layers)
        self.discover = watched.discover
        self.pooling = options.pooling
        self.kernel = options.kernel
        self.bandwidth = options.bandwidth
        self.device = device if device is not None else device_of(model)
        self.precision = options.precision
        self.seed = options.seed
        self.features = features
        self._projection = options.projection
        self.required = watched.required
        self._move = device is not None
        self._slots: list[Slot] = []  # of each layer
        self._fired: list[Slot] = []  # whose Gram matrices were made, in that order
        self._calls: Counter[int] = Counter()  # of each candidate
        leaves = watched.discover or any(layer.kind == "module" for layer in layers)
        self._rows = Rows(adapter.rows_known(model, leaves))
        self._gram_device = torch.device("cpu") if self.device.type == "mps" else self.device  # MPS has no float64
        self._grams = GramPacker(self._gram_device)
        self._features: list[npt.NDArray[np.float32]] = []
        self._pooled = Features(model, adapter, options.pooling)
        self._widths: dict[Slot, int] = {}  # features of each layer
        self._complex: set[Slot] = set()
        self._careful: set[Slot] = set()  # whose Gram matrices are not made in doubt
        self._remarks = Remarks(watched.name, self.candidates)
        self._n = 0
        self._running = False
        self._channels_last = False
        self._loan = Loan(model, watched.name, options.seed)
        self._lazy = False  # whether parameters wait for a first pass
        self._minibatch = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Capture:
        with contextlib.ExitStack() as stack:  # undone at once if anything in here fails
            before = stack.enter_context(lent(self.model))
            self._lazy = bool(before.lazy)
            with before.watched():  # adapters of LoRA write to weights as they are brought into `eval()`
                if self._move:
                    self.model.to(self.device)
                evaluating(self.model)
            if self._move and gains_from_channels_last(self.model, self.device, AUTOCAST[self.precision] is not None):
                self._to_channels_last(stack)
            hooks = [(self._module(layer), self._hook(k, layer)) for k, layer in enumerate(self.candidates)]
            for module, hook in hooks:
                # Not the module's own method: what TorchScript made runs hooks, but refuses them.
                stack.callback(nn.Module.register_forward_hook(module, hook).remove)
            self._direct = stack.enter_context(DirectCalls(hooks))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def rows(self) -> dict[str, str]:
        """Where the rows of the examples lie, by layer, where each example does not have one row on the first axis."""
        told = {layer.name: self._rows.readings[slot] for slot, layer in zip(self._slots, self.layers, strict=True)}
        return {name: reading.described() for name, reading in told.items() if not reading.plain}

    def run(self, inputs: Inputs, n: int, minibatch: int = 0) -> Captured:
        """One forward pass over a minibatch of n examples; on the first, perhaps one more with these in another order.

        Args:
            inputs: of the model, which gets copies of them.
            n: how many examples they hold.
            minibatch: its number in the whole run, from which random numbers follow.

        Raises:
            RuntimeError: the model failed (with its name and the shapes given), or its layers did not fire as listed.
        """
        return self.begin(inputs, n, minibatch).captured()

    def begin(self, inputs: Inputs, n: int, minibatch: int = 0) -> Begun:
        """As `run`, but where the device works by itself this does not wait for it: `Begun.captured` does."""
        self._n, self._running, self._minibatch = n, True, minibatch
        try:
            given = to_device(inputs, self.device)
            if self._lazy:
                self._make_lazy_parameters(given)
            logits = self._read_as_laid_out(given)
            if self._loan.drew and not self._loan.identified:
                self._loan.identify()
                logits = self._read(given)
            return self._collect(logits, given)
        except CaptureError:
            raise
        except Exception as error:
            raise RuntimeError(
                f"{self.name} failed on a minibatch of {describe_inputs(inputs)}: {type(error).__name__}: {error}"
                f"{hint_of(error, inputs)}"
            ) from error
        finally:
            self._forget()
            self._rows.over()
            self._pooled.inputs, self._running = (), False

    def again(self, begun: Begun, slots: Collection[Slot]) -> Captured:
        """The same minibatch with care for layers whose Gram matrices, made in doubt, turned out not to hold."""
        self._careful |= set(slots)
        return self.run(begun.given, begun.n, begun.minibatch)

    def _read_as_laid_out(self, given: Any) -> Tensor | None:
        """Run the model; with its weights as they were lent, where it does not bear that they lie otherwise."""
        if self._channels_last:
            try:
                logits = self._read(given)
                if not self._loan.rewrote_weights:  # of which there are copies
                    return logits
            except RuntimeError as error:
                if isinstance(error, CaptureError) or self._slots:  # it has run before: a failure of its own
                    raise  # else perhaps code that insists on its strides (`view`)
            self._channels_last = False
            self._layout.close()
        return self._read(given)

    def _read(self, given: Any) -> Tensor | None:
        """Run the model, and before it with the examples in another order where their rows are not known yet."""
        failure = self._look(given) if self._rows.wanted else None
        logits = self._pass(given)
        if self._rows.wanted and failure is None:
            failure = self._look(given)
            logits = self._pass(given) if failure is None else logits
        if failure is not None:
            raise CaptureError(
                f"{self.name} fails when its examples come in another order, by which it is told which rows of its "
                f"layers are whose: {type(failure).__name__}: {failure}"
            ) from failure
        return logits

    def _look(self, given: Any) -> Exception | None:
        """Run the model with its examples in another order; returns why that cannot be."""
        failure: Exception | None = None
        for order in (exchanged(self._n), doubled(self._n)):
            try:
                with self._rows.watching(order):
                    self._pass(reordered(given, order))
                return None
            except Exception as error:  # told by the caller, unless the model fails on the examples as they are too
                if self._channels_last and isinstance(error, RuntimeError) and not self._slots:
                    raise  # perhaps of its strides: see `run`
                failure = failure or error
        return failure

    def _pass(self, inputs: Any) -> Tensor | None:
        """One forward pass, as if it were the first; returns the logits."""
        self._forget()
        self._direct.begin()
        self._pooled.inputs = inputs
        with self._evaluation(), self._loan.for_pass(self._minibatch) as drawn:
            known = bool(self._slots) and all(reading.settled for reading in self._rows.readings.values())
            with contextlib.nullcontext() if known else self._pooled.following():
                output = self._forward(inputs)
            logits = self._logits(output)
            self._rows.look()
            if self._rows.wanted:
                self._rows.random = AUTOCAST[self.precision] is not None or bool(drawn)
            return logits

    def _logits(self, output: Any) -> Tensor | None:
        logits = self.adapter.logits(self.model, output)
        if logits is None or self._rows.note(OUTPUT, logits, self._n):
            return None
        taken = self._rows.take(OUTPUT, logits, self._n)
        if isinstance(taken, Taken) and taken.x.ndim == 2 and not taken.reading.gathers:
            return taken.x
        return None

    def _forward(self, inputs: Any) -> Any:
        return self.adapter.forward(self.model, own_copy(inputs, self._channels_last))

    @contextlib.contextmanager
    def _evaluation(self) -> Iterator[None]:
        with no_gradients(), _autocast(self.device.type, AUTOCAST[self.precision]), hooks_seen():
            yield

    def _make_lazy_parameters(self, given: Any) -> None:
        self._running = False
        with self._evaluation(), lent(self.model) as before, before.watched(), self._loan.making_lazy_parameters():
            self._forward(given)
        self._lazy, self._running = False, True

    def _forget(self) -> None:
        self._fired, self._calls, self._features = [], Counter(), []
        self._grams = GramPacker(self._gram_device)

    def _to_channels_last(self, stack: contextlib.ExitStack) -> None:
        self._layout = stack.enter_context(contextlib.ExitStack())
        self._layout.enter_context(weights_channels_last(self.model))
        self._layout.enter_context(weights_packed(self.model))
        self._channels_last = True

    def _module(self, layer: Layer) -> nn.Module:
        try:
            return module_at(self.root, layer.path)
        except AttributeError as error:
            raise ValueError(f"layer {layer.name!r}: {self.name} has no module {layer.path!r}") from error

    def _hook(self, position: int, layer: Layer) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if not self._running:  # the same module is compared under another name too
                return
            slot = (position, self._calls[position])
            self._calls[position] += 1
            activation = self.adapter.activation(self.model, layer, output)
            # The forward pass may have switched gradients on, or an autocast.
            with self._loan.aside(), torch.no_grad(), _autocast(self._gram_device.type, None):
                if self._rows.note(slot, activation, self._n):
                    return
                taken = self._rows.take(slot, activation, self._n)
                if isinstance(taken, str):
                    self._unreadable(slot, layer, taken)
                elif taken is not None:  # else the pass is repeated
                    self._keep(slot, layer, taken, args)

        return hook

    def _keep(self, slot: Slot, layer: Layer, taken: Taken, given: Any) -> None:
        """Make the Gram matrix of a layer."""
        try:
            rows = self._pooled.of(slot, layer, taken, given)
        except UnknownPlaces as error:
            self._rows.left_out[slot] = str(error)
            self._unreadable(slot, layer, str(error))
            return
        except ValueError as error:
            raise CaptureError(f"layer {layer.name!r} ({layer.path}) of {self.name}: {error}") from error
        if self.features:  # a copy: later in-place changes are not ours
            self._features.append(rows.float().cpu().numpy().copy())
        self._widths[slot] = rows.shape[1]
        if taken.found.complex:
            self._complex.add(slot)
        self._fired.append(slot)
        if looks_are_free(rows.device):
            self._grams.add(*similarities(rows, self.kernel, self.bandwidth))
        elif self.kernel != "linear" or slot in self._careful:
            self._grams.add(*careful_similarities(rows, self.kernel, self.bandwidth))
        else:
            k, doubt = products_in_doubt(rows)
            self._grams.add(k, torch.zeros((), dtype=torch.int32, device=k.device), doubt)

    def _unreadable(self, slot: Slot, layer: Layer, why: str) -> None:
        """A layer whose rows cannot be told: left out from the first minibatch on, or NaN if it was there before."""
        if not self.discover or layer.path in self.required or (self.features and slot in self._slots):
            raise CaptureError(f"layer {layer.name!r} ({layer.path}) of {self.name}: {why}")
        if slot in self._slots:
            self._nothing(slot, why)

    def _nothing(self, slot: Slot, why: str) -> None:
        """NaN for a layer that cannot be read in this minibatch, and so for all its pairs."""
        self._remarks.nothing(self.layers[self._slots.index(slot)], why)
        self._grams.add(torch.full((self._n, self._n), torch.nan), torch.zeros((), dtype=torch.int32))
        self._fired.append(slot)

    def _agree(self) -> None:
        """See that the layers are those of the first minibatch; those found there may be NaN from here on."""
        missing = [slot for slot in self._slots if slot not in self._fired]
        extra = [slot for slot in self._fired if slot not in self._slots]
        if (missing or extra) and not (self.discover and not self.features):
            names = [self.layers[self._slots.index(slot)].name for slot in missing]
            raise CaptureError(
                f"{self.name} did not run the same layers on every minibatch: missing {names}, more calls of "
                f"{[self.candidates[slot[0]].name for slot in extra]}"
            )
        for slot in missing:
            self._nothing(slot, "it did not run on every minibatch")
        for slot in extra:
            self._remarks.late(slot)

    def _collect(self, logits: Tensor | None, given: Any) -> Begun:
        """What the hooks kept, in the order of the layers, on its way to the host."""
        if not self._slots:
            if not self._fired and any(slot != OUTPUT for slot in self._rows.left_out):
                self._remarks.left_out(self._rows.left_out)
                why = next(why for slot, why in self._rows.left_out.items() if slot != OUTPUT)
                raise CaptureError(f"no layer of {self.name} can be compared: {why}")
            self._slots, self.layers = settled(self.name, self.candidates, self._fired, self.discover, self.required)
            self._remarks.left_out(self._rows.left_out)
            self._remarks.complex([slot for slot in self._slots if slot in self._complex])
            self._direct.only_seen()
        self._agree()
        order = {slot: place for place, slot in enumerate(self._fired)}
        places = [order[slot] for slot in self._slots]
        vectors, *packed = self._grams.finish_in_doubt(places)
        if self._projection is not None:
            vectors = self._projection.of(vectors, self._minibatch)
        return Begun(
            self,
            given,
            self._n,
            self._minibatch,
            HostCopy([vectors, *packed, *([] if logits is None else [logits])]),
            [self._features[place] for place in places] if self.features else None,
            max((self._widths.get(slot, 0) for slot in self._slots), default=0),
        )

    @property
    def slots(self) -> list[Slot]:
        """Which candidate, and which of its calls, each layer is."""
        return self._slots


@dataclass(frozen=True)
class Begun:
    """A minibatch that the model has been given, and whose results may still be on their way.

    Attributes:
        of: whose it is.
        given: the inputs, on the model's device.
        n: how many examples they hold.
        minibatch: its number.
        copy: the results.
        features: of each layer, where they were asked for.
        width: the largest number of features of a layer.
    """

    of: Capture
    given: Any
    n: int
    minibatch: int
    copy: HostCopy
    features: list[npt.NDArray[np.float32]] | None
    width: int

    def captured(self) -> Captured:
        """What the minibatch left, on the host; waits for it."""
        vectors, diagonals, exponents, doubted, *logits = self.copy.arrays()
        if doubted.any():
            return self.of.again(self, [self.of.slots[layer] for layer in np.flatnonzero(doubted)])
        return Captured(
            vectors,
            diagonals,
            exponents.astype(np.int64),
            logits[0] if logits else None,
            self.features,
            self.of.rows,
            self.width,
        )


def looks_are_free(device: torch.device) -> bool:
    """Whether looking at a value waits for nothing; elsewhere it would wait for the device, layer by layer."""
    return device.type == "cpu"


def _autocast(kind: str, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    if dtype is None and not torch.amp.is_autocast_available(kind):
        return contextlib.nullcontext()
    if dtype is None:
        return torch.autocast(kind, enabled=False)
    # Weights cast here would be found again by a training step in an autocast around us, and have no gradients.
    return torch.autocast(kind, dtype=dtype, cache_enabled=False)
