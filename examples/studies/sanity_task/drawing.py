"""The pictures of the study."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from other_packages import Found

DRAWN = ["CKA, unbiased, n = 64", "CKA, no PC 1", "mutual_knn", "bures", "CCA, mean ρ²", "SVCCA, mean ρ²"]


def draw(found: dict[str, Found], table: pd.DataFrame, out: Path) -> None:
    """Mean similarity of every two layers with the best of each row marked; and the shares with the paper's."""
    figure, axes = plt.subplots(len(found), len(DRAWN), figsize=(11, 2 * len(found)), squeeze=False)
    for row, (setting, measures) in zip(axes, found.items(), strict=True):
        for axis, name in zip(row, DRAWN, strict=True):
            axis.set(xticks=[], yticks=[])
            if name in measures:
                mean = np.mean([(m + m.T) / 2 for m in measures[name].values()], axis=0)
                axis.imshow(mean, origin="lower", cmap="magma")
                axis.plot(mean.argmax(1), range(len(mean)), "co", markersize=4)
            else:
                axis.axis("off")
        row[0].set_ylabel(setting.replace(", ", "\n"), fontsize=8)
    for axis, name in zip(axes[0], DRAWN, strict=True):
        axis.set_title(name, fontsize=8)
    figure.savefig(out / "matrices.png", dpi=70, bbox_inches="tight")
    figure, axis = plt.subplots(figsize=(7, 5))
    places = np.arange(len(table))[::-1]
    for shift, setting in enumerate(found):
        told = [
            (y, *map(float, cell.split(" ± "))) for y, cell in zip(places, table[setting], strict=True) if cell != "-"
        ]
        y, value, half = np.array(told).T
        axis.errorbar(value, y + 0.2 - 0.2 * shift, xerr=half, fmt="o", markersize=4, label=setting)
    axis.plot(pd.to_numeric(table["paper"], errors="coerce"), places, "kx", label="paper, CIFAR-10")
    axis.set(yticks=places, yticklabels=table["measure"], xlim=(-3, 103), xlabel="% of layers found")
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    figure.savefig(out / "shares.png", dpi=80, bbox_inches="tight")
