"""What the similarity of two models is held against, as the page has it: lines along depth, and their table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cka_plugin.report.page.tables import table

_LEVELS = [
    ("layer", "layer of {a}", "text"),
    ("match", "best match in {b}", "text"),
    ("cka", "CKA", "number"),
    ("low", "low", "number"),
    ("high", "high", "number"),
    ("chance", "chance", "number", "what the best of as many unrelated layers reaches in one draw of 20"),
    ("calibrated", "above chance", "number", "(CKA - chance)/(1 - chance)"),
    ("p", "p", "p", "of the best match against chance"),
    ("untrained", "untrained", "number", "best match of the layer between untrained copies, one of each model"),
    ("above_untrained_low", "above it, low", "number", "lower end of the interval of CKA minus the untrained level"),
    ("above_untrained_high", "above it, high", "number"),
    ("input", "inputs", "number", "CKA of the layer of {a} with the inputs as they are in the data"),
    ("labels", "labels", "number", "CKA of the layer of {a} with the classes"),
    ("along_data", "along both", "number", "the part of CKA along inputs and labels"),
    ("first_component_share", "first component", "percent", "its share of the variance of the layer of {a}"),
    ("dimension", "dimension", "number", "unbiased effective dimension of the layer of {a}"),
    ("without_dominant", "without few", "number", "CKA without the examples that dominate first components"),
    ("second", "second measure", "number"),
    ("second_low", "its low", "number"),
    ("second_high", "its high", "number"),
    ("second_chance", "its chance", "number", "the largest of 19 draws"),
]
# Columns that are lines of the picture, and what these are called
_LINES = {
    "chance": "chance",
    "untrained": "untrained copies",
    "along_data": "along inputs and labels",
    "without_dominant": "without the examples that dominate",
    "second": "second measure",
}


def levels_of(found: Any, shown: tuple[dict[str, str], dict[str, str]]) -> dict[str, Any]:
    """What the page holds of `Levels`.

    Args:
        found: it.
        shown: what the layers of either model are called, by their common names.
    """
    rows = [
        replace(row, layer=shown[0][row.layer], match=None if row.match is None else shown[1][row.match])
        for row in found.layers
    ]
    columns = {name: [getattr(row, name) for row in found.layers] for name in ("cka", "low", "high", *_LINES)}
    lines = {
        label if name != "second" else found.measure: columns[name]
        for name, label in _LINES.items()
        if any(value == value for value in columns[name])  # a column without any number is missing
    }
    return {
        "text": [found.sentence, *found.notes],
        "missing": [f"{name}: {reason}" for name, reason in found.missing.items()],
        "cka": columns["cka"],
        "low": columns["low"],
        "high": columns["high"],
        "lines": [{"name": name, "values": values} for name, values in lines.items()],
        "measure": found.measure,
        "table": table("levels of similarity", rows, _LEVELS, found.names),
        "sentences": [row.sentence for row in found.layers],
    }
