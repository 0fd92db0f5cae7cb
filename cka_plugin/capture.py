"""Hooks: run one model over minibatches and yield a Gram vector a layer, and the logits.

The Gram matrix is made inside the forward hook, at the moment the activation exists: nothing that happens to the tensor
later (an in-place ReLU, `+=`) can change it, and no activation outlives its layer. The model comes back as it was lent.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer, first_tensor, spread_depths, tower
from cka_plugin.kernels import gram, pack, u_center
from cka_plugin.pooling import examples_first, pool

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
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
        self._move = device is not None
        self._slots: list[tuple[int, int]] = []  # (candidate, number of the call) of each layer
        self._fired: list[tuple[int, Tensor, Tensor]] = []
        self._features: list[npt.NDArray[np.float32]] = []  # beside `_fired`, where they were asked for
        self._inputs: Inputs = ()
        self._n = 0
        self._running = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Capture:
        with contextlib.ExitStack() as stack:  # undone at once if anything in here fails
            stack.enter_context(_lent(self.model))
            if self._move:
                self.model.to(self.device)
            self.model.eval()
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
        self._fired, self._features, self._n, self._running = [], [], n, True
        self._inputs = to_device(inputs, self.device)
        dtype = PRECISIONS[self.precision]
        kind = self.device.type
        try:
            with torch.inference_mode(), forked_rng(self.seed, self.device), _autocast(kind, dtype), _hooks_seen():
                output = self.adapter.forward(self.model, self._inputs)
                logits = self.adapter.logits(self.model, output)
                captured = self._collect()
                features = self._features if self.features else None
        except CaptureError:
            raise
        except Exception as error:
            raise RuntimeError(
                f"{self.name} failed on a minibatch of {describe_inputs(inputs)}: {type(error).__name__}: {error}"
            ) from error
        finally:
            self._fired, self._features, self._inputs, self._running = [], [], (), False
        if logits is not None and logits.shape[0] != n:
            logits = None
        scores = None if logits is None else logits.float().cpu().numpy()
        return Captured(*captured, scores, features)

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
            x = x.cpu() if x.device.type == "mps" else x  # which has no float64
            with torch.autocast(x.device.type, enabled=False):
                try:
                    x = examples_first(x, self._n, module)
                    mask = None
                    if x.ndim == 3 and self.pooling != "flatten":
                        mask = self.adapter.mask(self.model, layer, self._inputs, x.shape[1])
                    rows = pool(x, self.pooling, mask)
                except ValueError as error:
                    raise CaptureError(f"layer {layer.name!r} ({layer.path}) of {self.name}: {error}") from error
                self._fired.append((position, *gram(rows, self.kernel, self.bandwidth)))
                if self.features:
                    self._features.append(rows.float().cpu().numpy().copy())  # later in-place changes are not ours

        return hook

    def _collect(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        slots: list[tuple[int, int]] = []
        calls: dict[int, int] = {}
        for position, _, _ in self._fired:
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
        grams = [self._fired[order[slot]][1] for slot in self._slots]
        exponents = [self._fired[order[slot]][2] for slot in self._slots]
        self._features = [self._features[order[slot]] for slot in self._slots] if self.features else []
        self._fired = []
        if len({k.dtype for k in grams}) > 1:
            grams = [k.double() for k in grams]
        if len({k.device for k in grams}) > 1:  # a model spread over devices
            grams = [k.to(self.device) for k in grams]
            exponents = [e.to(self.device) for e in exponents]
        stacked = torch.stack(grams)
        del grams
        a, diagonals = u_center(stacked)
        return (
            pack(a).float().cpu().numpy(),
            diagonals.float().cpu().numpy(),
            torch.stack(exponents).cpu().numpy().astype(np.int64),
        )

    def _settle(self, slots: list[tuple[int, int]]) -> None:
        """After the first minibatch: which layers there are, and that they fired as listed."""
        fired = {position for position, _ in slots}
        silent = [layer for position, layer in enumerate(self.candidates) if position not in fired]
        if not fired:
            raise CaptureError(f"none of the layers of {self.name} ran")
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


@contextlib.contextmanager
def _lent(model: nn.Module) -> Iterator[None]:
    """Whatever happens within: training flags, tensors, devices and buffers are afterwards what they were."""
    modules = list(model.modules())
    training = [module.training for module in modules]
    slots: list[tuple[dict[str, Any], dict[str, Any]]]
    plain = [module for module in modules if not isinstance(module, torch.jit.ScriptModule)]  # whose slots are fixed
    slots = [(module._parameters, dict(module._parameters)) for module in plain]
    slots += [(module._buffers, dict(module._buffers)) for module in plain]
    data = {id(t): (t, t.data) for _, held in slots for t in held.values() if t is not None}
    attributes = [set(vars(module)) for module in modules]
    try:
        yield
    finally:
        for module, flag in zip(modules, training, strict=True):
            module.training = flag
        for held, before in slots:
            held.clear()
            held.update(before)
        for tensor, value in data.values():
            if tensor.data_ptr() != value.data_ptr() or tensor.device != value.device:
                tensor.data = value
        for module, before_names in zip(modules, attributes, strict=True):
            for name, value in list(vars(module).items()):
                # A tensor that a module cached under inference_mode could not be used in training later.
                if isinstance(value, Tensor) and value.is_inference():
                    if name in before_names:
                        setattr(module, name, value.clone())
                    else:
                        delattr(module, name)


@contextlib.contextmanager
def forked_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers start from `seed` within, and go on after it as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed devices that are not put back
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _autocast(kind: str, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    if dtype is None:
        return torch.autocast(kind, enabled=False)
    return torch.autocast(kind, dtype=dtype)


@contextlib.contextmanager
def _hooks_seen() -> Iterator[None]:
    """Compiled parts run eagerly and attention leaves its fused path: both would pass the hooks by."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    set_stance = getattr(torch.compiler, "set_stance", None)  # torch 2.6
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled, and asking would import it: seconds
        set_stance = None
    try:
        with set_stance("force_eager") if set_stance is not None else contextlib.nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)


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
