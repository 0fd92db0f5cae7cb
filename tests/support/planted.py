"""Made networks: activations of layers whose block structure, or want of it, is known.

Each maker takes a generator and sizes and returns a `MadeNetwork`. They are what the thresholds of
`cka_plugin.analysis.blocks.detector` were set on and what the tests hold them to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from cka_plugin.core import gram, pack, u_center

Activations = list[np.ndarray]


@dataclass
class MadeRepresentation:
    """What a `Representation` is to the analyses."""

    name: str
    layers: list[Any]
    vectors: list[np.ndarray]
    diagonals: list[np.ndarray]
    positions: list[np.ndarray]
    passes: list[int]
    example_ids: list[Any]

    @property
    def layer_names(self) -> list[str]:
        return [layer.name for layer in self.layers]


@dataclass
class MadeNetwork:
    """Activations and the truth about them.

    layers: one (examples, width) array a layer.
    runs: (start, stop) of the planted blocks.
    dominant: the examples that carry the planted component, where only some do.
    """

    layers: Activations
    runs: list[tuple[int, int]] = field(default_factory=list)
    dominant: np.ndarray | None = None

    def represent(self, batch_size: int = 64, minibatches: int | None = None, passes: int = 1) -> MadeRepresentation:
        return represent(self.layers, batch_size, minibatches, passes)


def represent(
    layers: Sequence[np.ndarray | Tensor],
    batch_size: int = 64,
    minibatches: int | None = None,
    passes: int = 1,
    seed: int = 0,
) -> MadeRepresentation:
    """Float32 Gram vectors as the package makes them; each layer in one scale, every pass in an order of its own."""
    tensors = [torch.as_tensor(x).float() for x in layers]
    count = len(tensors[0])
    rng = np.random.default_rng(seed)
    vectors, diagonals, positions, of_pass = [], [], [], []
    for number in range(passes):
        order = np.arange(count) if passes == 1 else rng.permutation(count)
        chunks = [order[start : start + batch_size] for start in range(0, count - batch_size + 1, batch_size)]
        for chosen in chunks[:minibatches]:
            grams = [gram(x[chosen]) for x in tensors]
            a, d = u_center(torch.stack([torch.ldexp(k, e) for k, e in grams]))
            vectors.append(pack(a).numpy())
            diagonals.append(d.numpy())
            positions.append(chosen)
            of_pass.append(number)
    depths = np.linspace(0, 1, len(tensors))
    return MadeRepresentation(
        name="made",
        layers=[SimpleNamespace(name=f"blocks.{i}", path=f"blocks.{i}", depth=float(x)) for i, x in enumerate(depths)],
        vectors=vectors,
        diagonals=diagonals,
        positions=positions,
        passes=of_pass,
        example_ids=[f"example-{i}" for i in range(count)],
    )


# --- what networks are made of


def fresh(rng: Generator, examples: int, width: int, decay: float = 0.5) -> np.ndarray:
    """Features with a power-law spectrum, as activations have, in a random basis; unit mean square."""
    scale = np.arange(1, width + 1) ** -decay
    x = rng.normal(size=(examples, width)) * (scale / np.sqrt(np.mean(scale**2)))
    return x @ rotation(rng, width)


def rotation(rng: Generator, width: int) -> np.ndarray:
    """A random orthogonal matrix."""
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return q * np.sign(np.diag(r))


def drifting(rng: Generator, layers: int, examples: int, width: int, keep: float) -> Activations:
    """Each layer is the one before, rotated, with a part made new: CKA of layers l and m is about keep^(2|l-m|)."""
    x = fresh(rng, examples, width)
    found = [x]
    for _ in range(layers - 1):
        x = keep * x @ rotation(rng, width) + np.sqrt(1 - keep**2) * fresh(rng, examples, width)
        found.append(x)
    return found


def add_component(rng: Generator, x: np.ndarray, scores: np.ndarray, share: float) -> np.ndarray:
    """x with one more direction along which the examples lie by `scores`, so that it has this share of the variance."""
    direction = rng.normal(size=x.shape[1])
    direction /= np.linalg.norm(direction)
    variance = x.var(axis=0).sum()
    size = np.sqrt(variance * share / (1 - share)) / scores.std()
    return x + size * np.outer(scores, direction)


def few_examples(rng: Generator, examples: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores near zero but for `count` examples, which lie far out on one side; and which these are."""
    chosen = np.sort(rng.choice(examples, size=count, replace=False))
    scores = 0.01 * rng.normal(size=examples)
    scores[chosen] = 1 + 0.2 * rng.normal(size=count)
    return scores, chosen


# --- networks with block structure


def planted(
    rng: Generator,
    layers: int = 24,
    runs: Sequence[tuple[int, int]] = ((8, 18),),
    examples: int = 512,
    width: int = 96,
    share: float = 0.7,
    dominant: int | None = None,
    keep: float = 0.75,
    soft: bool = False,
) -> MadeNetwork:
    """A drifting network whose `runs` each carry a dominant first component of their own.

    dominant: how many examples carry it; None for all of them.
    soft: whether the layer before and the layer after a run have a part of it, too.
    """
    made = drifting(rng, layers, examples, width, keep)
    chosen = None
    for start, stop in runs:
        if dominant is None:
            scores = rng.normal(size=examples)
        else:
            scores, chosen = few_examples(rng, examples, dominant)
        for layer in range(max(start - soft, 0), min(stop + soft, layers)):
            here = share if start <= layer < stop else share / 3
            made[layer] = add_component(rng, made[layer], scores, here)
    return MadeNetwork(made, [(start, stop) for start, stop in runs], chosen)


# --- networks without


def smooth_drift(rng: Generator, layers: int = 24, examples: int = 512, width: int = 96) -> MadeNetwork:
    """CKA falls off evenly with distance, slowly or fast."""
    return MadeNetwork(drifting(rng, layers, examples, width, keep=rng.uniform(0.7, 0.995)))


def dominated_drift(rng: Generator, layers: int = 24, examples: int = 512, width: int = 96) -> MadeNetwork:
    """Every layer has a dominant component, which itself drifts smoothly."""
    keep = rng.uniform(0.9, 0.995)
    made = drifting(rng, layers, examples, width, keep=keep)
    scores = drifting(rng, layers, examples, 1, keep=keep)
    return MadeNetwork(
        [add_component(rng, x, s[:, 0], rng.uniform(0.3, 0.7)) for x, s in zip(made, scores, strict=True)]
    )


def identical_layers(rng: Generator, layers: int = 24, examples: int = 512, width: int = 96) -> MadeNetwork:
    """Every layer the same, with or without a dominant component."""
    x = fresh(rng, examples, width, decay=rng.uniform(0, 1.5))
    return MadeNetwork([x] * layers)


def rotated_copies(rng: Generator, layers: int = 24, examples: int = 512, width: int = 96) -> MadeNetwork:
    """A plateau of rotated copies of one layer without a dominant component, in a drifting network."""
    made = drifting(rng, layers, examples, width, keep=0.75)
    start, stop = random_run(rng, layers)
    x = fresh(rng, examples, width)
    for layer in range(start, stop):
        made[layer] = x @ rotation(rng, width)
    return MadeNetwork(made)


def rotated_copies_with_component(
    rng: Generator, layers: int = 24, examples: int = 512, width: int = 96
) -> MadeNetwork:
    """Rotated copies of one layer that has a dominant component: without it they are as alike as with it."""
    made = drifting(rng, layers, examples, width, keep=0.75)
    start, stop = random_run(rng, layers)
    x = add_component(rng, fresh(rng, examples, width), rng.normal(size=examples), rng.uniform(0.3, 0.9))
    for layer in range(start, stop):
        made[layer] = x @ rotation(rng, width)
    return MadeNetwork(made)


def sharp_plateau(rng: Generator, layers: int = 24, examples: int = 512, width: int = 96) -> MadeNetwork:
    """A run of layers, sharply set off, that share many directions and no dominant one."""
    made = drifting(rng, layers, examples, width, keep=0.75)
    start, stop = random_run(rng, layers)
    shared = fresh(rng, examples, width, decay=0.2)
    for layer in range(start, stop):
        made[layer] = 2 * shared @ rotation(rng, width) + 0.5 * fresh(rng, examples, width)
    return MadeNetwork(made)


def differing_components(rng: Generator, layers: int = 24, examples: int = 512, width: int = 96) -> MadeNetwork:
    """Another dominant component in every layer of a run; below it a drifting network, or a plateau."""
    made = (
        drifting(rng, layers, examples, width, 0.75)
        if rng.random() < 0.5
        else sharp_plateau(rng, layers, examples, width).layers
    )
    start, stop = random_run(rng, layers)
    share = rng.uniform(0.3, 0.9)
    for layer in range(start, stop):
        made[layer] = add_component(rng, made[layer], rng.normal(size=examples), share)
    return MadeNetwork(made)


def short_run(rng: Generator, layers: int = 24, examples: int = 512, width: int = 96) -> MadeNetwork:
    """A planted run of fewer layers than a block has."""
    shortest = max(3, int(np.ceil(0.15 * layers)))
    length = int(rng.integers(2, shortest))
    start = int(rng.integers(0, layers - length + 1))
    share = rng.uniform(0.5, 0.95)
    return replace(planted(rng, layers, [(start, start + length)], examples, width, share=share), runs=[])


def random_run(rng: Generator, layers: int) -> tuple[int, int]:
    """A run of a quarter to three quarters of the layers, anywhere."""
    length = int(rng.integers(max(4, layers // 4), 3 * layers // 4 + 1))
    start = int(rng.integers(0, layers - length + 1))
    return start, start + length


# --- real networks that were never trained


class _Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int, zero_init: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)
        if zero_init:
            nn.init.zeros_(self.branch[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.shortcut(x) + self.branch(x))


def residual_network(
    rng: Generator, layers: int = 24, width: int | None = None, zero_init: bool = False, classes: int = 10
) -> nn.Sequential:
    """A small residual network with random weights: a stem, three stages of `layers - 2` blocks in all, a head."""
    torch.manual_seed(int(rng.integers(2**31)))
    width = int(rng.choice([4, 8, 16])) if width is None else width
    modules: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    ]
    before = width
    for block in range(layers - 2):
        stage = 3 * block // (layers - 2)
        after = width * 2**stage
        stride = 2 if after != before else 1
        modules.append(_Residual(before, after, stride, zero_init))
        before = after
    modules.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)))
    return nn.Sequential(*modules)


def activations(network: nn.Sequential, images: Tensor) -> list[Tensor]:
    """What each child makes of the images, (examples, features) each, in `eval` mode."""
    network.eval()
    found = []
    with torch.inference_mode():
        x = images
        for module in network:
            x = module(x)
            found.append(x.flatten(1))
    return found


def blurred_images(rng: Generator, examples: int, size: int = 12) -> Tensor:
    """Images that are smooth and differ in brightness and contrast, as photographs do."""
    noise = torch.from_numpy(rng.normal(size=(examples, 1, size + 4, size + 4))).float()
    smooth = nn.functional.avg_pool2d(noise, 5, 1) * 5
    contrast = torch.from_numpy(rng.lognormal(0, 0.4, size=(examples, 1, 1, 1))).float()
    brightness = torch.from_numpy(rng.normal(size=(examples, 1, 1, 1))).float()
    return contrast * smooth + brightness


def untrained(rng: Generator, layers: int = 24, examples: int = 512, width: int | None = None) -> MadeNetwork:
    """An untrained residual network; its normalisation has the statistics of the data, or none."""
    network = residual_network(rng, layers, width)
    images = blurred_images(rng, examples)
    if rng.random() < 0.5:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        network.train()
        with torch.no_grad():
            network(images)
    return MadeNetwork([x.numpy() for x in activations(network, images)])


def zero_initialised(rng: Generator, layers: int = 24, examples: int = 512, width: int | None = None) -> MadeNetwork:
    """A residual network whose branches start at zero: every block of a stage returns the same."""
    network = residual_network(rng, layers, width, zero_init=True)
    return MadeNetwork([x.numpy() for x in activations(network, blurred_images(rng, examples))])


Maker = Callable[..., MadeNetwork]

CONTROLS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        smooth_drift,
        dominated_drift,
        identical_layers,
        rotated_copies,
        rotated_copies_with_component,
        sharp_plateau,
        differing_components,
        short_run,
        untrained,
        zero_initialised,
    )
}
