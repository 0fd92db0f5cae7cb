"""Where a Hugging Face model came from: the folder or hub name that it was loaded from, and which files lie there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from cka_plugin.adapters.modules import unwrap

Source: TypeAlias = "tuple[str, dict[str, Any]]"


def source_of(model: nn.Module) -> Source | None:
    """The folder or hub name that `model` was loaded from, and what its `from_pretrained` calls take besides."""
    inner, _ = unwrap(model)
    for module in (model, inner):
        name = getattr(module, "_cka_source", None)
        if name:
            name = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else str(name)
            return name, dict(getattr(module, "_cka_source_kwargs", None) or {})
    folder = getattr(getattr(inner, "config", None), "_name_or_path", "")
    return (folder, {}) if folder and Path(folder).is_dir() else None


def has_file(source: Source | None, names: Sequence[str]) -> bool:
    """Whether the folder or hub repository holds one of these files."""
    if source is None:
        return False
    name, kwargs = source
    if Path(name).is_dir():
        return any((Path(name) / file).is_file() for file in names)
    from transformers.utils import cached_file

    where = {key: value for key, value in kwargs.items() if key != "trust_remote_code"}
    return any(
        cached_file(name, file, _raise_exceptions_for_missing_entries=False, **where) is not None for file in names
    )


__all__ = ["Source", "has_file", "source_of"]
