"""The models that a project guards: the table `[tool.cka-plugin]` of its `pyproject.toml`.

    [tool.cka-plugin]                       # what holds for all
    data = "tests/images"
    min-cka = 0.99

    [tool.cka-plugin.models.detector]
    model = "python:detector.build:load"    # a function without arguments that returns the module
    baseline = "baselines/detector.safetensors"
    transforms = "python:detector.build:prepare"    # of one raw example, where the model does not say
    thresholds = { "stages.3.*" = 0.95, head = 0.999 }

Paths are relative to the file.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cka_plugin.models.python_function import functions_called
from cka_plugin.options import TAKES
from cka_plugin.regression.limits import Limits
from cka_plugin.wording import listed

DEFAULT = Path("pyproject.toml")
PATHS = ("baseline", "data", "labels", "checkpoint")
FUNCTIONS = ("transforms", "forward")
_NOT_IN_TOML = {"progress"}  # what the command line says
CHECK = {"thresholds", "allow_nan", *TAKES["check"], *(each.name for each in fields(Limits))} - _NOT_IN_TOML
BASELINE = {"float16", "keep_examples", "allow_nan", *TAKES["make_baseline"]} - _NOT_IN_TOML
KNOWN = {"model", "baseline", "data"} | CHECK | BASELINE


@dataclass(frozen=True)
class Guarded:
    """One guarded model.

    Attributes:
        name: in messages and reports.
        model: as for `represent`, or `python:module:function`.
        baseline: its file.
        data: as for `represent`; None where the baseline holds the examples.
        check: further arguments of `check`.
        baseline_options: further arguments of `make_baseline`.
        accept: the command that makes its baseline anew, of what it computes now.
    """

    name: str
    model: str
    baseline: Path
    data: Any = None
    check: dict[str, Any] = field(default_factory=dict)
    baseline_options: dict[str, Any] = field(default_factory=dict)
    accept: str = ""


def read_guarded(path: Path) -> list[Guarded]:
    """The guarded models of a `pyproject.toml`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TOML, guards no models, or has keys that mean nothing.
    """
    table = read_toml(path).get("tool", {}).get("cka-plugin", {})
    models = table.get("models", {})
    if not models:
        raise ValueError(f"{path} guards no models: expected [tool.cka-plugin.models.NAME] with model, baseline, data")
    common = {key: value for key, value in table.items() if key != "models"}
    return [_guarded(path, name, {**common, **own}) for name, own in models.items()]


def guarded_by_name(path: Path, name: str) -> Guarded:
    """One of the guarded models of a `pyproject.toml`.

    Raises:
        FileNotFoundError, ValueError: as `read_guarded`; and where none has this name.
    """
    guarded = {one.name: one for one in read_guarded(path)}
    if name not in guarded:
        raise ValueError(f"{path} guards no {name!r}: it guards {listed(list(guarded))}")
    return guarded[name]


def _guarded(path: Path, name: str, table: Mapping[str, Any]) -> Guarded:
    values = {key.replace("-", "_"): value for key, value in table.items()}
    unknown = sorted(set(values) - KNOWN)
    if unknown:
        raise ValueError(
            f"{path}: {', '.join(unknown)} of model {name} means nothing: known are {', '.join(sorted(KNOWN))}"
        )
    for key in ("model", "baseline"):
        if not isinstance(values.get(key), str):
            raise ValueError(f'{path}: model {name} needs {key} = "..."')
    for key in PATHS:
        if isinstance(values.get(key), str) and not values[key].startswith("sample:"):
            values[key] = str(path.parent / values[key])
    for key in FUNCTIONS:
        if key in values:
            values[key] = functions_called(values[key], f"{path}: {key} of model {name}:")
    if isinstance(values.get("thresholds"), str):
        values["thresholds"] = read_thresholds(path.parent / values["thresholds"])
    check = {key: values[key] for key in CHECK if key in values}
    if "thresholds" in check:
        check["min_cka"] = with_default(check.pop("thresholds"), check.get("min_cka"))
    options = {key: values[key] for key in BASELINE if key in values}
    model = values["model"]
    model = str(path.parent / model) if (path.parent / model).exists() else model
    accept = shlex.join(["cka-plugin", "baseline", name, *([] if path == DEFAULT else ["--config", str(path)])])
    return Guarded(name, model, Path(values["baseline"]), values.get("data"), check, options, accept)


def read_thresholds(path: Path) -> dict[str, float]:
    """A table of thresholds from a TOML file: `"stages.3.*" = 0.95` lines, at its top or under `[thresholds]`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TOML, or holds something that is no number.
    """
    table = read_toml(path)
    table = table.get("thresholds", table)
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f'{path}: threshold {key} = {value!r}: expected a number; quote names with dots: "stages.3" = 0.95'
            )
    return {str(key): float(value) for key, value in table.items()}


def with_default(table: Mapping[str, float], default: float | None) -> dict[str, float]:
    """A table of thresholds whose other layers have `default`, where the table does not say itself."""
    return dict(table) if default is None else {"default": default, **table}


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TOML; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
