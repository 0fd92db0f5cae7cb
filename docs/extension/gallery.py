"""The gallery: a card for every study and every kind of picture; and the pages of the studies.

A study's page is the `README.md` beside its script in `examples/studies/`, with its pictures, tables and script.
All are made before Sphinx reads the other pages.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from made_pages import MADE, purpose, write_if_other

STUDIES = MADE.parents[1] / "examples" / "studies"


def study_page(folder: Path) -> str:
    """The page of one study: its own, with links that hold in the site, its tables, and its script beneath."""
    text = (folder / "README.md").read_text(encoding="utf-8").rstrip()
    text = re.sub(r"(?<!!)\[([^\]]+)\]\(([^)#]+)(#[^)]*)?\)", lambda found: _link(folder, found), text)
    where = f"../../../../examples/studies/{folder.name}"
    parts = [
        text,
        "## Tables",
        "Made by the script, and kept as it wrote them.",
        f'```{{include}} {where}/tables.md\n:heading-offset: 1\n:start-after: "\\n"\n```',
        f":::{{dropdown}} The script\n```{{literalinclude}} {where}/study.py\n:language: python\n```\n:::",
    ]
    return "\n\n".join(parts) + "\n"


def _link(folder: Path, found: re.Match[str]) -> str:
    """A link of a study's page: to the web and within the page as it is, to another study, else as its words alone."""
    words, target = found[1], found[2]
    if "://" in target:
        return found[0]
    if target == "tables.md":
        return f"[{words}](#tables)"
    other = (folder / target).resolve()
    if other.name == "README.md" and other.parent.parent == STUDIES and (other.parent / "study.py").exists():
        return f"[{words}](../{other.parent.name}/index.md)"
    return words


def studies() -> list[Path]:
    """Folders that hold a study, in the order of their list."""
    listed = (STUDIES / "README.md").read_text(encoding="utf-8")
    return [STUDIES / name for name in re.findall(r"\]\((\w+)/README\.md\)", listed)]


def gallery_page() -> str:
    """Cards: the studies by the question they ask, the kinds of pictures by what they show."""
    from cka_plugin.report import plots
    from cka_plugin.report.kinds.door import KINDS

    parts = ["# Gallery\n", "## Studies\n"]
    parts.append("What the package finds on real networks, each by a script that you can run again and copy from.\n")
    parts.append("::::{grid} 1 2 2 3\n:gutter: 3\n")
    for folder in studies():
        text = (folder / "README.md").read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        (picture, *_) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
        (question,) = re.findall(r"\*\*Questions?\.\*\* (.+?)(?:\n\n|$)", text, flags=re.DOTALL)
        parts.append(_card(title, f"studies/{folder.name}/index", f"studies/{folder.name}/{picture}", question))
    parts.append("::::\n\n## Pictures\n")
    parts.append("Every kind that `comparison.plot` draws; a card leads to its call.\n")
    parts.append("::::{grid} 1 2 3 3\n:gutter: 3\n")
    for kind in KINDS:
        anchor = kind.replace("_", "-")
        parts.append(_card(kind, f"pictures.md#{anchor}", f"pictures/{kind}.png", purpose(plots, kind)))
    parts.append("::::\n\n```{toctree}\n:hidden:\n")
    parts.extend(f"studies/{folder.name}/index" for folder in studies())
    parts.append("```\n")
    return "\n".join(parts)


def _card(title: str, link: str, picture: str, words: str) -> str:
    kind = "url" if "#" in link else "doc"
    sentences = re.split(r"(?<=[.?])\s(?=[A-Z])", " ".join(words.split()))
    first = next((sentence for sentence in sentences if sentence.endswith("?")), sentences[0])
    target = link.replace(".md#", ".html#")
    head = [f":::{{grid-item-card}} {title}", f":link: {target}", f":link-type: {kind}", f":img-top: {picture}"]
    return "\n".join([*head, ":class-card: sd-gallery", "", first, ":::\n"])


def make(app: Any) -> None:
    """Before anything is read, once the pictures are drawn."""
    for folder in studies():
        to = MADE / "studies" / folder.name
        write_if_other(to / "index.md", study_page(folder))
        for picture in (*folder.glob("*.png"), *folder.glob("*.svg")):
            shutil.copy2(picture, to / picture.name)
    write_if_other(MADE / "gallery.md", gallery_page())


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", make, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
