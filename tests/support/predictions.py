"""Made predictions of two models, right more often than not."""

from __future__ import annotations

import numpy as np


def random_predictions(rng, n=400, classes=6, sure=(0.8, 0.7)):
    labels = rng.integers(0, classes - 1, n)  # the last class has no example
    labels[0] = classes - 2
    a, b = (np.where(rng.random(n) < p, labels, rng.integers(0, classes, n)) for p in sure)
    return a, b, labels
