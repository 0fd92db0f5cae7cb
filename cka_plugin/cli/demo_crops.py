"""The demo on crops of photographs: a shallow and a deep residual network and a Transformer, in one screen.

The deep network is large for its 500 training crops and has the block structure, the shallow one has not.
"""

from __future__ import annotations

import textwrap
from collections import Counter

from cka_plugin import sample
from cka_plugin.analysis.blocks.detector import BlockStructure
from cka_plugin.cli.messages import say
from cka_plugin.comparison import Comparison
from cka_plugin.tables import short
from cka_plugin.wording import number

SHALLOW, DEEP, TRANSFORMER = "shallow", "deep", "vit"
WIDTH = 80
MOST_DOMINANT = 10


def tell(comparison: Comparison) -> None:
    """Print the story."""
    say("\n".join(story(comparison)))
    print()


def story(comparison: Comparison) -> list[str]:
    """What was found, in lines of at most 80 columns."""
    n = comparison[SHALLOW].n_examples
    lines = [f"From which of 14 photographs is this crop? Three networks on {n} new crops:"]
    for name in comparison.names:
        what = sample.CROP_MODELS[f"crops-{name}"]
        lines.append(f"  {name:8s}{comparison[name].accuracy:5.1%} right, {what}"[:WIDTH])
    lines += ["", *correspondence(comparison), ""]
    lines.append("Block structure: layers alike since they share one dominant component")
    for name in comparison.names:
        lines += paragraph(f"{name}: {blocks(comparison.block_structure(name))}")
    lines += [*paragraph(dominant(comparison.block_structure(DEEP)), indent=""), ""]
    lines.append("Errors: photographs that two tell apart differently (exact McNemar, corrected)")
    for a, b in ((SHALLOW, DEEP), (SHALLOW, TRANSFORMER)):
        lines += paragraph(errors(comparison, a, b))
    return lines


def correspondence(comparison: Comparison) -> list[str]:
    """For each layer of the shallow network the most similar ones of both others, a line a layer."""
    matches = [comparison.correspondence(SHALLOW, other).matches for other in (DEEP, TRANSFORMER)]
    header = (f"layer of {SHALLOW}", f"most like of {DEEP}", "CKA", f"of {TRANSFORMER}", "CKA")
    lines = ["{:20s}{:22s}{:>6s}   {:12s}{:>6s}".format(*header)]
    for row in zip(*matches, strict=True):
        deep, vit = (
            ("-" if one.match is None else one.match + (" =" if one.verdict == "tied" else ""), number(one.cka, 2))
            for one in row
        )
        lines.append(f"{row[0].layer:20s}{deep[0]:22s}{deep[1]:>6s}   {vit[0]:12s}{vit[1]:>6s}")
    return [*lines, "=: a tie; these crops do not tell it from the second most similar layer"]


def blocks(structure: BlockStructure) -> str:
    """The verdict, and where and why in numbers."""
    if structure.verdict == "inconclusive" or not structure.blocks:
        known = structure.verdict == "none"
        return f"{structure.verdict}. {f'No run of layers is set off{_run(structure)}' if known else structure.reason}"
    block = structure.blocks[0]
    return (
        f"{structure.verdict}. {block.layers[0]} to {block.layers[-1]} ({len(block)} of "
        f"{len(structure.layers)} layers), mean CKA {block.mean_similarity:.2f}, without the first component "
        f"{block.similarity_without_first_component:.2f}. That holds {block.first_component_share:.0%} of the "
        f"variance, squared cosine between layers {block.first_component_cosine:.2f}"
        + (f". Missing: {', '.join(block.missing)}" if block.missing else "")
    )


def _run(structure: BlockStructure) -> str:
    """What the longest of the runs that are no blocks is like."""
    if not structure.other_runs:
        return ""
    run = structure.other_runs[0]
    return (
        f": {run.layers[0]} to {run.layers[-1]} are alike (mean CKA {run.mean_similarity:.2f}), "
        f"and CKA drops by only {run.contrast:.2f} at an end"
    )


def dominant(structure: BlockStructure) -> str:
    """Of which photographs the examples are that the shared component of the largest block places furthest out."""
    if not structure.blocks:
        return "No examples dominate a block: there is none."
    block = structure.blocks[0]
    first = [str(one) for one in block.dominant_examples[:MOST_DOMINANT]]
    counts = Counter(one.partition("/")[0] for one in first).most_common(3)
    return (
        f"Which crops make the block: the 10% that its component places furthest out hold "
        f"{block.energy_of_top_10_percent:.0%} of it. The first {len(first)} are of "
        f"{', '.join(f'{name} ({count})' for name, count in counts)}, led by {first[0]}."
    )


def errors(comparison: Comparison, a: str, b: str) -> str:
    """The classes on which two models differ beyond chance, and the overall difference."""
    found = comparison.errors(a, b)
    differ = [
        f"{row.name} {row.accuracy_a:.0%} and {row.accuracy_b:.0%}"
        for row in sorted(found.classes, key=lambda row: row.p_corrected)
        if row.significant
    ]
    shown = ", ".join(differ[:4]) + (f" and {len(differ) - 4} more" if len(differ) > 4 else "")
    low, high = found.interval
    return (
        f"{a} and {b}: {found.certainty.verdict} ({found.difference:+.1%} [{low:+.1%}, {high:+.1%}], p "
        f"{short(found.mcnemar_p)}). {f'{len(differ)} of' if differ else 'None of'} {len(found.classes)} "
        f"photographs {f'differ: {shown}' if differ else 'is shown to differ'}; "
        f"{found.agreement:.0%} of predictions agree"
    )


def paragraph(text: str, indent: str = "  ") -> list[str]:
    """A sentence in lines; those after the first are set in."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False)
