"""Random numbers of a lent model: its own, the same whenever it meets the same minibatch, and none of the user's."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch


def seed_of(*parts: object) -> int:
    """A seed of 32 bits from anything that has a plain `str`.

    Example:
        >>> seed_of(0, "model", 1) == seed_of(0, "model", 1), seed_of(0, "model", 1) == seed_of(0, "model", 2)
        (True, False)
    """
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


GENERATORS = (torch.Generator, random.Random, np.random.RandomState, np.random.Generator)


class Generator:
    """A generator of random numbers that a model holds, as it is now.

    Example:
        >>> held = random.Random(0)
        >>> generator = Generator(held)
        >>> _ = held.random()
        >>> generator.moved()
        True
        >>> generator.put_back()
        >>> generator.moved()
        False
    """

    def __init__(self, held: Any) -> None:
        self._held = held
        self._state = self._read()

    def anew(self) -> Generator:
        """The same as it is by now."""
        return Generator(self._held)

    def moved(self) -> bool:
        """Whether it is in another state."""
        return not _same(self._state, self._read())

    def seed(self, seed: int) -> None:
        """Start it from `seed`."""
        if isinstance(self._held, torch.Generator):
            self._held.manual_seed(seed)
        elif isinstance(self._held, np.random.Generator):
            bits = self._held.bit_generator
            bits.state = type(bits)(seed).state
        else:
            self._held.seed(seed)

    def put_back(self) -> None:
        """Make it what it was."""
        if isinstance(self._held, torch.Generator):
            self._held.set_state(self._state)
        elif isinstance(self._held, random.Random):
            self._held.setstate(self._state)
        elif isinstance(self._held, np.random.RandomState):
            self._held.set_state(self._state)
        else:
            self._held.bit_generator.state = self._state

    def _read(self) -> Any:
        if isinstance(self._held, torch.Generator | np.random.RandomState):
            return self._held.get_state()
        return self._held.getstate() if isinstance(self._held, random.Random) else self._held.bit_generator.state


class Drawn:
    """Tells whether random numbers have been drawn since this was made, in the end when it was closed."""

    def __init__(self, devices: Iterable[torch.device], held: Iterable[Generator] = ()) -> None:
        self._devices = list(devices)
        self._held = [generator.anew() for generator in held]
        self._before = _states(self._devices)
        self._closed: bool | None = None

    def __bool__(self) -> bool:
        if self._closed is not None:
            return self._closed
        return not _same(self._before, _states(self._devices)) or any(generator.moved() for generator in self._held)

    def close(self) -> None:
        """Look for the last time."""
        self._closed = bool(self)


@contextlib.contextmanager
def random_states_kept(devices: Iterable[torch.device] = ()) -> Iterator[None]:
    """Whatever is drawn within, PyTorch's, NumPy's and Python's own generators go on after it as if nothing had been.

    Args:
        devices: besides the CPU, where PyTorch draws.
    """
    others = [device for device in dict.fromkeys(devices) if device.type not in ("cpu", "meta")]
    before = _states(others)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])
        for device, state in zip(others, before[3:], strict=True):
            _backend(device).set_rng_state(state, device) if device.type != "mps" else torch.mps.set_rng_state(state)


@contextlib.contextmanager
def seeded(seed: int, devices: Iterable[torch.device] = (), held: Iterable[Generator] = ()) -> Iterator[Drawn]:
    """Random numbers start from `seed` within, and go on after it as if nothing had been drawn.

    Args:
        seed: 0 to 2**32 - 1.
        devices: besides the CPU, where PyTorch draws.
        held: other generators; these are not put back.

    Example:
        >>> with seeded(3) as drawn:
        ...     first = torch.rand(1), np.random.rand(), random.random()
        >>> with seeded(3):
        ...     again = torch.rand(1), np.random.rand(), random.random()
        >>> bool(drawn), first == again
        (True, True)
    """
    others = [device for device in dict.fromkeys(devices) if device.type not in ("cpu", "meta")]
    with random_states_kept(others):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed devices that are not put back
        chosen = np.random.get_bit_generator()  # type: ignore[attr-defined]  # numpy's stubs lack it
        if isinstance(chosen, np.random.MT19937):  # another has no seed()
            np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        for device in others:
            with _on(device):
                _backend(device).manual_seed(seed)
        for place, generator in enumerate(held):
            generator.seed(seed_of(seed, place))
        drawn = Drawn(others, held)
        try:
            yield drawn
        finally:
            drawn.close()


def _states(devices: Iterable[torch.device]) -> list[Any]:
    states = [torch.get_rng_state(), np.random.get_state(), random.getstate()]  # noqa: NPY002
    for device in devices:
        states.append(torch.mps.get_rng_state() if device.type == "mps" else _backend(device).get_rng_state(device))
    return states


def _same(a: Any, b: Any) -> bool:
    """Of states, which are tensors, arrays and plain data in tuples, lists and mappings."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and len(a) < 20:  # not the many numbers of Python's generator
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _backend(device: torch.device) -> Any:
    return torch.get_device_module(device)


def _on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Within it `device` is the current one of its kind; there is one of MPS."""
    return contextlib.nullcontext() if device.type == "mps" else _backend(device).device(device)
