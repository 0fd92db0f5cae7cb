"""How the figures of a page came about: options, versions, seed, data, warnings, and how it is made again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from cka_plugin.representation import Representation
from cka_plugin.version import __version__
from cka_plugin.wording import listed

_PER_MODEL = ("model", "preparation", "rows")  # recorded options that are each model's own
_RIGHT = "figures are right to 3 decimals, and to 0.0001 in the files that the tables save"
_INTERVALS = (
    "95%, leaving out one minibatch at a time (none with fewer than 8 minibatches): how much a figure depends on these "
    "examples, not on another training run"
)
_PACKAGES = ("torch", "numpy", "timm", "transformers", "torchvision")


def facts_of(models: Sequence[Representation], estimator: str) -> list[tuple[str, str]]:
    """(what, which) of a comparison."""
    first = models[0]
    kernel = first.options.get("kernel", "linear")
    facts = [
        (
            "measure",
            f"minibatch CKA (Nguyen, Raghu & Kornblith 2021), {kernel} kernel, {estimator} estimator; {_RIGHT}",
        ),
        ("intervals", _INTERVALS),
        (
            "data",
            f"{first.n_examples:,} examples in {len(first.minibatches)} minibatches of {first.batch_sizes[0]}; "
            f"fingerprint {fingerprint(first)}" + (f"; {len(first.skipped)} left out" if first.skipped else ""),
        ),
    ]
    options = {key: value for key, value in first.options.items() if key not in _PER_MODEL and value is not None}
    facts.append(("options", ", ".join(f"{key}={_as_given(key, value)!r}" for key, value in options.items())))
    for model in models:
        about = model.options.get("model") or {}
        parts = [f"{len(model.layers)} layers"]
        parts += [str(about[key]) for key in ("framework", "family") if about.get(key)]
        parts += [f"{about['parameters']:,} parameters"] if about.get("parameters") else []
        parts += [str(model.options["preparation"])] if model.options.get("preparation") else []
        facts.append((model.name, ", ".join(parts)))
    facts.append(("versions", versions()))
    return facts


def fingerprint(model: Representation) -> str:
    """16 hexadecimal digits of the content of all examples, whatever their order."""
    return hashlib.blake2b(np.sort(model.fingerprints).tobytes(), digest_size=8).hexdigest()


def versions() -> str:
    """Of this package, Python and what models come from, as they are where the page is written."""
    found = [f"cka_plugin {__version__}", f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) + " (where this page was written)"


def warnings_of(models: Sequence[Representation], said: Sequence[str]) -> list[str]:
    """What a careful reader should know: layers without similarity, examples left out, and what analyses said."""
    found = [f"{model.name}, layer {layer}: {reason}" for model in models for layer, reason in model.problems.items()]
    if models[0].skipped:
        found.append(f"Left out, as they could not be read: {listed([str(one) for one in models[0].skipped])}.")
    return [*found, *dict.fromkeys(said)]


def call_again(names: Sequence[str], options: dict[str, Any]) -> str:
    """The call of Python as far as a file tells it."""
    written = ", ".join(
        f"{key}={_as_given(key, value)!r}"
        for key, value in options.items()
        if key not in _PER_MODEL and value is not None
    )
    return f"cka.compare({', '.join(map(repr, names))}, data=..., {written})"


def _as_given(key: str, value: Any) -> Any:
    """What was given for an option, of which more may be recorded."""
    return value["size"] if key == "sketch" else value
