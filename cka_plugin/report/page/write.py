"""The file of a page: the template, our own style and script, and the data; nothing is loaded from elsewhere.

The Content-Security-Policy lets only this style and this script run, known by their hashes, and nothing be loaded: the
page works as a file, in an e-mail, behind any server. Data stand in elements that no browser runs, and the script puts
them into the page as text alone. Why no chart library draws it: `tests/benchmarks/results/chart_libraries.md`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from cka_plugin.report.page.contents import CheckContents, Contents
from cka_plugin.report.page.packing import packed
from cka_plugin.storage.atomic import write_atomically
from cka_plugin.wording import for_terminal

# The parts of the script, in the order in which they are put together.
SCRIPTS = (
    "elements",
    "data",
    "colours",
    "table",
    "heatmap",
    "chart",
    "map",
    "sections",
    "gallery",
    "comparison",
    "check",
    "page",
)


def write(contents: Contents, path: str | os.PathLike[str]) -> Path:
    """Write a page, whole or not at all; returns its path.

    Raises:
        OSError: it cannot be written.
        ModuleNotFoundError: jinja2 is not installed.
    """
    text = page(contents)
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def page(contents: Contents) -> str:
    """The page as text."""
    blobs = {f"model-{i}": packed(model) for i, model in enumerate(contents.models)}
    blobs |= {f"pair-{i}-{j}": packed(pair) for (i, j), pair in contents.pairs.items()}
    blobs["pictures"] = packed(contents.pictures)
    index = {
        "names": contents.names,
        "similarity": contents.similarity,
        "scale": list(contents.scale),
        "overview": contents.overview,
        "paired": bool(contents.pairs),
        "families": contents.families,
        "map": contents.map,
    }
    blobs["index"] = packed(index)
    return rendered("comparison.html", {"contents": contents}, blobs)


def write_check(contents: CheckContents, path: str | os.PathLike[str]) -> Path:
    """Write the page on a check, whole or not at all; returns its path.

    Raises:
        OSError: it cannot be written.
    """
    held = {"layers": contents.layers, "errors": contents.errors, "examples": contents.examples}
    blobs = {"check": packed(held), "pictures": packed(contents.pictures)}
    text = rendered("check.html", {"contents": contents}, blobs)
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def rendered(template: str, values: Mapping[str, Any], blobs: Mapping[str, str]) -> str:
    """A template with our style and script, and the data behind it.

    Args:
        template: a file of `assets/`.
        values: of the template; texts in them are escaped.
        blobs: packed data by the ids of their elements.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = for_terminal
    style, script = asset("page.css"), "\n".join(asset(f"{name}.js") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();'
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return environment.get_template(template).render(
        **values, policy=policy, style=_Trusted(style), script=_Trusted(script), blobs=blobs
    )


class _Trusted(str):
    """Text of our own that goes into the page as it is: the style and the script."""

    def __html__(self) -> str:
        return str(self)


@cache
def asset(name: str) -> str:
    """A file of `assets/`."""
    return (files("cka_plugin.report.page") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
