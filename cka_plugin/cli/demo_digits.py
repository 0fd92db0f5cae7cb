"""The demo on handwritten digits: three trained CNNs and a trained Transformer, at length."""

from __future__ import annotations

from typing import Any

import numpy as np

from cka_plugin import sample
from cka_plugin.analysis.blocks.detector import BlockStructure
from cka_plugin.analysis.errors.result import ErrorComparison
from cka_plugin.analysis.levels.result import wrapped
from cka_plugin.cli.console import show_correspondence, show_table
from cka_plugin.cli.messages import say
from cka_plugin.comparison import Comparison
from cka_plugin.tables import short
from cka_plugin.wording import number

TRANSFORMER = "vit"
FIRST_CNN = "narrow"


def tell(comparison: Comparison) -> None:
    """Print the story."""
    first = comparison[FIRST_CNN]
    print(
        f"{len(comparison.names)} small networks trained on 1,000 handwritten digits, compared on {first.n_examples} "
        "others\n"
    )
    show_correspondence(comparison, FIRST_CNN, TRANSFORMER)
    print()
    for line in wrapped(f"What may explain it: {comparison.levels(FIRST_CNN, TRANSFORMER).sentence}"):
        say(line)
    print("(layer by layer: cka-plugin compare sample:narrow sample:vit --data sample:digits --levels)")
    print()
    show_models(comparison)
    print()
    print("Block structure: a long run of layers alike because they share one dominant principal component")
    for name in comparison.names:
        print(f"  {name}: {block_sentence(comparison.block_structure(name))}")
    print()
    print("Classes on which a CNN and the Transformer differ beyond chance (exact McNemar tests, corrected)")
    for name in comparison.names:
        if name != TRANSFORMER:
            print(f"  {error_sentence(comparison.errors(name, TRANSFORMER))}")
    print()
    print(comparison.errors(FIRST_CNN, TRANSFORMER))
    print()
    print("Do networks that represent digits more alike also err more alike? Over the pairs of networks:")
    print(comparison.similarity_and_errors())
    print()


def block_sentence(structure: BlockStructure) -> str:
    """Verdict, reason, and how much the first principal components hold, in one line."""
    share = structure.first_component_share
    assert share is not None
    finite = share[np.isfinite(share)]
    mean = np.nanmean(structure.matrix[np.triu_indices(len(structure.matrix), 1)])
    return (
        f"{structure.verdict}. {structure.reason} Mean CKA of two layers {mean:.2f}; first components hold "
        f"{finite.min():.0%} to {finite.max():.0%} of a layer's variance (minibatches of {structure.batch_size})."
    )


def error_sentence(errors: ErrorComparison) -> str:
    """The classes in which two models differ, or that none does, with the counts it rests on."""
    a, b = errors.names
    found = [
        f"{row.name} ({row.accuracy_a:.1%} and {row.accuracy_b:.1%} of {row.n} examples, p = {short(row.p_corrected)})"
        for row in errors.classes
        if row.significant
    ]
    only_a = int((errors.examples.right_a & ~errors.examples.right_b).sum())
    only_b = int((errors.examples.right_b & ~errors.examples.right_a).sum())
    which = "; ".join(found) if found else f"none of {len(errors.classes)}"
    return (
        f"{a} and {b}: {which}. Of {errors.n_examples} examples {a} alone is right on {only_a}, {b} alone on {only_b} "
        f"(p = {short(errors.mcnemar_p)})."
    )


def show_models(comparison: Comparison) -> None:
    """Accuracy of each model, and with each other one the mean CKA at equal depth and how often predictions agree."""
    names = comparison.names
    similarity = comparison.models()
    rows: list[tuple[Any, ...]] = []
    for i, name in enumerate(names):
        mine = comparison[name]
        cells = []
        for j, other in enumerate(names):
            both = comparison[other].predictions
            assert mine.predictions is not None
            assert both is not None
            agreement = float((mine.predictions == both).mean())
            cells.append("" if i == j else f"{number(similarity[i, j], 2)} / {agreement:.1%}")
        rows.append((name, sample.MODELS[name], f"{mine.accuracy:.1%}", *cells))
    show_table(
        ["model", "what it is", "accuracy", *names], rows, title="Mean CKA at equal depth / agreement of predictions"
    )
