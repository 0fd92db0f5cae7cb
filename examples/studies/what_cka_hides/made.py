"""Three ways of CKA to mislead, on made activations: outliers, many features, the search over layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from given import Part, compared, spread

import cka_plugin as cka


@dataclass(frozen=True)
class Size:
    """How much is drawn.

    Attributes:
        draws: of each setting.
        distances: of outliers, in standard deviations.
        features: of a layer.
        layers: of a network.
    """

    draws: int
    distances: tuple[int, ...] = (0, 10, 30, 100)
    features: tuple[int, ...] = (64, 1024, 4096)
    layers: tuple[int, ...] = (1, 6, 24)


def outliers(size: Size) -> list[Part]:
    """Two unrelated layers of 64 features; 16 of 1,600 examples lie far out in both, two or one in a minibatch."""
    rows = []
    for distance in size.distances:
        found: list[tuple[float, ...]] = []
        for draw in range(size.draws):
            x, y = np.random.default_rng(draw).normal(size=(2, 1600, 64))
            x[::100, 0] += distance
            y[::100, 0] += distance
            large, small = compared([x], [y], 200, in_order=True), compared([x], [y], 50, in_order=True)
            levels = large.levels(draws=19).layers[0]
            found.append(
                (levels.cka, levels.without_dominant, levels.second, levels.second_chance, small.matrix()[0, 0])
            )
        rows.append((distance, *map(spread, zip(*found, strict=True))))
    head = ["distance", "CKA, n = 200", "without dominant", "mutual_knn", "its chance", "CKA, n = 50"]
    quoted = [large.levels(draws=19).layers[0].sentence, *large.block_structure("a").warnings]
    alone = small.correspondence("a", "b").inconclusive
    told = ["What is said of the last, in minibatches of 200:", *quoted, "And in minibatches of 50, one each:", *alone]
    return [pd.DataFrame(rows, columns=head), *told]


def many_features(size: Size) -> list[Part]:
    """Unrelated layers of ever more features, 256 examples."""
    rows = []
    for p in size.features:
        found = []
        for draw in range(size.draws):
            x, y = np.random.default_rng(draw).normal(size=(2, 256, p))
            comparison = compared([x], [y], 256)
            match, bures = comparison.calibrated(draws=39).matches[0], comparison.matrix(measure="bures")[0, 0]
            chance = comparison.chance(draws=19, measure="bures").level[0, 0]
            found.append((cka.cka(x, y, estimator="biased"), match.cka, match.calibrated, bures, chance))
        rows.append((p, round(p / (256 + p), 2), *map(spread, zip(*found, strict=True))))
    head = ["features", "p/(n + p)", "CKA, biased", "CKA, unbiased", "calibrated", "bures", "its chance"]
    return [pd.DataFrame(rows, columns=head)]


def search(size: Size) -> list[Part]:
    """24 unrelated layers on either side, 160 examples: the best match of each."""
    rows = []
    for layers in size.layers:
        found, shares = [], []
        for draw in range(size.draws):
            a, b = np.random.default_rng(draw).normal(size=(2, layers, 160, 8))
            calibrated = compared(a, b, 16).calibrated(draws=199)
            best = calibrated.chance.similarity.argmax(1)
            alone = calibrated.p[np.arange(layers), best]
            matches = calibrated.matches
            found.append(np.mean([match.cka for match in matches]))
            shares.append((np.mean(alone <= 0.05), np.mean([match.p <= 0.05 for match in matches])))
        naive, corrected = zip(*shares, strict=True)
        rows.append((layers, spread(found), spread(naive), spread(corrected)))
    head = ["layers", "CKA of the best match", "p ≤ 0.05 as if it were the only one", "p ≤ 0.05 of the best of all"]
    told = "\n".join(repr(calibrated).splitlines()[:6])
    return [
        pd.DataFrame(rows, columns=head),
        "The last, as the package prints it, its first layers:",
        f"```text\n{told}\n```",
    ]
