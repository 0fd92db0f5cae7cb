"""The commands of `cka-plugin`, one file an idea; here the application they belong to and what they share."""

from __future__ import annotations

import ast
import importlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cka_plugin.version import __version__

FILES = {
    "compare": "compare",
    "demo": "compare",
    "represent": "represent",
    "merge": "represent",
    "zoo": "zoo",
    "show": "show",
    "errors": "errors",
    "layers": "layers",
    "probe": "probe",
    "ablate": "ablate",
    "baseline": "check",
    "check": "check",
    "export": "export",
}  # of the commands, in the order of the help: a command's file is imported when it is run, and with it torch


class Commands(TyperGroup):
    """The commands by name; what each is for is read from its file, which is not imported for that."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return list(FILES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, ready to run; None where there is none."""
        if cmd_name not in FILES:
            return None
        importlib.import_module(f"{__package__}.{FILES[cmd_name]}")
        return typer.main.get_group(app).commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Their list in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _purpose(name)) for name in FILES])


def _purpose(name: str) -> str:
    """The first line of a command's docstring."""
    tree = ast.parse(Path(__file__).with_name(f"{FILES[name]}.py").read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(function) or "").splitlines()[0]


app = typer.Typer(
    cls=Commands,
    name="cka-plugin",
    help="Compare the representations of any networks, layer by layer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"cka-plugin {__version__}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    pass


ModelArgument = Annotated[
    str, typer.Argument(help="a name, a local Hugging Face folder, or python:package.module:function")
]
DataOption = Annotated[
    str, typer.Option("--data", help="folder of images, .txt .csv .jsonl .npz file, sample:crops, digits or photos")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for machines")]


def check_writable(path: Path | None) -> None:
    """Raise, before any work is done, where a result could not be written."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: the folder {path.parent} is read-only")


def folder_for(path: Path) -> None:
    """Make the folder that a result is to be written in.

    Raises:
        OSError: it cannot be made or written in.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"cannot write {path}: the folder {path.parent} cannot be made ({error.strerror})") from error
    check_writable(path)


def print_json(value: Any) -> None:
    """JSON on standard output."""
    print(json.dumps(value, indent=1, allow_nan=False))
