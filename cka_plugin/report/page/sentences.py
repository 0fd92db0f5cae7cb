"""What was found, in sentences with their numbers: the first thing that a reader of the page sees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.page.contents import Unknown, Verdict
from cka_plugin.report.page.pair import Found
from cka_plugin.tables import short

_NAMED = 5  # classes that a sentence names


def pair_verdicts(a: str, b: str, similarity: float, found: Found, blocks: Mapping[str, Any]) -> list[Verdict]:
    """What is said of two models.

    Args:
        a, b: their names.
        similarity: mean CKA at equal depth.
        found: the analyses of the pair.
        blocks: the block structure of either, by name.
    """
    made = [Verdict("Layers", _layers(a, b, similarity, found.correspondence))]
    if not isinstance(found.correspondence, Unknown):
        made.append(Verdict("Order", _order(a, b, found.correspondence)))
    if not isinstance(found.levels, Unknown):
        made.append(Verdict("What explains it", f"Of the similarity of {found.levels.sentence}"))
    elif not isinstance(found.calibrated, Unknown):
        made.append(Verdict("Above chance", _chance(found.calibrated)))
    made.append(Verdict("Block structure", block_sentences(blocks)))
    made.append(Verdict("Errors", _errors(found)))
    if not isinstance(found.examples, Unknown):
        made.append(Verdict("Examples", _examples(found.examples)))
    return made


def block_sentences(blocks: Mapping[str, Any]) -> str:
    """The verdict on each model, with its reason."""
    said: dict[str, list[str]] = {}
    for name, structure in blocks.items():
        verdict = "not known" if isinstance(structure, Unknown) else structure.verdict
        said.setdefault(f"{verdict}. {structure.reason}", []).append(name)
    return " ".join(f"{' and '.join(names)}: {what}" for what, names in said.items())


def many_verdicts(
    names: Sequence[str],
    similarity: Floats,
    blocks: Mapping[str, Any],
    accuracies: Sequence[float | None],
    together: Any,
    errors: Sequence[Any],
) -> list[Verdict]:
    """What is said of three models or more.

    Args:
        names: of the models.
        similarity: (models, models) mean CKA at equal depth.
        blocks: block structures by name.
        accuracies: of the models.
        together: whether models that represent alike err alike, a `SimilarityAndErrors`, or why it is not known.
        errors: the `ErrorComparison` of every pair, or why there is none.
    """
    made = [Verdict("Models", _models(names, similarity))]
    known = {name: value for name, value in zip(names, accuracies, strict=True) if value is not None}
    if known:
        best, worst = max(known, key=lambda name: known[name]), min(known, key=lambda name: known[name])
        said = f"{best} is right most often ({known[best]:.1%}), {worst} least often ({known[worst]:.1%})."
        judged = [one for one in errors if not isinstance(one, Unknown)]
        if judged:
            differ = sum(one.mcnemar_p <= one.alpha for one in judged)
            said += (
                f" In {differ} of {len(judged)} pairs of models the accuracies differ by an exact McNemar test at "
                f"{judged[0].alpha:g}, not corrected for the number of pairs."
            )
        made.append(Verdict("Errors", said))
    if not isinstance(together, Unknown):
        made.append(Verdict("Alike and wrong alike", _together(together)))
    made.append(Verdict("Block structure", _verdict_counts(blocks)))
    return made


def atlas_verdicts(
    names: Sequence[str], similarity: Floats, accuracies: Sequence[float | None], families: Any
) -> list[Verdict]:
    """What is said of very many models.

    Args:
        names: of the models.
        similarity: (models, models) mean CKA at equal depth.
        accuracies: of the models.
        families: what `Comparison.families` found, or why it is not known.
    """
    made = [Verdict("Models", _models(names, similarity))]
    known = {name: value for name, value in zip(names, accuracies, strict=True) if value is not None}
    if known:
        best, worst = max(known, key=lambda name: known[name]), min(known, key=lambda name: known[name])
        made.append(
            Verdict(
                "Errors", f"{best} is right most often ({known[best]:.1%}), {worst} least often ({known[worst]:.1%})."
            )
        )
    said = f"Not tested: {families}." if isinstance(families, str) else " ".join(families.sentences())
    return [*made, Verdict("Families", said)]


def one_verdicts(name: str, matrix: Floats, structure: Any) -> list[Verdict]:
    """What is said of one model, compared with itself."""
    off = matrix[np.triu_indices(len(matrix), 1)]
    off = off[np.isfinite(off)]
    said = f"{name} has {len(matrix)} layers"
    said += (
        f"; two of them have a mean CKA of {off.mean():.3f} ({off.min():.3f} to {off.max():.3f})." if off.size else "."
    )
    return [Verdict("Layers", said), Verdict("Block structure", block_sentences({name: structure}))]


def _layers(a: str, b: str, similarity: float, correspondence: Any) -> str:
    said = (
        f"{a} and {b} have a mean CKA of {_figure(similarity)} between layers at equal depth "
        "(1: the same up to rotation and scale, 0: nothing in common)."
    )
    matched = [] if isinstance(correspondence, Unknown) else [m for m in correspondence.matches if m.match is not None]
    if not matched:
        return said
    most, least = max(matched, key=lambda m: m.cka), min(matched, key=lambda m: m.cka)
    said += f" Most alike are {most.layer} and {most.match}: {_with_interval(most)}."
    if len(matched) > 1:
        said += (
            f" {least.layer} of {a} resembles {b} least: its best match there, {least.match}, has a CKA of "
            f"{_with_interval(least)}."
        )
    return said


def _order(a: str, b: str, correspondence: Any) -> str:
    matched = [m for m in correspondence.matches if m.match is not None]
    if not matched or math.isnan(correspondence.share_at_equal_depth):
        return f"No layer of {a} has a similarity with a layer of {b}."
    equal = sum(m.equal_depth for m in matched)
    tied = sum(m.tied is True for m in matched)
    said = (
        f"{equal} of {len(matched)} layers of {a} find their best match in {b} at equal relative depth "
        f"({correspondence.share_by_chance * len(matched):.1f} if matches were drawn at random)"
    )
    said += f"; {tied} best matches cannot be told from the runner-up." if tied else "."
    for name, other, only in ((a, b, correspondence.only_in_a), (b, a, correspondence.only_in_b)):
        if only:
            said += f" Nothing in {other} resembles {_listed(only)} of {name} (best CKA below 0.3: a convention)."
    return " ".join([said, *(f"Inconclusive: {why}." for why in correspondence.inconclusive)])


def _chance(calibrated: Any) -> str:
    rows = [row for row in calibrated.matches if row.match is not None and math.isfinite(row.calibrated)]
    if not rows:
        return "No layer has a similarity that could be held against chance."
    beyond = sum(row.p <= 0.05 for row in rows)
    low, high = min(row.calibrated for row in rows), max(row.calibrated for row in rows)
    return (
        f"{beyond} of {len(rows)} best matches lie above what the best of as many unrelated layers reaches (p at most "
        f"0.05, {calibrated.chance.draws} permutations, search over layers paid for); above that level remain "
        f"{low:.2f} to {high:.2f} of 1. Nearly any two networks on the same data pass this bar."
    )


def _errors(found: Found) -> str:
    errors = found.errors
    if isinstance(errors, Unknown):
        if isinstance(found.agreement, Unknown):
            return f"Not known: {errors.reason}"
        same = found.agreement
        return (
            f"Without labels it is not known who is right. The two predict the same class for {same.agreement:.1%} of "
            f"{same.n_examples:,} examples (kappa of predictions {short(same.kappa)})."
        )
    a, b = errors.names
    low, high = errors.interval
    said = (
        f"{a} is right on {errors.accuracy_a:.1%} of {errors.n_examples:,} examples, {b} on {errors.accuracy_b:.1%}: "
        f"a difference of {100 * errors.difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], exact McNemar "
        f"p {_p(errors.mcnemar_p)}. They predict the same class for {errors.agreement:.1%}"
    )
    if math.isfinite(errors.kappa):
        said += f"; agreement on who is right, beyond chance, is kappa = {errors.kappa:.2f}"
    certainty = repr(errors.certainty)
    said += f". {certainty[0].upper()}{certainty[1:]}"
    different = [row for row in errors.classes if row.significant]
    blind = sum(not row.testable for row in errors.classes)
    said += f". {len(different)} of {len(errors.classes)} classes differ beyond chance ({errors.correction})"
    if different:
        strongest = sorted(different, key=lambda row: row.p_corrected)
        said += ": " + _listed([f"{row.name} ({100 * row.difference:+.0f} points)" for row in strongest])
    said += f"; {blind} have too few examples to tell." if blind else "."
    return said


def _examples(examples: Any) -> str:
    said = ""
    if examples.examples:
        first = examples.examples[0]
        said = f"Placed most differently is example {first.example_id} (alignment {first.alignment:.2f}). "
    return said + examples.foretells() + (f" {examples.by_class()}" if examples.classes else "")


def _models(names: Sequence[str], similarity: Floats) -> str:
    pairs = [
        (float(similarity[i, j]), i, j)
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if math.isfinite(similarity[i, j])
    ]
    if not pairs:
        return "No pair of models has a similarity."
    high, low = max(pairs), min(pairs)
    values = [value for value, _, _ in pairs]
    return (
        f"{len(names)} models, {len(pairs)} pairs: mean CKA of layers at equal depth {np.mean(values):.3f}. Most alike "
        f"are {names[high[1]]} and {names[high[2]]} ({high[0]:.3f}), least alike {names[low[1]]} and {names[low[2]]} "
        f"({low[0]:.3f})."
    )


def _together(together: Any) -> str:
    said = []
    for what, test in (("predictions that agree", together.agreement), ("errors in common", together.kappa)):
        if test.reason:
            said.append(f"whether similarity goes with {what} is not known ({test.reason})")
        else:
            said.append(
                f"similarity and {what} correlate at {test.statistic:+.2f} over pairs (Mantel p = {short(test.p)}; the "
                f"smallest possible is {short(test.smallest_p)})"
            )
    return "Do models that represent alike also err alike? " + "; ".join(said) + "."


def _verdict_counts(blocks: Mapping[str, Any]) -> str:
    said = []
    for verdict in ("strong", "weak", "inconclusive"):
        having = [name for name, one in blocks.items() if getattr(one, "verdict", "") == verdict]
        if having:
            said.append(f"{verdict} in {_listed(having)}")
    none = sum(getattr(one, "verdict", "") == "none" for one in blocks.values())
    said.append(f"none in {none} of {len(blocks)} models")
    return "; ".join(said) + "."


def _with_interval(match: Any) -> str:
    if math.isfinite(match.low):
        return f"{match.cka:.3f} [{match.low:.3f}, {match.high:.3f}]"
    return f"{match.cka:.3f}"


def _p(value: float) -> str:
    return f"= {short(value)}" if value > 0 else "< 1e-300"


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "nothing known"


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return ", ".join(names[:_NAMED]) + f" and {len(names) - _NAMED} more"
