"""The figures by which trained networks were labelled: `python -m tests.calibration.trained.figures FOLDER [NAME ...]`.

FOLDER holds what `python examples/studies/photographs/train.py FOLDER` leaves. Each network is run over the first 512
test examples in minibatches of 64; its representations stay in FOLDER/reps, its figure goes beside the labels. No
verdict is computed here: `labels.json` was written from these figures alone.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cka_plugin as cka
from cka_plugin.analysis.components.first_component import first_component

HERE = Path(__file__).parent
STUDY = HERE.parents[2] / "examples" / "studies" / "photographs"
EXAMPLES, BATCH = 512, 64


def represented(folder: Path, settings: Any, granularity: str) -> cka.Representation:
    """The representation of a trained network, made unless it is there."""
    from train import examples, load

    path = folder / "reps" / f"{settings.name}-{granularity}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        cka.represent(
            load(folder, settings),
            examples(settings, "test", EXAMPLES),
            granularity=granularity,
            name=settings.name,
            batch_size=BATCH,
            progress=False,
        ).save(path)
    found = cka.load(path)
    assert isinstance(found, cka.Representation)
    return found


def draw(folder: Path, settings: Any) -> None:
    """CKA, CKA without the first component, squared cosines and shares; block outputs above, every module below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    figure, axes = plt.subplots(2, 4, figsize=(10, 5.2))
    for row, granularity in zip(axes, ("block", "module"), strict=True):
        made = represented(folder, settings, granularity)
        known = first_component(made)
        panels = [("CKA", cka.Comparison([made]).matrix(made.name)), ("without PC1", known.matrix_without)]
        for axis, (title, values) in zip(row, [*panels, ("PC1 cos²", known.cosine)], strict=False):
            axis.imshow(np.asarray(values), vmin=0, vmax=1, cmap="magma", origin="lower", interpolation="nearest")
            axis.set_title(f"{granularity}: {title}", fontsize=9)
        row[3].plot(known.share)
        row[3].set_ylim(0, 1)
        row[3].set_title("share of PC1", fontsize=9)
    accuracy = json.loads((folder / f"{settings.name}.json").read_text(encoding="utf-8"))["test"]
    figure.suptitle(f"{settings.name}, test accuracy {accuracy:.2f}", fontsize=10)
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    plt.close(figure)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(48).save(HERE / "figures" / f"{settings.name}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    sys.path.insert(0, str(STUDY))
    from train import STUDY as SETTINGS

    torch.set_num_threads(1)
    for settings in SETTINGS:
        there = (HERE / "figures" / f"{settings.name}.png").exists()
        chosen = settings.name in given.names if given.names else not there
        if chosen and (given.folder / f"{settings.name}.json").exists():
            draw(given.folder, settings)
            print(settings.name, flush=True)


if __name__ == "__main__":
    main()
