"""The demo: trained networks that come with the package, compared on examples that none was trained on.

Models and data ship with the package; everything printed and drawn is computed then and there.
"""

from __future__ import annotations

import json
import shlex
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cka_plugin import sample
from cka_plugin.calls import compare
from cka_plugin.cli import demo_crops, demo_digits
from cka_plugin.comparison import Comparison


@dataclass(frozen=True)
class Story:
    """One sample of the demo.

    Attributes:
        models: by the names they are shown under, their names in the sample.
        data: what they are compared on.
        pair: the two whose errors the JSON holds.
        tell: prints what is found.
    """

    models: dict[str, str]
    data: str
    pair: tuple[str, str]
    tell: Callable[[Comparison], None]


STORIES = {
    "crops": Story(
        {name.removeprefix("crops-"): name for name in sample.CROP_MODELS},
        "sample:crops",
        (demo_crops.SHALLOW, demo_crops.DEEP),
        demo_crops.tell,
    ),
    "digits": Story(
        {name: name for name in sample.MODELS},
        "sample:digits",
        (demo_digits.FIRST_CNN, demo_digits.TRANSFORMER),
        demo_digits.tell,
    ),
}


def run(
    out: Path, which: str = "crops", as_json: bool = False, progress: bool = True, open_page: bool = False
) -> Comparison:
    """Compare the models that come with the package, print what is found, draw every pair, and write the page.

    Args:
        out: folder for the page and the pictures; made if it is not there.
        which: `crops` or `digits`.
        as_json: print the comparison as JSON instead.
        progress: show a progress bar in a terminal.
        open_page: open the page in the browser.

    Returns:
        The comparison.

    Raises:
        ValueError: no such sample.
    """
    if which not in STORIES:
        raise ValueError(f"no sample of the demo is called {which!r}: there are {' and '.join(STORIES)}")
    story = STORIES[which]
    out.mkdir(parents=True, exist_ok=True)
    models = {shown: sample.model(name) for shown, name in story.models.items()}
    comparison = compare(models, data=story.data, levels=True, progress=progress)
    pictures = draw(comparison, out)
    command = f"cka-plugin demo --sample {which} --out {shlex.quote(str(out))}"
    page = comparison.report(out / "report.html", command=command)
    if open_page:
        webbrowser.open(page.resolve().as_uri())
    if as_json:
        result = comparison.to_dict()
        result["block_structure"] = {name: comparison.block_structure(name).to_dict() for name in comparison.names}
        result["errors"] = comparison.errors(*story.pair).to_dict()
        result["similarity_and_errors"] = comparison.similarity_and_errors().to_dict()
        result["page"] = str(page)
        result["pictures"] = [str(path) for path in pictures]
        print(json.dumps(result, indent=1, allow_nan=False))
        return comparison
    story.tell(comparison)
    print(f"Page: {page} has all of it and more")
    print(f"      open it in a browser, or say --open; {len(pictures)} pictures lie beside it")
    return comparison


def draw(comparison: Comparison, out: Path) -> list[Path]:
    """One picture of all pairs, and one of each pair."""
    names = comparison.names
    paths = [out / "all-pairs.png"]
    comparison.plot().savefig(paths[0])
    for i, a in enumerate(names):
        for b in names[i:]:
            paths.append(out / f"{a}-{b}.png")
            comparison.plot(a, b).savefig(paths[-1])
    return paths
