"""The pictures of the page."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import cka_plugin as cka
from cka_plugin import sample


def draw(comparison: cka.Comparison, cnns: list[str], vits: list[str], right: np.ndarray, out: Path) -> None:
    """CKA of the families with themselves and one another, mean over seeds; and the crops that only one tells."""
    plt.switch_backend("Agg")
    panels = {"CNN with itself": (cnns, cnns), "ViT with itself": (vits, vits), "CNN (up), ViT (across)": (cnns, vits)}
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for axis, (title, pairs) in zip(axes, panels.items(), strict=True):
        mean = np.mean([comparison.matrix(*pair) for pair in zip(*pairs, strict=True)], axis=0)
        shown = axis.imshow(mean, vmin=0, vmax=1, cmap="magma", origin="lower")
        axis.set_title(title, fontsize=10)
        axis.set(xticks=range(0, len(mean), 2), yticks=range(0, len(mean), 2))
        axis.set_xlabel("layer: 0 stem or embedding, 10 head", fontsize=8)
    axes[2].plot(mean.argmax(1), range(len(mean)), "o", color="white", mec="black", ms=5)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="CKA, mean over seeds")
    figure.savefig(out / "depth.png", dpi=80, bbox_inches="tight")
    pictures, labels, _ = sample.crop_images()
    figure, axes = plt.subplots(2, 12, figsize=(10, 2.2), layout="constrained")
    for row, order, who in zip(axes, (np.argsort(-right), np.argsort(right)), ("CNN", "ViT"), strict=True):
        row[0].set_ylabel(f"{who} right", fontsize=9)
        for axis, which in zip(row, order, strict=False):
            axis.imshow(pictures[which])
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{sample.CROP_CLASSES[labels[which]][:10]}\n{abs(right[which]):.0%}", fontsize=7)
    figure.savefig(out / "errors.png", dpi=80, bbox_inches="tight")
