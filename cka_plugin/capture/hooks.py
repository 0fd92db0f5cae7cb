"""Hooks: run one model over minibatches and yield a Gram vector a layer, and the logits.

The Gram matrix is made inside the forward hook, at the moment the activation exists: nothing that happens to the tensor
later (an in-place ReLU, `+=`) can change it, and no activation outlives its layer. The model comes back as it was lent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer, first_tensor, spread_depths, tower
from cka_plugin.capture.layouts import gains_from_channels_last, inputs_channels_last, weights_channels_last
from cka_plugin.capture.lending import forked_rng, hooks_seen, lent, no_gradients
from cka_plugin.capture.packed_weights import weights_packed
from cka_plugin.capture.pooling import examples_first, pool
from cka_plugin.core import GramPacker, similarities
from cka_plugin.options import check_option

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Captured:
    """What one minibatch left behind.

    Attributes:
        vectors: (layers, n(n-1)/2) float32.
        diagonals: (layers, n) float32.
        exponents: (layers,) int64: the Gram matrices are `2**exponent` times what is stored.
        logits: (n, classes) float32, or None.
        features: where they were asked for, one (n, d) float32 array a layer: what its Gram matrix was made of.
    """

    vectors: npt.NDArray[np.float32]
    diagonals: npt.NDArray[np.float32]
    exponents: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32] | None
    features: list[npt.NDArray[np.float32]] | None = None


class Capture:
    """One model with hooks on its layers, as a context manager; `run` takes one minibatch of inputs.

    Args:
        model: the unwrapped module.
        adapter: its adapter.
        layers: where to look, by paths in `root`.
        root: what `model` was unwrapped from; None where that is `model`.
        name: the model's name, for messages.
        discover: the layers are candidates (`module` granularity, generic models): those that do not fire are left out,
            and the order is that of firing. Otherwise every layer must fire, in the listed order within its tower.
        pooling: see `pooling.pool`.
        kernel: `linear` or `rbf`.
        bandwidth: for `rbf`.
        device: where to run; the model is brought there and back. None leaves it where it is.
        precision: `float32` (no autocast), `bfloat16` or `float16` (autocast of the forward pass only).
        seed: for models that draw random numbers in `eval()` mode.
        required: paths of layers that must run, also where others are left out.
        features: keep the features of every layer too, a minibatch at a time (probes need them, comparisons do not).
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: Adapter,
        layers: Sequence[Layer],
        *,
        root: nn.Module | None = None,
        name: str = "model",
        discover: bool = False,
        pooling: str = "auto",
        kernel: str = "linear",
        bandwidth: float = 0.5,
        device: torch.device | None = None,
        precision: str = "float32",
        seed: int = 0,
        features: bool = False,
        required: Collection[str] = (),
    ) -> None:
        check_option("precision", precision)
        self.model = model
        self.root = model if root is None else root
        self.adapter = adapter
        self.name = name
        self.layers: list[Layer] = []  # known after the first minibatch: a module called k times is k layers
        self.candidates = list(layers)
        self.discover = discover
        self.pooling = pooling
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.device = device if device is not None else _device_of(model)
        self.precision = precision
        self.seed = seed
        self.features = features
        self.required = required
        self._move = device is not None
        self._slots: list[tuple[int, int]] = []  # (candidate, number of the call) of each layer
        self._fired: list[int] = []  # candidates, as they ran
        self._gram_device = torch.device("cpu") if self.device.type == "mps" else self.device  # MPS has no float64
        self._grams = GramPacker(self._gram_device)
        self._rows: list[npt.NDArray[np.float32]] = []
        self._inputs: Inputs = ()
        self._n = 0
        self._running = False
        self._channels_last = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Capture:
        with contextlib.ExitStack() as stack:  # undone at once if anything in here fails
            stack.enter_context(lent(self.model))
            if self._move:
                self.model.to(self.device)
            self.model.eval()
            if self._move and gains_from_channels_last(self.model, self.device, AUTOCAST[self.precision] is not None):
                self._to_channels_last(stack)
            for position, layer in enumerate(self.candidates):
                handle = self._module(layer).register_forward_hook(self._hook(position, layer))
                stack.callback(handle.remove)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, inputs: Inputs, n: int) -> Captured:
        """One forward pass over a minibatch of n examples.

        Raises:
            RuntimeError: the model failed (with its name and the shapes given), or its layers did not fire as listed.
        """
        self._n, self._running = n, True
        try:
            with (
                no_gradients(),
                forked_rng(self.seed, self.device),
                _autocast(self.device.type, AUTOCAST[self.precision]),
                hooks_seen(),
            ):
                output = self._forward(to_device(inputs, self.device))
                logits = self.adapter.logits(self.model, output)
                if logits is not None and logits.shape[0] != n:
                    logits = None
                captured = self._collect(logits)
        except CaptureError:
            raise
        except Exception as error:
            raise RuntimeError(
                f"{self.name} failed on a minibatch of {describe_inputs(inputs)}: {type(error).__name__}: {error}"
            ) from error
        finally:
            self._forget()
            self._inputs, self._running = (), False
        return captured

    def _forward(self, inputs: Inputs) -> Any:
        self._inputs = inputs
        if self._channels_last:
            try:
                return self.adapter.forward(self.model, inputs_channels_last(inputs))
            except CaptureError:
                raise
            except RuntimeError:
                if self._slots:  # it has run before: a failure of its own
                    raise
                self._channels_last = False  # perhaps code that insists on its strides (`view`): run it as it was lent
                self._layout.close()
                self._forget()
        return self.adapter.forward(self.model, inputs)

    def _forget(self) -> None:
        self._fired, self._grams, self._rows = [], GramPacker(self._gram_device), []

    def _to_channels_last(self, stack: contextlib.ExitStack) -> None:
        self._layout = stack.enter_context(contextlib.ExitStack())
        self._layout.enter_context(weights_channels_last(self.model))
        self._layout.enter_context(weights_packed(self.model))
        self._channels_last = True

    def _module(self, layer: Layer) -> nn.Module:
        try:
            return self.root.get_submodule(layer.path)
        except AttributeError as error:
            raise ValueError(f"layer {layer.name!r}: {self.name} has no module {layer.path!r}") from error

    def _hook(self, position: int, layer: Layer) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if not self._running:  # the same module is compared under another name too
                return
            x = first_tensor(self.adapter.activation(self.model, layer, output), self._n)
            if x is None:
                if self.discover:
                    return
                raise CaptureError(
                    f"layer {layer.name!r} ({layer.path}) of {self.name} returned no activation: "
                    f"{type(output).__name__}"
                )
            x = x.detach().cpu() if x.device.type == "mps" else x.detach()
            with torch.no_grad(), torch.autocast(x.device.type, enabled=False):  # a forward may switch gradients on
                try:
                    x = examples_first(x, self._n, module)
                    mask = None
                    if x.ndim == 3 and self.pooling != "flatten":
                        mask = self.adapter.mask(self.model, layer, self._inputs, x.shape[1])
                    rows = pool(x, self.pooling, mask)
                except ValueError as error:
                    raise CaptureError(f"layer {layer.name!r} ({layer.path}) of {self.name}: {error}") from error
                if self.features:  # a copy: later in-place changes are not ours
                    self._rows.append(rows.float().cpu().numpy().copy())
                self._grams.add(*similarities(rows, self.kernel, self.bandwidth))
                self._fired.append(position)

        return hook

    def _collect(self, logits: Tensor | None) -> Captured:
        """What the hooks kept, in the order of the layers, on the host."""
        slots: list[tuple[int, int]] = []
        calls: dict[int, int] = {}
        for position in self._fired:
            slots.append((position, calls.get(position, 0)))
            calls[position] = calls.get(position, 0) + 1
        if not self._slots:
            self._settle(slots)
        order = {slot: place for place, slot in enumerate(slots)}
        if set(slots) != set(self._slots):
            missing = [self.layers[self._slots.index(s)].name for s in self._slots if s not in order]
            extra = [self.candidates[p].name for p, k in slots if (p, k) not in self._slots]
            raise CaptureError(
                f"{self.name} did not run the same layers on every minibatch: missing {missing}, more calls of {extra}"
            )
        places = [order[slot] for slot in self._slots]
        made = to_host([*self._grams.finish(places), *([] if logits is None else [logits])])
        return Captured(
            made[0],
            made[1],
            made[2].astype(np.int64),
            None if logits is None else made[3],
            [self._rows[place] for place in places] if self.features else None,
        )

    def _settle(self, slots: list[tuple[int, int]]) -> None:
        """After the first minibatch: which layers there are, and that they fired as listed."""
        fired = {position for position, _ in slots}
        silent = [layer for position, layer in enumerate(self.candidates) if position not in fired]
        if not fired:
            raise CaptureError(f"none of the layers of {self.name} ran")
        if unheard := [layer.name for layer in silent if layer.path in self.required]:
            raise CaptureError(
                f"layers {', '.join(unheard)} of {self.name} were asked for and did not run on this input"
            )
        if not self.discover and silent:
            towers_run = {tower(self.candidates[position].name) for position in fired}
            lost = [layer for layer in silent if tower(layer.name) in towers_run or not tower(layer.name)]
            # A tower without inputs (the text tower of CLIP on images alone) stays out as a whole.
            if lost:
                raise CaptureError(
                    f"layers {', '.join(l.name for l in lost)} of {self.name} did not run on this input; give "
                    "granularity='module' to compare whatever runs"
                )
        if self.discover:
            self._slots = slots
        else:
            self._check_order(slots)
            self._slots = sorted(slots)
            if len({position for position, _ in slots}) < len(slots):
                self._slots = slots  # a module called many times: the order of the calls is the order of the layers
        named = [
            Layer(l.name if call == 0 else f"{l.name}@{call}", l.path, l.kind, l.depth)
            for l, call in ((self.candidates[position], call) for position, call in self._slots)
        ]
        repeated = any(call for _, call in self._slots)
        as_listed = [position for position, _ in self._slots] == list(range(len(self.candidates)))
        self.layers = named if as_listed or not (self.discover or repeated) else spread_depths(named)

    def _check_order(self, slots: list[tuple[int, int]]) -> None:
        last: dict[str, int] = {}
        for position, call in slots:
            if call:
                continue
            layer = self.candidates[position]
            side = tower(layer.name)
            if position < last.get(side, -1):
                raise CaptureError(
                    f"{self.name} runs {layer.name!r} after {self.candidates[last[side]].name!r}, against the "
                    "order of its "
                    "layer list: give granularity='module' to compare whatever runs, and report the model"
                )
            last[side] = position


class CaptureError(RuntimeError):
    """A model's layers could not be read."""


def _autocast(kind: str, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    if dtype is None:
        return torch.autocast(kind, enabled=False)
    # Weights cast here would be found again by a training step in an autocast around us, and have no gradients.
    return torch.autocast(kind, dtype=dtype, cache_enabled=False)


def _device_of(model: nn.Module) -> torch.device:
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def to_device(inputs: Any, device: torch.device) -> Any:
    """The same inputs with every tensor on `device`."""
    if isinstance(inputs, Tensor):
        return inputs.to(device, non_blocking=True)
    if isinstance(inputs, Mapping):
        return {key: to_device(value, device) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return tuple(to_device(value, device) for value in inputs)
    return inputs


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[np.float32]]:
    """Tensors as float32 arrays of their shapes: from another device by one copy, since each waits for the device.

    Example:
        >>> [array.shape for array in to_host([torch.zeros(2, 3), torch.tensor([1, 2])])]
        [(2, 3), (2,)]
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor.float().numpy() for tensor in tensors]
    device = next(tensor.device for tensor in tensors if tensor.device.type != "cpu")
    flat = torch.cat([tensor.to(device).float().flatten() for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])[:-1]
    return [part.reshape(tensor.shape) for part, tensor in zip(np.split(flat, ends), tensors, strict=True)]


def describe_inputs(inputs: Any) -> str:
    """Shapes and types of inputs, for messages.

    Example:
        >>> describe_inputs({"input_ids": torch.zeros(2, 5, dtype=torch.int64)})
        '{input_ids: int64 (2, 5)}'
    """
    if isinstance(inputs, Tensor):
        return f"{str(inputs.dtype).removeprefix('torch.')} {tuple(inputs.shape)}"
    if isinstance(inputs, Mapping):
        return "{" + ", ".join(f"{key}: {describe_inputs(value)}" for key, value in inputs.items()) + "}"
    if isinstance(inputs, list | tuple):
        return "(" + ", ".join(describe_inputs(value) for value in inputs) + ")"
    return type(inputs).__name__
