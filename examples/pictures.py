"""Every kind of picture, of real models, by one command: what README shows comes from here.

    python examples/pictures.py OUT            all pictures, as PNG, into the folder OUT
    python examples/pictures.py --readme       those that README shows, anew
    python examples/pictures.py --check        whether those that README shows are what the code draws today

The models are those that come with the package, trained on handwritten digits, compared on digits that none was trained
on; a copy whose weights were disturbed is checked against its baseline, and another goes on training. Nothing is
downloaded. `--check` compares what the pictures hold (their texts and numbers, in a JSON file beside each), not their
pixels, which fonts decide.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import cka_plugin as cka
from cka_plugin import sample
from cka_plugin.report.kinds.door import KINDS
from cka_plugin.training.probe import Probe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
IN_README = {"demo-all-pairs": "grid"}  # the name of the file, and the picture
CLOSE = 2e-3  # two machines' figures: less than a reader could see
OF_ONE, OF_TWO = "deep", ("narrow", "vit")


def pictures() -> dict[str, Callable[[], Figure]]:
    """Every picture by the name of its kind, to be drawn when asked for."""
    comparison = cka.compare(sample.models(), data="sample:digits", levels=True)
    models = {"one": (OF_ONE,), "two": OF_TWO, "all": ()}
    drawn: dict[str, Callable[[], Figure]] = {
        kind: lambda kind=kind, of=found.of: comparison.plot(kind, *models[of]) for kind, found in KINDS.items()
    }
    return drawn | {"check": checked, "training": trained}


def checked() -> Figure:
    """A network in one of whose layers the weights were disturbed, against its baseline."""
    network = sample.model("narrow")
    baseline = cka.make_baseline(network, "sample:digits", name="narrow", max_examples=512)
    disturbed = copy.deepcopy(network)
    with torch.no_grad():
        weight = disturbed.get_submodule("layer2.1.conv2").weight
        weight += 2 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return cka.check(disturbed, baseline, "sample:digits", name="narrow, layer2.1.conv2 disturbed").plot()


def trained() -> Figure:
    """A network of untrained weights while it learns."""
    torch.manual_seed(0)
    network = cka.untrained(sample.model("narrow"))
    images, labels, _ = sample.digits("train")
    classes = torch.from_numpy(labels)
    probe = Probe(sample.digits("test")[0][:256])
    probe.start(network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for step in range(1, 121):
        chosen = torch.randint(0, len(images), (64,))
        network.train()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images[chosen]), classes[chosen]).backward()
        optimiser.step()
        if step % 10 == 0:
            probe.measure(network, step)
    return probe.plot(title="narrow, from untrained weights, in minibatches of 64 digits")


def held(figure: Figure) -> dict[str, Any]:
    """What a picture holds: its texts, and the numbers of its heatmaps."""
    figure.draw_without_rendering()
    texts = [figure.get_suptitle()]
    numbers = []
    for axes in figure.axes:
        texts += [axes.get_title(), axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        texts += [label.get_text() for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()]
        numbers += [np.round(np.ma.filled(image.get_array(), np.nan), 4).ravel().tolist() for image in axes.images]
    return {"texts": [text for text in texts if text], "numbers": numbers}


def alike(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two pictures hold the same."""
    if first["texts"] != second["texts"] or list(map(len, first["numbers"])) != list(map(len, second["numbers"])):
        return False
    pairs = zip(first["numbers"], second["numbers"], strict=True)
    return all(np.allclose(a, b, atol=CLOSE, equal_nan=True) for a, b in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("out", nargs="?", type=Path, help="the folder for all pictures; made if it is not there")
    parser.add_argument("--readme", action="store_true", help="draw those of README anew")
    parser.add_argument("--check", action="store_true", help="say whether those of README are what is drawn today")
    given = parser.parse_args()
    if not (given.out or given.readme or given.check):
        parser.error("give a folder, --readme or --check")
    drawn = pictures()
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        for name, draw in drawn.items():
            path = given.out / f"{name}.png"
            draw().savefig(path)
            print(path)
    stale = []
    for file, name in IN_README.items() if given.readme or given.check else ():
        figure, beside = drawn[name](), HERE / f"{file}.json"
        if given.readme:
            figure.savefig(HERE / f"{file}.png", dpi=150)
            beside.write_text(json.dumps(held(figure)) + "\n", encoding="utf-8")
            print(HERE / f"{file}.png")
        elif not alike(held(figure), json.loads(beside.read_text(encoding="utf-8"))):
            stale.append(f"{file}.png")
    if stale:
        print(f"{', '.join(stale)}: not what the code draws today; run python examples/pictures.py --readme")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
