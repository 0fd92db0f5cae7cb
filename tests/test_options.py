"""Each option stands once, in `cka_plugin.options`: signatures, docstrings and commands say the same."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from torch import nn

import cka_plugin as cka
from cka_plugin.cli.main import app
from cka_plugin.cli.options import SPELLED
from cka_plugin.data import ReadOptions
from cka_plugin.options import BY_NAME, NAMES, TAKES, Options, default_of, help_of
from cka_plugin.regression.fixture import CkaRegression

CALLS = {name: getattr(cka, name) for name in TAKES if name != "fixture"} | {"fixture": CkaRegression.check}
COMMANDS = {name: name for name in ("compare", "represent", "layers", "probe", "ablate", "check")} | {
    "baseline": "make_baseline",
    "zoo": "represent_all",
}
OF_ITS_OWN = {"zoo": {"workers"}}  # processes, each with one model


def arguments(call: Any) -> dict[str, str]:
    """The entries of a docstring's `Args:`; one entry may be of several arguments."""
    text = inspect.getdoc(call).split("Args:")[1].split("\n\n")[0]
    entries: dict[str, str] = {}
    for entry in re.split(r"\n {4}(?=\w)", text.strip("\n").removeprefix("    ")):
        names, _, said = entry.partition(":")
        for name in names.split(","):
            entries[name.strip()] = " ".join(said.replace("`", "").split())
    return entries


@pytest.mark.parametrize("call", CALLS)
def test_signatures_have_the_options_that_are_declared_with_their_defaults(call: str) -> None:
    parameters = inspect.signature(CALLS[call]).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    written = {name: p.default for name, p in parameters.items() if name in NAMES}
    declared = {name: default_of(name, call) for name in TAKES[call]}
    if open_ended:  # hands on what it does not name
        assert written.items() <= declared.items()
    else:
        assert written == declared


@pytest.mark.parametrize("call", CALLS)
def test_docstrings_name_every_option(call: str) -> None:
    said = arguments(CALLS[call])
    written = [name for name in inspect.signature(CALLS[call]).parameters if name in TAKES[call]]
    left = [name for name in written if name not in said]
    assert not left or "like all options not named here" in said["data"]


def test_the_docstring_of_compare_begins_each_option_with_its_help() -> None:
    said = arguments(cka.compare)
    for name in TAKES["compare"]:
        assert said[name].startswith(help_of(name)), name
    assert arguments(cka.represent)["shard"].startswith(help_of("shard"))


def _command(name: str) -> Any:
    return typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_take_the_options_of_their_call_with_its_defaults_and_the_same_help(command: str) -> None:
    call = COMMANDS[command]
    shown = {parameter.name: parameter for parameter in _command(command).params}
    for name in set(TAKES[call]) - OF_ITS_OWN.get(command, set()):
        assert (SPELLED[name].help if name in SPELLED and SPELLED[name].help else help_of(name)) == shown[name].help
        if name not in SPELLED:  # what is spelled otherwise has its own: nothing written is the default
            assert shown[name].default == default_of(name, call)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_nothing_written_in_a_terminal_is_the_default(name: str) -> None:
    call = next(call for call in COMMANDS.values() if name in TAKES[call])
    command = next(command for command in COMMANDS if COMMANDS[command] == call)
    shown = {parameter.name: parameter for parameter in _command(command).params}[name]
    read = SPELLED[name].read if name in SPELLED else lambda value: value
    written = [] if shown.multiple else shown.default
    assert read(written) == default_of(name, call)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"granularity": "layer"}, "granularity 'layer': expected one of stage, block, module"),
        ({"batch_size": 3}, "batch_size 3: unbiased CKA needs minibatches of at least 4 examples"),
        ({"batch_size": 8.0}, "batch_size 8.0: expected a whole number"),
        ({"passes": 0}, "passes 0: expected 1 or more"),
        ({"pooling": "avg"}, "pooling 'avg': expected one of auto"),
        ({"kernel": None}, "kernel None: expected one of linear, rbf"),
        ({"bandwidth": float("nan")}, "bandwidth nan: expected a positive multiple"),
        ({"device": "gpu"}, "device 'gpu' cannot be used"),
        ({"precision": "fp16"}, "precision 'fp16': expected one of float32"),
        ({"transforms": 3}, "transforms 3: expected a function"),
        ({"on_error": "ignore"}, "on_error 'ignore': expected 'raise' or 'skip'"),
        ({"max_memory": "much"}, "max_memory 'much': expected 'auto'"),
        ({"seed": -1}, "seed -1: expected 0 or more"),
        ({"match": "names"}, "match 'names': expected 'content' or 'ids'"),
        ({"checkpoint": 3}, "checkpoint 3: expected text"),
        ({"model_kwargs": "num_classes=3"}, "model_kwargs 'num_classes=3': expected a mapping"),
    ],
)
def test_an_option_that_cannot_be_used_is_said_before_data_are_read_or_a_model_is_built(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        cka.compare("a model that nothing knows", data="data that do not exist", **given)


def test_options_that_name_a_model_that_is_not_there_are_an_error() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="transforms names 'nett', which is none of the models: net"):
        cka.compare({"net": net}, data=torch.randn(20, 4), transforms={"nett": torch.tensor}, progress=False)


def test_options_given_by_name_are_those_of_their_model() -> None:
    options = Options(checkpoint={"a": "a.pth"}, model_kwargs={"b": {"num_classes": 3}}, transforms=torch.tensor)
    assert (options.of_model("a").checkpoint, options.of_model("b").checkpoint) == ("a.pth", None)
    assert (options.of_model("a").model_kwargs, options.of_model("b").model_kwargs) == (None, {"num_classes": 3})
    assert options.of_model("a").transforms is torch.tensor
    assert Options(model_kwargs={"num_classes": 3}).of_model("a").model_kwargs == {"num_classes": 3}
    assert set(BY_NAME) <= set(NAMES)


def test_reading_takes_the_options_of_its_names_with_their_defaults() -> None:
    names = {each.name for each in dataclasses.fields(ReadOptions)} & set(NAMES)
    assert names
    assert all(getattr(ReadOptions(), name) == getattr(Options(), name) for name in names)
    assert ReadOptions.of(Options(batch_size=8, seed=3)) == ReadOptions(batch_size=8, seed=3)


def test_a_comparison_keeps_to_the_memory_that_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    found = cka.compare({"a": net, "b": net}, data=torch.randn(64, 4), max_memory=0, progress=False)
    assert found._pairs.store.budget == 0


def test_options_that_saved_representations_cannot_follow_are_named(recwarn: pytest.WarningsRecorder) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(40, 4)
    saved = cka.represent({"net": net}, x, batch_size=20, progress=False)
    cka.compare(saved, batch_size=20, bandwidth=0.5, progress=False)
    assert not recwarn
    with pytest.warns(cka.CKAWarning, match="data, kernel, transforms: not used, as all models are saved"):
        cka.compare(saved, data=x, kernel="rbf", transforms=torch.tensor)


def test_weights_and_settings_for_models_that_are_made_elsewhere_are_not_dropped_in_silence() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(20, 4)
    for given in ({"checkpoint": "weights.pth"}, {"model_kwargs": {"num_classes": 3}}):
        with pytest.raises(ValueError, match=f"{next(iter(given))} is for models given by their names in a framework"):
            cka.compare({"net": net}, data=x, progress=False, **given)
        for call in (cka.make_baseline, cka.probe, cka.ablate):
            with pytest.raises(ValueError, match=f"{next(iter(given))} is for models given by their names"):
                call(net, x, labels=torch.arange(20) % 2, progress=False, **given)
    with pytest.warns(cka.CKAWarning, match="pretrained=False changes nothing"):
        cka.compare({"net": net}, data=x, pretrained=False, progress=False)


def test_models_without_pretrained_weights_are_the_same_for_a_seed() -> None:
    pytest.importorskip("timm")
    options = {"data": "sample:digits", "max_examples": 32, "pretrained": False, "progress": False, "layers": ["head"]}
    once, again = (cka.compare("test_vit", seed=3, **options)["test_vit"].logits for _ in range(2))
    assert np.array_equal(once, again)
