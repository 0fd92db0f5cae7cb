"""All that a model holds, as it was: its attributes, what they hold, and where its tensors lie.

It is taken once, and looked through in a fraction of a millisecond: what is compared is which objects stand where, not
what they are. Values of tensors are the matter of `Writes`; both together put everything back, or nothing is touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import types
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cka_plugin.lending.randomness import GENERATORS, Generator
from cka_plugin.lending.writes import COPIED, Writes

# What is left alone inside an attribute: objects of libraries that keep accounts of their own (Lightning's trainer, the
# states of FSDP, graphs of torch.fx), of which half would be put back.
_FOREIGN = ("torch", "lightning", "pytorch_lightning", "lightning_fabric", "accelerate", "deepspeed", "cka_plugin")
_ATOMS = {bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size}
_CONTAINERS = {dict, OrderedDict, set}
_CODE = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.CodeType,
    property,
)


@dataclass
class _Place:
    """Where a tensor lay, and what else it was besides its values."""

    tensor: Tensor
    path: str
    data: Tensor
    version: int | None
    requires_grad: bool
    grad: Tensor | None
    geometry: tuple[Any, ...]

    def moved(self) -> bool:
        return _geometry(self.tensor) != self.geometry

    def put_back_data(self) -> None:
        if self.moved():
            self.tensor.data = self.data

    def put_back_flags(self) -> None:
        if self.tensor.is_leaf:
            if self.tensor.requires_grad != self.requires_grad:
                self.tensor.requires_grad_(self.requires_grad)
            if self.tensor.grad is not self.grad:
                self.tensor.grad = self.grad


class Snapshot:
    """What `model` holds now, to be put back later.

    Modules whose parameters are made by the first forward pass (`nn.LazyLinear`) are left as that pass makes them. Of
    modules that FSDP shards the parameters are left to it.

    Args:
        model: any module.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> net.seen = [0]
        >>> before = Snapshot(net)
        >>> with before.watched():
        ...     net.seen.append(1)
        ...     net.mode = "new"
        ...     _ = net.weight.data.fill_(3.0)
        >>> before.put_back()
        []
        >>> net.seen, hasattr(net, "mode"), bool((net.weight == 3).any())
        ([0], False, False)
    """

    def __init__(self, model: nn.Module) -> None:
        self.lazy: list[tuple[Tensor, torch.device]] = []
        self.sharded: list[Any] = []
        self._alive: dict[int, Any] = {}  # what was looked at; kept, so that ids stay theirs
        self._mappings: list[tuple[dict[Any, Any], tuple[Any, ...], tuple[Any, ...]]] = []
        self._empty: list[dict[Any, Any] | set[Any]] = []  # of a module's many hooks, mostly
        self._sequences: list[tuple[Any, list[Any]]] = []
        self._sets: list[tuple[set[Any], set[Any]]] = []
        self._arrays: list[tuple[np.ndarray, np.ndarray]] = []
        self._classes: list[tuple[Any, type]] = []  # which class each module is of
        self._namespaces: list[tuple[type, dict[str, Any]]] = []  # attributes of those classes
        self.generators: list[Generator] = []
        self._scripted: list[tuple[Any, dict[str, Any]]] = []
        self._places: list[_Place] = []
        modules = list(model.modules())
        kinds = {type(module) for module in modules}
        sharding = {kind for kind in kinds if _shards(kind)}
        self._owners = {_library(kind) for kind in kinds} - set(_FOREIGN)
        self._under_fsdp = {id(below) for module in modules if type(module) in sharding for below in module.modules()}
        self._visit("", model)
        for own in dict.fromkeys(base for kind in kinds for base in kind.__mro__ if _library(base) in self._owners):
            self._note_class(own)
        self._keys = [key for _, keys, _ in self._mappings for key in keys]
        self._values = [value for _, _, values in self._mappings for value in values]
        self._held = [mapping for mapping, _, _ in self._mappings]
        self._lengths = list(map(len, self._held))
        self._strided = [place.tensor for place in self._places if len(place.geometry) == 3]
        self._note_versions()
        self._elsewhere = [place for place in self._places if len(place.geometry) != 3]
        self._geometries = [place.geometry for place in self._places if len(place.geometry) == 3]
        self._copies: dict[int, Tensor] = {}  # of tensors that are small, or were written to, before that
        self._written: set[int] = set()

    @property
    def tensors(self) -> list[Tensor]:
        """All that the model holds: parameters, buffers, attributes, and those in what attributes hold."""
        return [place.tensor for place in self._places]

    def large(self) -> list[tuple[str, Tensor]]:
        """Paths and tensors that are not copied beforehand."""
        return [(place.path, place.tensor) for place in self._places if place.tensor.numel() > COPIED]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, values that are overwritten are kept; with them `put_back` puts back the contents of tensors."""
        tensors = self.tensors
        with torch.no_grad():
            small = {i: t.detach().clone() for i, t in enumerate(tensors) if t.numel() <= COPIED and _has_values(t)}
        self._copies = {**small, **self._copies}
        writes = Writes(tensors)
        try:
            with writes:
                yield
        finally:
            self._copies = {**writes.kept, **self._copies}
            self._written |= set(writes.kept)

    def unchanged(self) -> bool:
        """Whether every object stands where it stood, and every tensor lies where it lay; not what tensors hold."""
        return (
            not any(self._empty)
            and list(map(len, self._held)) == self._lengths
            and all(map(operator.is_, chain.from_iterable(map(dict.values, self._held)), self._values))
            and all(map(operator.is_, chain.from_iterable(map(dict.keys, self._held)), self._keys))
            and all(len(now) == len(then) and all(map(operator.is_, now, then)) for now, then in self._sequences)
            and all(now == then for now, then in self._sets)
            and all(type(held) is kind for held, kind in self._classes)
            and all(_same_values(vars(kind), then) for kind, then in self._namespaces)
            and not self._moved()
        )

    def _moved(self) -> bool:
        """Whether any tensor lies elsewhere, or otherwise: in C for those that have strides, which are many."""
        try:
            now = zip(map(_SIZE, self._strided), map(_STRIDE, self._strided), map(_ADDRESS, self._strided), strict=True)
            return list(now) != self._geometries or any(map(_Place.moved, self._elsewhere))
        except (RuntimeError, NotImplementedError):  # one that has no strides any more
            return True

    def current(self) -> bool:
        """Whether nothing has changed since this was taken or put back last, as far as versions of tensors tell."""
        return self.unchanged() and self._unwritten()

    def _unwritten(self) -> bool:
        """Whether versions of tensors are what they were."""
        return list(map(_VERSION, self._versioned)) == self._versions

    def devices(self) -> list[torch.device]:
        """Where its tensors are."""
        return sorted({place.tensor.device for place in self._places}, key=str)

    def takes_over(self, earlier: Snapshot) -> bool:
        """Take the values kept by an earlier one, if its tensors are the same and as they were; returns whether so."""
        place_of = {id(place.tensor): position for position, place in enumerate(earlier._places)}
        places = [place_of.get(id(place.tensor)) for place in self._places]
        for position, place in zip(places, self._places, strict=True):
            if (
                position is None
                or earlier._places[position].moved()
                or place.version != earlier._places[position].version
            ):
                return False
        self._copies = {i: earlier._copies[k] for i, k in enumerate(places) if k in earlier._copies}
        self._written = {i for i, k in enumerate(places) if k in earlier._written}
        return True

    def put_back(self, thoroughly: bool = True) -> list[str]:
        """Make everything what it was.

        Args:
            thoroughly: compare all values that were kept; otherwise those of tensors that have been written to before,
                or whose version has changed.

        Returns:
            Paths of large tensors that were written to while nothing watched: what they held is lost.
        """
        if not self.unchanged():
            self._put_back_objects()
            for place in self._places:
                place.put_back_data()
        for held, attributes in self._scripted:
            for name, value in attributes.items():
                if not _equal(held._c.getattr(name), value):
                    held._c.setattr(name, value)
        for now, then in self._arrays:
            if not np.array_equal(now, then):
                np.copyto(now, then)
        for generator in self.generators:
            generator.put_back()
        for place in self._places:
            place.put_back_flags()
        lost = self._put_back_values(thoroughly)
        for module in self.sharded:
            module.reshard()
        return lost

    def rewritten(self) -> bool:
        """Whether a parameter has been replaced, or was written to while watched."""
        return any(
            isinstance(place.tensor, nn.Parameter) and (place.moved() or position in self._written)
            for position, place in enumerate(self._places)
        )

    def _put_back_objects(self) -> None:
        for held, kind in self._classes:
            if type(held) is not kind:
                object.__setattr__(held, "__class__", kind)
        for kind, attributes in self._namespaces:
            shared = vars(kind)
            for name in [name for name in shared if name not in attributes]:
                delattr(kind, name)
            for name, value in attributes.items():
                if name not in shared or shared[name] is not value:
                    setattr(kind, name, value)
        for mapping, keys, values in self._mappings:
            if len(mapping) != len(keys) or not all(map(operator.is_, dict.keys(mapping), keys)):
                _clear(mapping)
            _fill(mapping, keys, values)
        for container in self._empty:
            if container:
                _clear(container)
        for sequence, items in self._sequences:
            if len(sequence) != len(items) or not all(map(operator.is_, sequence, items)):
                if isinstance(sequence, deque):
                    deque.clear(sequence)
                    deque.extend(sequence, items)
                else:
                    (list if isinstance(sequence, list) else bytearray).__setitem__(sequence, slice(None), items)
        for some, then in self._sets:
            if some != then:
                set.clear(some)
                set.update(some, then)

    def _put_back_values(self, thoroughly: bool) -> list[str]:
        """Write the values kept over those that changed; returns what cannot be, by path."""
        if not thoroughly and not self._written and self._unwritten():
            return []
        lost = []
        for position, place in enumerate(self._places):
            version = _version(place.tensor)
            if not thoroughly and version == place.version and position not in self._written:
                continue
            copy = self._copies.get(position)
            if copy is None:
                if version != place.version and _has_values(place.tensor):
                    lost.append(place.path)
            elif not _bit_equal(place.data, copy):
                self._written.add(position)
                with torch.inference_mode(place.data.is_inference()), torch.no_grad():
                    place.data.copy_(copy)
            place.version = version
        self._note_versions()
        return lost

    def _note_versions(self) -> None:
        versions = [(place.tensor, place.version) for place in self._places if place.version is not None]
        self._versioned = [tensor for tensor, _ in versions]
        self._versions = [version for _, version in versions]

    def _visit(self, path: str, root: Any) -> None:
        waiting: list[tuple[str, Any]] = [(path, root)]
        while waiting:
            path, held = waiting.pop()
            if type(held) in _ATOMS or id(held) in self._alive or isinstance(held, _CODE):
                continue
            inside = self._note(path, held)
            if inside is not None:
                self._alive[id(held)] = held
                waiting += inside

    def _note(self, path: str, held: Any) -> list[tuple[str, Any]] | None:
        """Remember an object; returns what it holds, or None where it is left alone."""
        if isinstance(held, nn.Module):
            return self._note_module(path, held)
        if isinstance(held, Tensor):
            return self._note_tensor(path, held)
        inside: list[tuple[str, Any]] = []
        known = False
        if isinstance(held, dict):
            inside += self._note_mapping(path, held)
            known = True
        elif isinstance(held, list | deque):
            self._sequences.append((held, list(held)))
            inside += [(f"{path}[{i}]", value) for i, value in enumerate(held)]
            known = True
        elif isinstance(held, tuple | frozenset):
            inside += [(f"{path}[{i}]", value) for i, value in enumerate(held)]
            known = True
        elif isinstance(held, set):
            self._sets.append((held, set(held)))
            inside += [(path, value) for value in held]
            known = True
        elif isinstance(held, bytearray):
            self._sequences.append((held, list(held)))
            known = True
        elif isinstance(held, np.ndarray):
            if held.flags.writeable and not isinstance(held, np.memmap) and held.dtype != object:
                self._arrays.append((held, held.copy()))
            return []
        elif isinstance(held, GENERATORS):
            self.generators.append(Generator(held))
            return []
        if hasattr(held, "__dict__") and (known or self._is_own(held)):
            inside += self._note_mapping(path, vars(held))
            known = True
        return inside if known else None

    def _note_mapping(self, path: str, mapping: dict[Any, Any]) -> list[tuple[str, Any]]:
        if not mapping:
            self._empty.append(mapping)
            return []
        self._mappings.append((mapping, tuple(dict.keys(mapping)), tuple(dict.values(mapping))))
        inside = []
        for key, value in dict.items(mapping):
            kind = type(value)
            if kind in _CONTAINERS and not value:
                self._empty.append(value)
            elif kind not in _ATOMS:
                inside.append((_join(path, key), value))
        return inside

    def _note_module(self, path: str, module: nn.Module) -> list[tuple[str, Any]]:
        if isinstance(module, torch.jit.ScriptModule):
            return self._note_scripted(path, module)
        if type(module).__name__ == "FullyShardedDataParallel":  # keeps accounts in its attributes and below
            return []
        if _shards(type(module)):
            self.sharded.append(module)
        own = [tensor for tensor in (*module._parameters.values(), *module._buffers.values()) if tensor is not None]
        lazy = [tensor for tensor in own if nn.parameter.is_lazy(tensor)]
        if lazy:  # its first forward pass makes it another one, and what that sets belongs together
            self.lazy += [(tensor, tensor.device) for tensor in lazy]
            return [(_join(path, name), child) for name, child in module.named_children()]
        self._classes.append((module, type(module)))
        attributes = vars(module)
        slots = [attributes[name] for name in ("_modules", "_buffers", "_parameters")]
        modules, buffers, parameters = slots
        found = [
            (where, value)
            for where, value in self._note_mapping(path, attributes)
            if value is not modules and value is not buffers and value is not parameters
        ]
        for held in slots[: 2 if id(module) in self._under_fsdp else 3]:  # FSDP sees to the parameters
            if held:  # else noted with the attributes
                found += self._note_mapping(path, held)
        return found

    def _note_class(self, kind: type) -> None:
        """Its attributes, which the modules of one class share: a count, a cache of positions."""
        self._namespaces.append((kind, dict(vars(kind))))
        for name, value in vars(kind).items():
            if isinstance(value, Tensor | dict | list | set | deque):
                self._visit(f"{kind.__name__}.{name}", value)

    def _note_scripted(self, path: str, module: Any) -> list[tuple[str, Any]]:
        kind: Any = torch._C.ConcreteModuleType.from_jit_type(module._c._type())  # frozen modules have not theirs
        names = [name for name in kind.get_attributes() if module._c.hasattr(name)]
        attributes = {name: module._c.getattr(name) for name in names}
        self._scripted.append((module, attributes))
        held = [*attributes.items(), *module.named_children()]
        return [
            (f"{path}.{name}" if path else name, value) for name, value in held if isinstance(value, Tensor | nn.Module)
        ]

    def _note_tensor(self, path: str, tensor: Tensor) -> list[tuple[str, Any]]:
        if nn.parameter.is_lazy(tensor):
            return []
        grad = tensor.grad if tensor.is_leaf else None
        place = _Place(tensor, path, tensor.data, _version(tensor), tensor.requires_grad, grad, _geometry(tensor))
        self._places.append(place)
        return [] if grad is None else [(f"{path}.grad", grad)]

    def _is_own(self, held: Any) -> bool:
        """Whether an object is of the model's own code, or plain data."""
        kind = type(held)
        plain = isinstance(held, types.SimpleNamespace) or dataclasses.is_dataclass(held)
        return (plain or _library(kind) in self._owners) and _library(kind) not in _FOREIGN


_SIZE, _STRIDE, _ADDRESS = torch.Tensor.size, torch.Tensor.stride, torch.Tensor.data_ptr
_VERSION = operator.attrgetter("_version")


def _join(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _same_values(now: Mapping[str, Any], then: dict[str, Any]) -> bool:
    return len(now) == len(then) and all(map(operator.is_, now.values(), then.values()))


def _shards(kind: type) -> bool:
    """Whether `fully_shard` was called on modules of this kind: it gives them one of its own."""
    return any(base.__name__ == "FSDPModule" for base in kind.__mro__)


def _geometry(tensor: Tensor) -> tuple[Any, ...]:
    if tensor.layout != torch.strided or hasattr(tensor, "__tensor_flatten__"):
        return (tuple(tensor.shape), tensor.layout)
    return (_SIZE(tensor), _STRIDE(tensor), _ADDRESS(tensor))


def _has_values(tensor: Tensor) -> bool:
    return tensor.device.type != "meta" and not nn.parameter.is_lazy(tensor)


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


def _bit_equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same; one with NaN is taken for another, which costs a copy."""
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def _equal(a: Any, b: Any) -> bool:
    """Of what TorchScript gives out anew at every look; tensors count by identity."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(map(_equal, a.values(), b.values()))
    return bool(type(a) is type(b) and a == b)


def _clear(container: dict[Any, Any] | set[Any]) -> None:
    kind: Any = next(kind for kind in (OrderedDict, dict, set) if isinstance(container, kind))
    kind.clear(container)


def _fill(mapping: dict[Any, Any], keys: Iterable[Any], values: Iterable[Any]) -> None:
    """As `update`, past what a subclass does when it is filled."""
    put = OrderedDict.__setitem__ if isinstance(mapping, OrderedDict) else dict.__setitem__
    for key, value in zip(keys, values, strict=True):
        put(mapping, key, value)  # type: ignore[arg-type]
