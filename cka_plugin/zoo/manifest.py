"""The manifest of a zoo: what was asked for each model, and what came of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cka_plugin.options import Options
from cka_plugin.representation.folder import DONE, FAILED, MANIFEST, VERSION, read_manifest
from cka_plugin.storage import CHECKSUM, read_metadata, write_atomically
from cka_plugin.zoo.asked import options_asked

Entry = Mapping[str, Any]


class Manifest:
    """The manifest of a folder.

    Its models are in the order in which they were first asked for, whichever was done first.

    Args:
        folder: its own.
        names: of the models asked for now.

    Raises:
        ValueError: it is damaged, or of a newer version.
    """

    def __init__(self, folder: Path, names: Iterable[str] = ()) -> None:
        self.folder = folder
        self.models: dict[str, dict[str, Any]] = read_manifest(folder)["models"]
        self._places = {name: place for place, name in enumerate(dict.fromkeys([*self.models, *names]))}

    def files(self, names: Iterable[str]) -> dict[str, str]:
        """A file name for each model: its own where it has one, else one that no other model has."""
        chosen: dict[str, str] = {}
        taken = {entry["file"].lower(): name for name, entry in self.models.items()}
        for name in names:
            readable = re.sub(r"[^\w.-]+", "_", name).strip(".")[:100] or "model"
            file = f"{readable}.safetensors"
            if name in self.models:
                file = self.models[name]["file"]
            elif taken.get(file.lower(), name) != name:
                unique = hashlib.blake2b(name.encode("utf-8"), digest_size=4).hexdigest()
                file = f"{readable}-{unique}.safetensors"
            chosen[name], taken[file.lower()] = file, name
        return chosen

    def finished(self, name: str) -> dict[str, Any] | None:
        """The entry of a model whose file is there, as it was written; None otherwise."""
        entry = self.models.get(name)
        if entry is None or entry["state"] != DONE or not (self.folder / entry["file"]).is_file():
            return None
        try:
            held = read_metadata(self.folder / entry["file"]).get(CHECKSUM)
        except ValueError:  # truncated, or foreign
            return None
        return entry if held is not None and held == entry.get("checksum") else None

    def keep(self, name: str, entry: Entry) -> None:
        """Write the entry of a model; those that other calls have written meanwhile stay.

        Raises:
            OSError: the disk is full.
        """
        held = {**read_manifest(self.folder)["models"], name: dict(entry)}
        self.models = {
            each: held[each] for each in sorted(held, key=lambda each: self._places.get(each, len(self._places)))
        }
        written = json.dumps({"version": VERSION, "models": self.models}, indent=1)
        write_atomically(self.folder / MANIFEST, lambda file: file.write(written.encode("utf-8")))


def why_again(entry: Entry | None, held: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> str | None:
    """Why a model must be run, as far as it can be told without building it; None where only its weights can tell.

    Args:
        entry: of the model, or None.
        held: the same where its file is as it was written, or None.
        asked: the `options` and `data` asked for now.

    Example:
        >>> before = {"state": "done", "options": {"seed": 0}, "data": {"content": "a"}}
        >>> why_again(before, before, {"options": options_asked(Options(seed=1)), "data": {"content": "a"}})
        'options have changed: seed 0, now 1'
    """
    if entry is None:
        return "new"
    if entry["state"] == FAILED:
        return "failed before"
    if held is None:
        return "its file is missing, or another"
    # An option that there was not yet had its default.
    before, now = {**options_asked(Options()), **entry.get("options", {})}, asked["options"]
    unlike = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if unlike:
        told = (f"{key} {_short(before.get(key))}, now {_short(now.get(key))}" for key in unlike)
        return f"options have changed: {'; '.join(told)}"
    if entry.get("data", {}).get("content") != asked["data"]["content"]:
        return "data have changed"
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
