"""The options of the commands: those of the calls of the same name, as they are written in a terminal.

Their names, defaults and help are those of `cka_plugin.options`; here stands only what differs in a terminal.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from cka_plugin.cli.app import app
from cka_plugin.options import TAKES, Options, default_of, help_of


@dataclass(frozen=True)
class Spelling:
    """How an option is written in a terminal.

    Attributes:
        type: what typer reads; None for that of the option itself.
        flags: without, `--its-name`.
        read: from what was written to the option's value.
        help: in place of the option's own.
    """

    type: Any = None
    flags: tuple[str, ...] = ()
    read: Callable[[Any], Any] = lambda value: value
    help: str | None = None


def parse_shard(text: str) -> tuple[int, int]:
    """`I/N` as numbers.

    Example:
        >>> parse_shard("0/4")
        (0, 4)
    """
    first, slash, second = text.partition("/")
    if not (slash and first.strip().isdigit() and second.strip().isdigit()):
        raise ValueError(f"shard {text!r}: expected I/N, such as 0/4 for the first of four")
    return int(first), int(second)


def parse_keywords(texts: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` (values as in Python, else text) or JSON objects as one mapping.

    Example:
        >>> parse_keywords(["num_classes=10", "img_size=[64, 64]", "act_layer=gelu", '{"in_chans": 1}'])
        {'num_classes': 10, 'img_size': [64, 64], 'act_layer': 'gelu', 'in_chans': 1}
    """
    found: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                found |= json.loads(text)
            except ValueError as error:
                raise ValueError(f"--model-kwargs {text!r} is no JSON: {error}") from error
            continue
        key, equals, value = text.partition("=")
        if not (equals and key.strip().isidentifier()):
            raise ValueError(f"--model-kwargs {text!r}: expected KEY=VALUE, such as num_classes=10, or a JSON object")
        try:
            found[key.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key.strip()] = value
    return found


def parse_by_name(texts: list[str]) -> Any:
    """`VALUE` for all models, or `NAME=VALUE` for each.

    Example:
        >>> parse_by_name(["a.pth"]), parse_by_name(["small=a.pth", "large=b.pth"])
        ('a.pth', {'small': 'a.pth', 'large': 'b.pth'})
    """
    if len(texts) == 1 and ("=" not in texts[0] or Path(texts[0]).exists()):
        return texts[0]
    named = [text.partition("=") for text in texts]
    if not all(equals for _, equals, _ in named):
        raise ValueError(f"{' and '.join(texts)}: expected one for all models, or NAME=FILE for each")
    return {name: value for name, _, value in named}


def parse_list(texts: list[str]) -> list[str]:
    """What is separated by commas, or given one by one.

    Example:
        >>> parse_list(["stages.0.*,head", "stem"])
        ['stages.0.*', 'head', 'stem']
    """
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _member(text: str) -> str | int:
    """A place, where it is a number, or a name."""
    return int(text) if text.isdecimal() else text


def _negated(value: bool) -> bool:
    return not value


def _functions(what: str) -> Callable[[list[str]], Any]:
    """`python:MODULE:FUNCTION` for all models, or `NAME=python:MODULE:FUNCTION` for each, as the functions."""

    def read(texts: list[str]) -> Any:
        from cka_plugin.models.python_function import functions_called  # loads torch, which the help has no need of

        return functions_called(parse_by_name(texts), what)

    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Nothing written is None."""
    return lambda value: read(value) if value else None


SPELLED = {
    "labels": Spelling(str | None, help="classes of the examples: a .txt, .csv or .npy file"),
    "pretrained": Spelling(bool, ("--untrained",), _negated, "bare architectures, without pretrained weights"),
    "progress": Spelling(bool, ("--quiet", "-q"), _negated, "no progress bar"),
    "workers": Spelling(str, (), lambda text: int(text) if text.isdecimal() else text),
    "max_memory": Spelling(str),
    "levels": Spelling(
        bool, ("--levels",), help="hold similarity against an untrained copy of each model (run too), inputs and labels"
    ),
    "checkpoint_dir": Spelling(Path | None),
    "shard": Spelling(
        str | None, (), _or_none(parse_shard), "I/N: every N-th minibatch from the I-th (counted from 0)"
    ),
    "checkpoint": Spelling(
        list[str], (), _or_none(parse_by_name), "a local .safetensors or .pth file of weights; NAME=FILE for each model"
    ),
    "transforms": Spelling(
        list[str],
        (),
        _or_none(_functions("transforms")),
        "python:package.module:function of one raw example that makes its tensor; NAME=python:... for each model",
    ),
    "forward": Spelling(
        list[str],
        (),
        _or_none(_functions("forward")),
        "python:package.module:function of model and minibatch that runs the model; NAME=python:... for each model",
    ),
    "inputs": Spelling(list[str], (), _or_none(lambda texts: [_member(text) for text in parse_list(texts)])),
    "label_key": Spelling(str | None, (), _or_none(_member)),
    "layers": Spelling(list[str], (), _or_none(parse_list)),
    "part": Spelling(list[str], (), _or_none(parse_by_name)),
    "model_kwargs": Spelling(
        list[str],
        (),
        _or_none(parse_keywords),
        "KEY=VALUE or JSON, for the framework's own builder of the model, such as num_classes=10",
    ),
}

NUM_CLASSES = inspect.Parameter(
    "num_classes",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[int | None, typer.Option(help="classes of the head: short for --model-kwargs num_classes=N")],
)


def command(call: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command: beside its own parameters it takes the options of a call, as `**options`."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters.values()
        left = {p.name for p in own}  # `zoo` has workers that are another thing
        chosen = [name for name in TAKES[call] if name not in left]
        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD]
        parameters += [_parameter(name, call) for name in chosen]
        parameters += [NUM_CLASSES] if "model_kwargs" in chosen else []

        def run(**given: Any) -> None:
            options = {name: SPELLED.get(name, Spelling()).read(given.pop(name)) for name in chosen}
            if (classes := given.pop("num_classes", None)) is not None:
                options["model_kwargs"] = {**(options["model_kwargs"] or {}), "num_classes": classes}
            function(**given, **options)

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command()(run)
        return function

    return register


def _parameter(name: str, call: str) -> inspect.Parameter:
    spelled = SPELLED.get(name, Spelling())
    kind = spelled.type or get_type_hints(Options)[name]
    default = default_of(name, call)
    if kind is bool and spelled.read is _negated:
        default = False
    elif kind == list[str]:
        default = []
    described = typer.Option(*spelled.flags, help=spelled.help or help_of(name))
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, described]
    )
