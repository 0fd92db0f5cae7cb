"""A folder of saved representations: what `represent_all` writes, with its manifest, or files put there by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cka_plugin.representation.files import is_saved, naming
from cka_plugin.storage import CHECKSUM, MALFORMED, plain, read_metadata

MANIFEST = "manifest.json"
VERSION = 1  # of the manifest
DONE, FAILED = "done", "failed"


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of a folder; an empty one where there is none.

    Raises:
        ValueError: it is damaged, foreign, or of a newer version.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return {"version": VERSION, "models": {}}
    try:
        held = json.loads(path.read_text("utf-8"))
        if not (isinstance(held, dict) and plain.named(lambda value: isinstance(value, dict))(held["models"])):
            raise ValueError("it holds no models")
        for name, entry in held["models"].items():
            if not (plain.text(entry["file"]) and entry["state"] in (DONE, FAILED) and _bare(entry["file"])):
                raise ValueError(f"its entry of {name!r} has no file in this folder, or another state")
        version = int(held["version"])
    except MALFORMED as error:
        raise ValueError(f"{path} is no manifest of represent_all: {error}; move it away to begin anew") from error
    if version > VERSION:
        raise ValueError(f"{path} has version {version}, this cka_plugin reads up to {VERSION}: upgrade cka-plugin")
    return held


def is_folder_of_saved(path: str | os.PathLike[str]) -> bool:
    """Whether this is a folder of saved representations, and not of a model."""
    folder = Path(path)
    if not folder.is_dir() or (folder / "config.json").exists():  # that of a Hugging Face model
        return False
    if (folder / MANIFEST).exists():
        return True
    return any(_name_in(file) is not None for file in folder.glob("*.safetensors"))


def files_in(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """The saved representations in a folder, with their names: those of its manifest, in its order; else by file name.

    Raises:
        FileNotFoundError: the manifest lists a file that is gone.
        ValueError: there is none, or the manifest is damaged.
    """
    folder = Path(folder)
    if (folder / MANIFEST).exists():
        listed = read_manifest(folder)["models"]
        found = [(name, folder / entry["file"]) for name, entry in listed.items() if entry["state"] == DONE]
        for name, file in found:
            if not file.exists():
                raise FileNotFoundError(f"{file} is gone, which {folder / MANIFEST} has for {name}: represent it again")
    else:
        named = [(_name_in(file), file) for file in sorted(folder.glob("*.safetensors"))]
        found = [(name, file) for name, file in named if name is not None]
    if not found:
        raise ValueError(f"the folder {folder} holds no finished representation")
    return found


def failed_in(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Name -> error of the models of a folder that have failed, as its manifest has them."""
    listed = read_manifest(folder)["models"]
    return {name: str(entry.get("error")) for name, entry in listed.items() if entry["state"] == FAILED}


def accuracies_in(folder: str | os.PathLike[str]) -> dict[str, float | None]:
    """Name -> accuracy of the models of a folder whose files are as its manifest has them."""
    found = {}
    for name, entry in read_manifest(folder)["models"].items():
        file = Path(folder) / entry["file"]
        if "accuracy" in entry and file.is_file() and read_metadata(file).get(CHECKSUM) == entry.get("checksum"):
            found[name] = entry["accuracy"]
    return found


def _name_in(file: Path) -> str | None:
    """The name of the one representation in a file; None where it holds something else."""
    if not is_saved(file):
        return None
    metadata = read_metadata(file)
    with naming(file):
        return str(json.loads(metadata["models"])[0]["name"]) if metadata["kind"] == "representation" else None


def _bare(name: str) -> bool:
    """Whether a name is that of a file in the folder itself."""
    return name == Path(name).name and name not in ("", ".", "..")
