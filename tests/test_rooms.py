"""The house: which room may import which, read from the imports themselves, lazy and typing ones too."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

# From the top floor down: a file imports only from its own room and from floors below its own. Rooms of one floor do
# not know each other. A room is a folder or a file; the longest name that fits decides.
FLOORS: list[list[str]] = [
    ["__main__"],
    ["cli"],
    ["pytest_plugin", "training"],
    ["regression"],
    ["calls", "compare_files", "distributed"],
    ["comparison"],
    ["report", "export"],
    ["experiments", "zoo"],
    ["engine"],
    ["models"],
    ["analysis"],
    ["analysis.families"],
    ["analysis.errors", "analysis.blocks", "analysis.examples"],
    ["analysis.levels"],
    ["analysis.components", "analysis.measures"],
    ["analysis.statistics", "analysis.subsets", "analysis.difference", "analysis.layer_pairs"],
    ["analysis.grams"],
    ["representation", "workers"],
    ["data"],
    ["capture"],
    ["options"],
    ["adapters.onnx"],
    ["adapters"],
    ["adapters.registry"],
    ["adapters.generic"],
    ["adapters.timm", "adapters.transformers", "adapters.torchvision"],
    ["adapters.known", "adapters.layout", "adapters.pictures", "adapters.weights", "adapters.hub", "adapters.order"],
    ["adapters.base"],
    ["adapters.calling", "adapters.modules", "adapters.outputs", "adapters.steps"],
    ["adapters.naming"],
    ["adapters.layer"],
    ["lending"],
    ["core"],
    ["storage"],
    ["sample"],
    ["notebook"],
    ["tables"],
    ["executors"],
    ["warnings"],
    ["wording", "version"],
]
PUBLIC = ("", "regression")  # whose `__init__` lists names, imported when first used


def modules() -> dict[str, Path]:
    """Every module of the package by its name within it: `core.kernels`, and `` for the package itself."""
    found = {}
    for folder, prefix in ((ROOT / "cka_plugin", ""), (ROOT / "adapters", "adapters.")):
        for path in folder.rglob("*.py"):
            name = prefix + ".".join(path.relative_to(folder).with_suffix("").parts)
            found[name.removesuffix("__init__").rstrip(".")] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """What a module imports of the package, wherever in its code."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            given = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide where a thing comes from"
            given = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in given:
            if full == "cka_plugin" or full.startswith("cka_plugin."):
                inner = full.removeprefix("cka_plugin").lstrip(".")
                yield inner if inner in MODULES else inner.rpartition(".")[0]


def floor(name: str) -> tuple[int, str]:
    """The floor and the room of a module.

    Raises:
        AssertionError: it stands in no room.
    """
    fitting = [
        (room, number)
        for number, rooms in enumerate(FLOORS)
        for room in rooms
        if name == room or name.startswith(f"{room}.")
    ]
    assert fitting, f"{name} stands in no room: put it into one of those in tests/test_rooms.py, or add a room there"
    room, number = max(fitting, key=lambda pair: len(pair[0]))
    return number, room


@pytest.mark.parametrize("name", sorted(set(MODULES) - {""}))
def test_arrows_run_downward_only(name: str) -> None:
    number, room = floor(name)
    for other in set(imports(name)):
        if other == "":  # the public names, which commands call as a user would
            assert number <= floor("cli")[0], f"{name} is no command: import what it needs from its own room"
            continue
        below, its_room = floor(other)
        assert its_room == room or below > number, (
            f"{name} (room {room}, floor {number}) imports {other} (room {its_room}, floor {below}): arrows run "
            "downward only. Move the file, or what it needs, to the floor where it belongs"
        )


def test_no_circle_of_files() -> None:
    arrows = {name: {other for other in imports(name) if other not in (name, *PUBLIC)} for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, f"a circle of imports: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, [*path, name])
            done.add(name)

    for name in sorted(MODULES):
        visit(name, [])


def test_every_room_exists() -> None:
    for rooms in FLOORS:
        for room in rooms:
            assert any(name == room or name.startswith(f"{room}.") for name in MODULES), f"{room} is gone: take it out"


def test_every_folder_says_what_it_is_for() -> None:
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{name}: what is the room for?"


def test_every_folder_ships() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {f"cka_plugin.{name}".rstrip(".") for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(declared) == folders, "the packages in pyproject.toml are not the folders that there are"
