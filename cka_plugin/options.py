"""Every option of the calls, once: its name, default, check and help sentence.

`compare` and `represent` write their signatures out, for editors and `help()`; so do `probe`, `ablate`, `check` and
`make_baseline`, which take some of the options, and the commands, which take what the call of their name takes. All of
them make an `Options` first, so that an option is checked once, before data are read or a model is built.
`tests/test_options.py` holds the signatures, docstrings and commands to what stands here.

A new option is a field of `Options`, a parameter of the calls that take it, and a line in the docstring of `compare`.
"""

# ruff: noqa: RUF009  (`option` is `dataclasses.field`)
from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import torch

from cka_plugin.adapters.base import GRANULARITIES
from cka_plugin.core import ESTIMATORS, KERNELS, LEAST_SIZE, MIN_EXAMPLES, Projection
from cka_plugin.storage.vectors import budget_bytes

POOLINGS = ("auto", "flatten", "mean", "cls", "last", "max", "mean_after_first")
PRECISIONS = ("float32", "bfloat16", "float16")

Check = Callable[[str, Any], None]


def one_of(*known: str) -> Check:
    """The value is one of these."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} {value!r}: expected one of {', '.join(known)}")

    return check


def either(first: str, second: str) -> Check:
    """The value is one of two."""

    def check(name: str, value: Any) -> None:
        if value not in (first, second):
            raise ValueError(f"{name} {value!r}: expected {first!r} or {second!r}")

    return check


def whole(least: int, why: str = "", none: bool = False) -> Check:
    """The value is a whole number, at least this; or None where that means something."""

    def check(name: str, value: Any) -> None:
        if value is None and none:
            return
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} {value!r}: expected a whole number") from None
        if number < least:
            raise ValueError(f"{name} {value}: {why or f'expected {least} or more'}")

    return check


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} {value!r}: expected a positive multiple of the median distance, such as 0.5")


def _a_device(name: str, value: Any) -> None:
    if value == "auto":
        return
    try:
        torch.device(value)
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name} {value!r} cannot be used: {reason}") from error


def _a_size(name: str, value: Any) -> None:
    budget_bytes(value)


def _workers(name: str, value: Any) -> None:
    if value == "auto":
        return
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} {value!r}: expected 'auto' or a whole number") from None
    if number < 0 or isinstance(value, bool):
        raise ValueError(f"{name} {value}: expected 'auto', or 0 or more")


def _a_shard(name: str, value: Any) -> None:
    if value is not None and not 0 <= value[0] < value[1]:
        raise ValueError(f"shard {value[0]}/{value[1]}: expected I/N with 0 <= I < N")


def _a_path(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} {value!r}: expected a path")


def _a_function(name: str, value: Any) -> None:
    for one in value.values() if isinstance(value, Mapping) else [value]:
        if one is not None and not callable(one):
            raise TypeError(
                f"{name} {one!r}: expected a function, a processor, or a mapping of such by the models' names"
            )


def _text_or_by_name(name: str, value: Any) -> None:
    for one in value.values() if isinstance(value, Mapping) else [value]:
        if one is not None and not isinstance(one, str | os.PathLike):
            raise TypeError(f"{name} {one!r}: expected text, or a mapping of such by the models' names")


def _a_mapping(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} {value!r}: expected a mapping of keyword arguments, or a mapping of such by name")


def _patterns(name: str, value: Any) -> None:
    for one in value.values() if isinstance(value, Mapping) else [value]:
        if one is None:
            continue
        if isinstance(one, str) or not isinstance(one, Iterable) or not all(isinstance(p, str) for p in one):
            raise TypeError(
                f"{name} {one!r}: expected a list of names, paths or patterns, such as ['stages.*', 'head']"
            )
        if not list(one):
            raise ValueError(f"{name} is empty: leave it out to compare all layers")


def _a_member(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise TypeError(f"{name} {value!r}: expected the name or place of a member of an example, such as 'label' or 1")


def _members(name: str, value: Any) -> None:
    keys = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
    if len(keys) == 0:
        raise ValueError(f"{name} {value!r}: expected at least one member of the examples")
    for key in keys:
        _a_member(name, key)


def _anything(name: str, value: Any) -> None:
    pass


def option(default: Any, help: str, check: Check, *, recorded: bool = False, by_name: bool = False) -> Any:
    """One option.

    Args:
        default: its value where nothing is given.
        help: one sentence, that of the command line and the beginning of what the docstring of `compare` says.
        check: raises a ValueError or TypeError for a value that cannot be used.
        recorded: representations remember it, and comparing or going on with another value can be told.
        by_name: a mapping from model names to values is taken too.
    """
    return field(default=default, metadata={"help": help, "check": check, "recorded": recorded, "by_name": by_name})


@dataclass(frozen=True)
class Options:
    """All options of one call, checked.

    Raises:
        ValueError, TypeError: an option that cannot be used; the message quotes it and says what is expected.

    Example:
        >>> Options(batch_size=32).batch_size, Options().granularity
        (32, 'block')
        >>> Options(kernel="linnear")
        Traceback (most recent call last):
        ...
        ValueError: kernel 'linnear': expected one of linear, rbf
    """

    labels: Any = option(
        None, "classes of the examples, where the data have none: in order, by example id, or a file", _anything
    )
    granularity: str = option(
        "block",
        "stage, block (every residual or transformer block) or module (every leaf module that runs)",
        one_of(*GRANULARITIES),
        recorded=True,
    )
    batch_size: int | None = option(
        None,
        "examples a CKA minibatch: 64, or a loader's own; at least 4",
        whole(MIN_EXAMPLES, f"unbiased CKA needs minibatches of at least {MIN_EXAMPLES} examples", none=True),
        recorded=True,
    )
    max_examples: int | None = option(
        None,
        "use no more than so many examples (a seeded random choice, but of a loader the first)",
        whole(MIN_EXAMPLES, f"CKA needs at least {MIN_EXAMPLES} examples", none=True),
        recorded=True,
    )
    passes: int = option(
        1,
        "how often to go over the data, in a fresh order each time; more passes, better estimates",
        whole(1),
        recorded=True,
    )
    pooling: str = option(
        "auto",
        "auto (texts and sound are averaged over their mask, all else is flattened), flatten, mean, cls, last, max or "
        "mean_after_first (the mean without the first token)",
        one_of(*POOLINGS),
        recorded=True,
    )
    kernel: str = option("linear", "linear or rbf", one_of(*KERNELS), recorded=True)
    bandwidth: float = option(
        0.5, "for rbf: sigma as a multiple of the median distance of a minibatch", _positive, recorded=True
    )
    estimator: str = option("unbiased", "unbiased or biased", one_of(*ESTIMATORS), recorded=True)
    device: str = option("auto", "auto (cuda, mps, cpu) or a torch device", _a_device)
    precision: str = option(
        "float32",
        "float32 leaves the models as they are; bfloat16 and float16 autocast the forward pass",
        one_of(*PRECISIONS),
        recorded=True,
    )
    pretrained: bool = option(True, "load the weights of models given by name", _anything)
    transforms: Any = option(
        None,
        "a function of one raw example that makes its tensor, a tokenizer or a processor",
        _a_function,
        by_name=True,
    )
    max_length: int | None = option(
        None,
        "tokens at which texts are cut; by default as many as model and tokenizer take",
        whole(1, none=True),
        recorded=True,
    )
    forward: Any = option(
        None,
        "a function of model and minibatch that runs the model, where its own forward takes something else",
        _a_function,
        by_name=True,
    )
    inputs: Any = option(
        None,
        "the names or places of the members of an example that go into the model; its forward tells them otherwise",
        _members,
    )
    label_key: str | int | None = option(
        None, "the name or place of the member of an example that is its label; usual names are known", _a_member
    )
    repeats: str = option("warn", "warn of examples that come more than once, or drop them", either("warn", "drop"))
    on_error: str = option("raise", "raise, or skip to leave out examples that cannot be read", either("raise", "skip"))
    workers: int | str = option(
        "auto",
        "how many threads or processes read and prepare examples: auto (one a core), a number, or 0 for none",
        _workers,
    )
    max_memory: int | float | str = option(
        "auto", "for the vectors: auto (half of what is free), bytes, or a size such as 4GiB", _a_size
    )
    checkpoint_dir: str | os.PathLike[str] | None = option(
        None, "a folder that keeps finished minibatches: a run that was killed goes on where it was", _a_path
    )
    sketch: int | None = option(
        None,
        "keep so many numbers of a minibatch (1024) in place of n(n-1)/2 pairs: a random projection, for CKA alone",
        whole(LEAST_SIZE, none=True),
        recorded=True,
    )
    seed: int = option(
        0,
        "of the order of reading, the weights of models without pretrained ones, and random numbers that models draw",
        whole(0),
        recorded=True,
    )
    progress: bool = option(True, "show a progress bar, in a terminal or notebook", _anything)
    shard: tuple[int, int] | None = option(
        None, "(i, n): only every n-th minibatch from the i-th (counted from 0)", _a_shard
    )
    match: str = option(
        "content",
        "content: ids and fingerprints of examples must agree; ids: only their ids",
        either("content", "ids"),
    )
    checkpoint: Mapping[str, str] | str | None = option(
        None, "a local file of weights for models given by name", _text_or_by_name, by_name=True
    )
    model_kwargs: Mapping[str, Any] | None = option(
        None, "passed on to the framework's own builder of models given by name", _a_mapping, by_name=True
    )
    layers: Iterable[str] | Mapping[str, Iterable[str]] | None = option(
        None,
        "compare only these layers: names, paths or patterns such as stages.*",
        _patterns,
        recorded=True,
        by_name=True,
    )
    part: str | Mapping[str, str] | None = option(
        None,
        "compare only the layers of this part of the model, a dotted path such as unet",
        _text_or_by_name,
        recorded=True,
        by_name=True,
    )

    levels: bool = option(
        False, "run an untrained copy of each model beside it, and keep the inputs, for Comparison.levels", _anything
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            each.metadata["check"](each.name, getattr(self, each.name))
        if self.sketch is not None and self.estimator != "unbiased":
            raise ValueError(
                f"sketch {self.sketch}: sketches give the unbiased CKA; leave out estimator={self.estimator!r}"
            )
        if self.sketch is not None and self.levels:
            raise ValueError(f"sketch {self.sketch}: levels need whole Gram matrices; leave out one of the two")

    @property
    def projection(self) -> Projection | None:
        """Which random projection Gram vectors are kept as; the same for all models that the seed is the same for."""
        return None if self.sketch is None else Projection(operator.index(self.sketch), self.seed)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """The options among the arguments of a call, which gives its `locals()`."""
        return cls(**{name: given[name] for name in NAMES if name in given})

    def of_model(self, name: str) -> Options:
        """The options of one model: those given by model names are its own.

        Example:
            >>> Options(checkpoint={"a": "a.pth"}).of_model("a").checkpoint
            'a.pth'
        """
        chosen = {key: value.get(name) for key in BY_NAME if _is_by_name(key, value := getattr(self, key))}
        return replace(self, **chosen)

    def check_names(self, names: Iterable[str]) -> None:
        """Raise a ValueError where an option is given for a model that is not there."""
        known = list(names)
        for key in BY_NAME:
            value = getattr(self, key)
            unknown = [name for name in value if name not in known] if _is_by_name(key, value) else []
            if unknown:
                raise ValueError(f"{key} names {unknown[0]!r}, which is none of the models: {', '.join(known)}")

    def in_vain(self, recorded: Mapping[str, Any]) -> list[str]:
        """What was given for running models, and is not how saved representations were made: none of it is used.

        Args:
            recorded: options of a saved representation.
        """
        used = ("estimator", "match", "max_memory", "progress", "layers", "levels", "workers")
        given = []
        for each in fields(self):
            value = getattr(self, each.name)
            plain = isinstance(value, str | int | float)
            default = value is each.default or (plain and value == each.default)
            held = recorded.get(each.name)
            held = held.get("size") if each.name == "sketch" and held else held
            if not (default or each.name in used or (plain and value == held)):
                given.append(each.name)
        return given

    def recorded(self) -> dict[str, Any]:
        """What a representation remembers of how it was made."""
        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.metadata["recorded"]}
        kept["sketch"] = None if self.projection is None else self.projection.record()
        return kept | ({} if self.layers is None or isinstance(self.layers, Mapping) else {"layers": list(self.layers)})


def _is_by_name(key: str, value: Any) -> bool:
    """Whether an option is given apart for each model, by name."""
    if not isinstance(value, Mapping):
        return False
    return key != "model_kwargs" or (bool(value) and all(isinstance(one, Mapping) for one in value.values()))


_FIELDS = {each.name: each for each in fields(Options)}
NAMES = tuple(_FIELDS)
BY_NAME = tuple(name for name, each in _FIELDS.items() if each.metadata["by_name"])


def check_option(name: str, value: Any) -> None:
    """Raise a ValueError or TypeError unless an option may have this value."""
    _FIELDS[name].metadata["check"](name, value)


def help_of(name: str) -> str:
    """The help sentence of an option."""
    return str(_FIELDS[name].metadata["help"])


# Which call takes which options


_RUN = ("device", "precision", "pretrained", "transforms", "on_error", "workers", "checkpoint", "model_kwargs")
_MODEL = ("granularity", "pooling", "layers", "part")
_MEMBERS = ("forward", "inputs", "label_key")
TAKES: dict[str, tuple[str, ...]] = {
    "compare": tuple(name for name in NAMES if name != "shard"),
    "represent": tuple(name for name in NAMES if name != "match"),
    "represent_all": tuple(name for name in NAMES if name not in ("match", "shard")),
    "layers": ("granularity", "checkpoint", "model_kwargs", "layers", "part"),
    "probe": ("labels", *_MODEL, *_RUN, *_MEMBERS, "batch_size", "max_examples", "seed", "progress"),
    "ablate": ("labels", "layers", *_RUN, *_MEMBERS, "batch_size", "max_examples", "seed", "progress"),
    "make_baseline": ("labels", *_MODEL, *_RUN, *_MEMBERS, "batch_size", "max_examples", "seed", "progress"),
    "check": ("labels", *_RUN, *_MEMBERS, "match", "max_memory", "progress"),
    "fixture": ("labels", *_MODEL, "batch_size", "max_examples", "device", "precision", "transforms", "match"),
}

# Where a call has another default than the others, and why
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "probe": {"pooling": "mean"},  # a classifier on all of a map's values is slow, and fits them too well
    "make_baseline": {"batch_size": 32, "max_examples": 256},  # 8 minibatches, which an interval needs; a small file
    "fixture": {"batch_size": 32},  # a test gives the examples that it means
    "check": {"precision": None, "progress": False},  # the baseline's precision; checks run where nobody watches
}


def default_of(name: str, call: str) -> Any:
    """The default of an option in a call.

    Example:
        >>> default_of("pooling", "compare"), default_of("pooling", "probe")
        ('auto', 'mean')
    """
    own = OWN_DEFAULTS.get(call, {})
    default = own[name] if name in own else _FIELDS[name].default
    assert default is not MISSING
    return default
