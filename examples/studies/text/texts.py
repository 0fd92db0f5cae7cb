"""English sentences from the docstrings of numpy, scipy, pandas and scikit-learn, all under the 3-clause BSD licence.

`python examples/studies/text/texts.py` writes `sentences.txt`, a sentence a line: those that the study compares on.
What language models are trained on (`prose`) is all other paragraphs of the versions installed.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("numpy", "scipy", "pandas", "sklearn")
SENTENCES = Path(__file__).with_name("sentences.txt")
N = 640
SENTENCE = re.compile(r"(?<=[a-z)][.?!]) (?=[A-Z])")
PLAIN = re.compile(r"[A-Z][A-Za-z ,;:()'-]*[.?!]")


def paragraphs(package: str) -> Iterator[str]:
    """The prose of a package's docstrings: unindented paragraphs that are no list, table or example."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "tests" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                for block in (ast.get_docstring(node) or "").split("\n\n"):
                    if re.match(r"[A-Z]", block) and not re.search(r"\n[ \t]|---|===|>>>|::|\|", block):
                        yield " ".join(block.split())


def prose() -> list[str]:
    """Each paragraph once, in an order that looks random and is the same everywhere."""
    found = sorted({text for package in PACKAGES for text in paragraphs(package) if len(text.split()) >= 6})
    random.Random(0).shuffle(found)
    return found


def sentences() -> list[str]:
    """The sentences of the study."""
    return SENTENCES.read_text(encoding="utf-8").splitlines()


def main() -> None:
    chosen = [s for text in prose() for s in SENTENCE.split(text) if PLAIN.fullmatch(s) and 6 <= len(s.split()) <= 40]
    SENTENCES.write_text("\n".join(dict.fromkeys(chosen[: 2 * N])) + "\n", encoding="utf-8")
    kept = sentences()[:N]
    SENTENCES.write_text("\n".join(kept) + "\n", encoding="utf-8")
    print(f"{len(kept)} sentences of {min(map(len, kept))} to {max(map(len, kept))} characters")


if __name__ == "__main__":
    main()
