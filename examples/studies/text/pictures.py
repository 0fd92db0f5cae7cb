"""The pictures of the page."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import cka_plugin as cka


def draw_changes(comparison: cka.Comparison, out: Path) -> None:
    """CKA of each changed encoder with what it was, block by block; where blocks are left out, of the best match."""
    plt.switch_backend("Agg")
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for name in comparison.names[1:]:
        matrix = comparison.matrix("as it is", name)
        depths = [layer.depth for layer in comparison.layers(name)]
        style = "--" if "letters" in name else ":" if "without" in name or name == "untrained" else "-"
        axis.plot(depths, matrix.max(0), style, marker="o", ms=3, label=name)
    axis.set(xlabel="relative depth", ylabel="largest CKA with a layer of the encoder", ylim=(0, 1.03))
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(out / "changes.png", dpi=80)


def draw_first_token(seen: dict[str, list[Any]], out: Path) -> None:
    """CKA of the language models with themselves, mean over seeds, and shares of first components, layer by layer."""
    rows = [(model, seen[model]) for model in ("as trained", "100 x planted")]
    figure, axes = plt.subplots(2, 5, figsize=(12, 5), layout="constrained")
    for (model, each), row in zip(rows, axes, strict=True):
        for view, axis in zip(each[0].views, row, strict=False):
            mean = np.mean([one.views[view].matrix(view) for one in each], axis=0)
            shown = axis.imshow(mean, vmin=0, vmax=1, cmap="magma", origin="lower")
            axis.set_title(view, fontsize=9)
            shares = [one.views[view].block_structure(view).first_component_share for one in each]
            row[-1].plot(np.mean(shares, axis=0), "--" if "after" in view else "-", marker="o", ms=3, label=view)
        row[0].set_ylabel(f"first token {model}", fontsize=10)
        row[-1].set_title("share of first component", fontsize=9)
        row[-1].set(ylim=(0, 1.03))
    axes[0, -1].legend(fontsize=7)
    figure.colorbar(shown, ax=axes[:, 3], shrink=0.6)
    figure.savefig(out / "first_token.png", dpi=80)
