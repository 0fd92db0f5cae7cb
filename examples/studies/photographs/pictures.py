"""What the studies of photographs share in drawing: crops, first components, and classes on which two groups differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from seeds import inside

import cka_plugin as cka
from cka_plugin import sample

Row = tuple[str, Sequence[int], Sequence[str]]  # what to write before it, which test crops, what to write over each


def draw_crops(rows: Sequence[Row], path: Path, columns: int = 12) -> None:
    """Test crops in rows, each with its name before it."""
    pictures, named = sample.crop_images()[0], any(titles for _, _, titles in rows)
    size = (0.75 * columns + 1, (1.1 if named else 0.75) * len(rows))
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False)
    for line, (name, crops, titles) in zip(axes, rows, strict=True):
        for place, (axis, which) in enumerate(zip(line, crops, strict=False)):
            axis.imshow(pictures[which])
            axis.set(xticks=[], yticks=[])
            if titles:
                axis.set_title(titles[place], fontsize=6.5)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    figure.savefig(path, dpi=70, bbox_inches="tight")


def draw_components(comparison: cka.Comparison, names: Sequence[str], path: Path) -> None:
    """Of some networks: CKA, first components, and CKA without them, as figure 3 of the paper."""
    figure, axes = plt.subplots(len(names), 4, figsize=(11, 2.9 * len(names)), squeeze=False)
    for row, name in zip(axes, names, strict=True):
        s = comparison.block_structure(name)
        titles = (f"{name}\nCKA", "squared cosine of\nfirst components", "CKA without the\nfirst component")
        matrices = (s.matrix, s.first_component_cosine, s.matrix_without_first_component)
        for axis, title, matrix in zip(row[[0, 2, 3]], titles, matrices, strict=True):
            axis.imshow(matrix, vmin=0, vmax=1, cmap="magma", origin="lower")
            axis.set_title(title, fontsize=9)
        row[1].plot(s.first_component_share, color="black")
        row[1].fill_between(
            range(len(s.layers)), 0, inside(comparison, name), color="tab:orange", alpha=0.25, step="mid"
        )
        row[1].set(ylim=(0, 1))
        row[1].set_title("variance in the first component\n(shaded: strong block)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def draw_classes(found: Sequence[Any], path: Path) -> None:
    """Of comparisons of groups: the difference in accuracy on each class, red where significant, and a control.

    Dots in grey, the control, are differences between two halves of the first group: all ways to part it.
    """
    figure, axes = plt.subplots(1, len(found), figsize=(5 * len(found), 4.2), squeeze=False)
    for axis, groups in zip(axes.flat, found, strict=True):
        right, order = groups.class_accuracy_a, np.argsort([row.difference for row in groups.classes])
        halves = list(combinations(range(len(right)), len(right) // 2))
        control = np.array([right[list(h)].mean(0) - np.delete(right, h, axis=0).mean(0) for h in halves])
        for place, which in enumerate(order):
            row = groups.classes[which]
            axis.plot(control[:, which], np.full(len(control), place - 0.25), ".", color="silver", ms=3)
            colour = "tab:red" if row.significant else "tab:blue"
            axis.plot([row.low, row.high], [place, place], color=colour)
            axis.plot(row.difference, place, "o", color=colour, ms=4)
        axis.axvline(0, color="black", lw=0.6)
        axis.set(yticks=range(len(order)), yticklabels=[groups.class_names[i] for i in order])
        axis.set_xlabel(f"accuracy of {groups.names[0]} less {groups.names[1]}")
    figure.tight_layout()
    figure.savefig(path, dpi=70)
