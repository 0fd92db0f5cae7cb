"""What a check with default thresholds finds: ordinary changes and common bugs, on real trained networks.

    python examples/regression_scenarios.py [narrow wide vit ...]

Each row is one change to a network of `cka_plugin.sample`, trained on handwritten digits, checked against the baseline
of the unchanged network on 256 digits it has not seen. Nothing is downloaded.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import cka_plugin as cka
from cka_plugin import sample

EXAMPLES = 256


@dataclass(frozen=True)
class Scenario:
    """One change: what to do, and whether the default thresholds should let it pass."""

    name: str
    passes: bool | None  # None: it depends on the network
    run: Callable[[Subject], cka.CheckResult]


class Subject:
    """A network, its data and its baseline."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.net = sample.model(name)
        images, labels, _ = sample.digits("test")
        self.images, self.labels = images[:EXAMPLES], torch.from_numpy(labels[:EXAMPLES])
        self.baseline = cka.make_baseline(self.net, self.images, self.labels, name=name, progress=False)

    def check(self, net: nn.Module, images: Tensor | None = None, **options: object) -> cka.CheckResult:
        data = self.images if images is None else images
        labels = options.pop("labels", self.labels)
        return cka.check(net, self.baseline, data, labels=labels, name=self.name, **options)  # type: ignore[arg-type]

    def copy(self) -> nn.Module:
        return copy.deepcopy(self.net)


def unchanged(subject: Subject) -> cka.CheckResult:
    return subject.check(subject.copy())


def other_memory_format(subject: Subject) -> cka.CheckResult:
    return subject.check(subject.copy().to(memory_format=torch.channels_last))


def bfloat16(subject: Subject) -> cka.CheckResult:
    return subject.check(subject.copy(), precision="bfloat16")


def int8_dynamic(subject: Subject) -> cka.CheckResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return subject.check(torch.ao.quantization.quantize_dynamic(subject.copy(), {nn.Linear}, dtype=torch.qint8))


def pruned(share: float) -> Callable[[Subject], cka.CheckResult]:
    def run(subject: Subject) -> cka.CheckResult:
        net = subject.copy()
        weights = [(m, "weight") for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=share)
        return subject.check(net)

    return run


def fine_tuned(which: str) -> Callable[[Subject], cka.CheckResult]:
    """Sixteen steps of Adam on training digits, with the head alone or with all layers."""

    def run(subject: Subject) -> cka.CheckResult:
        net = subject.copy()
        head = subject.baseline.representation.layers[-1].path
        images, labels, _ = sample.digits("train")
        parameters = [p for name, p in net.named_parameters() if which == "all" or name.startswith(head)]
        optimiser = torch.optim.Adam(parameters, lr=0.01 if which == "head" else 0.003)
        for step in range(16):
            part = slice(50 * step, 50 * step + 50)
            loss = nn.functional.cross_entropy(_logits(net(images[part])), torch.from_numpy(labels[part]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return subject.check(net)

    return run


def other_normalisation(subject: Subject) -> cka.CheckResult:
    """Trained on inputs in [-1, 1], given inputs in [0, 1]: a bug in the preprocessing of the same pictures.

    CKA does not see scale and shift, so a linear embedding of patches is not yet disturbed: the first layer after is.
    """
    return subject.check(subject.copy(), subject.images / 2 + 0.5, match="ids")


def swapped_blocks(subject: Subject) -> cka.CheckResult:
    """Two blocks of one shape change places."""
    net = subject.copy()
    blocks = [layer.path for layer in subject.baseline.representation.layers if layer.kind == "block"]
    shapes = {path: [tuple(p.shape) for p in net.get_submodule(path).parameters()] for path in blocks}
    first, second = next((a, b) for i, a in enumerate(blocks) for b in blocks[i + 1 :] if shapes[a] == shapes[b])
    states = [copy.deepcopy(net.get_submodule(path).state_dict()) for path in (first, second)]
    net.get_submodule(first).load_state_dict(states[1])
    net.get_submodule(second).load_state_dict(states[0])
    return subject.check(net)


def head_in_another_order(subject: Subject) -> cka.CheckResult:
    """The classes of the head are permuted, as after another sort of the class folders; CKA cannot see it."""
    net = subject.copy()
    head = net.get_submodule(subject.baseline.representation.layers[-1].path)
    with torch.no_grad():
        head.weight[:] = head.weight.roll(1, 0)  # type: ignore[index, operator]
        head.bias[:] = head.bias.roll(1, 0)  # type: ignore[index, operator]
    return subject.check(net)


def labels_in_another_order(subject: Subject) -> cka.CheckResult:
    return subject.check(subject.copy(), labels=(subject.labels + 1) % 10)


def nan_in_a_block(subject: Subject) -> cka.CheckResult:
    """A weight of the middle block has become NaN."""
    net = subject.copy()
    blocks = [layer.path for layer in subject.baseline.representation.layers if layer.kind == "block"]
    with torch.no_grad():
        next(net.get_submodule(blocks[len(blocks) // 2]).parameters()).fill_(float("nan"))
    return subject.check(net)


def shuffled_loader(subject: Subject) -> cka.CheckResult:
    """The same pictures in another order: an error, for nothing could be judged."""
    order = torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(0))
    return subject.check(subject.copy(), subject.images[order], labels=subject.labels[order])


SCENARIOS = [
    Scenario("unchanged", True, unchanged),
    Scenario("another memory format", True, other_memory_format),
    Scenario("bfloat16", True, bfloat16),
    Scenario("int8 dynamic", True, int8_dynamic),
    Scenario("pruned by 30%", True, pruned(0.3)),
    Scenario("pruned by 60%", False, pruned(0.6)),
    Scenario("pruned by 90%", False, pruned(0.9)),
    Scenario("head fine-tuned", None, fine_tuned("head")),
    Scenario("all layers fine-tuned", False, fine_tuned("all")),
    Scenario("another normalisation", False, other_normalisation),
    Scenario("two blocks swapped", None, swapped_blocks),
    Scenario("head in another order", False, head_in_another_order),
    Scenario("labels in another order", False, labels_in_another_order),
    Scenario("NaN in a block", False, nan_in_a_block),
]


def _logits(output: object) -> Tensor:
    return output if isinstance(output, Tensor) else output.logits  # type: ignore[attr-defined]


def rows(name: str) -> Iterator[list[str]]:
    """The table of one network: the change, the verdict with default thresholds, what moved first, how far.

    The second verdict is that of 0.9999, for code that should not change what a model computes.
    """
    subject = Subject(name)
    for scenario in SCENARIOS:
        result = scenario.run(subject)
        alive = [row for row in result.layers if not np.isnan(row.cka)]
        lowest = min(alive, key=lambda row: row.cka)
        strict = result.passed and all(row.cka >= 0.9999 for row in result.layers)
        yield [
            name,
            scenario.name,
            "pass" if result.passed else "fail",
            "pass" if strict else "fail",
            "-" if result.first_moved is None else result.first_moved.name,
            next((row.name for row in result.layers if not row.passed), "-"),
            f"{lowest.cka:.5f} {lowest.name}",
            "-" if result.errors is None else f"{result.errors.difference:+.1%}",
            "-" if result.churn is None else f"{result.churn:.1%}",
        ]


def main() -> None:
    from cka_plugin.analysis.tables import text_table

    header = ["network", "change", "default", "0.9999", "first moved", "first to fail", "lowest CKA", "lost", "churn"]
    for name in sys.argv[1:] or list(sample.MODELS):
        print(text_table(list(rows(name)), header), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
