"""Tables: rows of named columns, from `.csv` and `.jsonl` files and from lists of mappings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cka_plugin.data.arrays import ready
from cka_plugin.data.batches import Ints
from cka_plugin.data.fingerprints import fingerprint, fingerprint_raw
from cka_plugin.data.folders import open_image
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.labels import LABEL_KEYS, label_numbers

IMAGE_KEYS = ("image", "img", "images", "file_name", "file", "path", "filename")
TEXT_KEYS = ("text", "sentence", "caption", "content", "document", "texts")
AUDIO_KEYS = ("audio", "speech")
_NAMED = {"image": IMAGE_KEYS, "text": TEXT_KEYS, "audio": AUDIO_KEYS}


def of_records(records: Sequence[Mapping[str, Any]], what: str, base: Path | None) -> Indexed:
    """Rows of a file: columns of text, of images (paths beside the file), a label, an id; or numbers only."""
    if not records:
        raise ValueError(f"{what} holds no examples")
    columns = list(records[0])
    label_key = next((key for key in LABEL_KEYS if key in columns), None)
    labels, names = (None, None) if label_key is None else label_numbers([record[label_key] for record in records])
    ids = [record["id"] for record in records] if "id" in columns else None
    if ids is not None and len(set(ids)) < len(ids):
        raise ValueError(f"{what}: the ids are not unique")
    found = _columns(columns, records[0], what)
    if not found:
        numeric = [c for c in columns if c not in (label_key, "id")]
        if not numeric or not all(isinstance(records[0][c], int | float) for c in numeric):
            raise ValueError(
                f"{what} has columns {', '.join(columns)}: expected a text column ({', '.join(TEXT_KEYS[:3])}), "
                "an image column "
                f"({', '.join(IMAGE_KEYS[:2])}, path), or numbers only"
            )
        rows = np.array([[record[c] for c in numeric] for record in records], dtype=np.float32)
        source = ready(torch.from_numpy(rows), what, labels, names)
        return source if ids is None else Indexed(ids, source._read, (), labels, names, what)
    kinds = tuple(found)

    def read(positions: Ints, on_error: str) -> Read:
        raw: list[Any] = []
        prints, failed = [], []
        for place, position in enumerate(positions):
            parts, marks = [], []
            try:
                for kind in kinds:
                    value = records[position][found[kind]]
                    if kind == "image" and isinstance(value, str):
                        image, mark = open_image((base or Path()) / value)
                        parts.append(image)
                        marks.append(mark)
                    elif kind == "text" and not isinstance(value, str):
                        raise ValueError(f"{what}: {found[kind]!r} of row {position} is {value!r}, not a text")
                    else:
                        parts.append(value)
                        marks.append(fingerprint_raw(value))
            except OSError as error:
                if on_error == "raise":
                    raise OSError(f"{error}; give on_error='skip' to leave such examples out") from error
                failed.append(place)
                continue
            raw.append(parts[0] if len(parts) == 1 else tuple(parts))
            prints.append(marks[0] if len(marks) == 1 else fingerprint(*(mark.to_bytes(8, "little") for mark in marks)))
        return Read(np.array(prints, dtype=np.uint64), None, raw=raw, failed=failed)

    return Indexed(range(len(records)) if ids is None else ids, read, kinds, labels, names, what)


def _columns(columns: Sequence[str], first: Mapping[str, Any], what: str) -> dict[str, str]:
    """Kind of raw example -> the column that holds it."""
    found: dict[str, str] = {}
    for kind, keys in _NAMED.items():
        held = [key for key in keys if key in columns and not isinstance(first[key], int | float)]
        if held:
            found[kind] = held[0]
    if not found:
        texts = [c for c in columns if isinstance(first[c], str) and c not in LABEL_KEYS and c != "id"]
        if len(texts) == 1:
            return {"text": texts[0]}
        if len(texts) > 1:
            raise ValueError(f"{what} has several columns of text ({', '.join(texts)}): leave one, or call it 'text'")
    return found


def read_jsonl(path: Path) -> Indexed:
    """A `.jsonl` file: one object a line."""
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not JSON: {error}") from error
    return of_records(records, str(path), path.parent)


def read_csv(path: Path) -> Indexed:
    """A `.csv` file with a line of column names."""
    import pandas as pd

    table = pd.read_csv(path)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    return of_records(rows, str(path), path.parent)
