"""What the similarity of two models is held against: chance, untrained copies, inputs, labels, a few examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cka_plugin.analysis.levels.architecture import notes_on_copies, of_copies, second_of_copies
from cka_plugin.analysis.levels.calibrated import above
from cka_plugin.analysis.levels.chance import DRAWS, chance_level
from cka_plugin.analysis.levels.few_examples import Blocks, of_few_examples
from cka_plugin.analysis.levels.inputs_and_labels import of_data
from cka_plugin.analysis.levels.matched import Columns, Matched, of_similarity
from cka_plugin.analysis.levels.result import LayerLevels, Levels
from cka_plugin.analysis.levels.words import sentence_of_layer, sentence_of_models
from cka_plugin.analysis.measures.of_pairs import measured_pairs
from cka_plugin.analysis.measures.registry import CKA, measure_of
from cka_plugin.core import MIN_MINIBATCHES, pairs_of
from cka_plugin.representation import Content

FEWEST = 19  # draws
MUCH_WORK = 5e11  # multiplications of all draws: a minute or two on one core
FEW = 0.05  # of the examples, the most dominant of each model


@dataclass(frozen=True)
class Asked:
    """How levels are made.

    Attributes:
        measure: the second one.
        draws: permutations of the level of chance; None for as many as `draws_for` gives.
        seed: of all draws.
        level: of the intervals.
        fraction: of the examples that is left out, the most dominant of each model.
    """

    measure: str = "mutual_knn"
    draws: int | None = None
    seed: int = 0
    level: float = 0.95
    fraction: float = FEW


def levels(
    a: Content,
    b: Content,
    asked: Asked,
    blocks: Blocks = (None, None),
    setting: str = "",
    notes: Sequence[str] = (),
) -> Levels:
    """The similarity of two models layer by layer, and what may explain it; from their representations alone.

    Args:
        a: representation of one model, with what lies beside it.
        b: of another, of the same examples.
        asked: how.
        blocks: for each model, the layers whose first components say which examples dominate; None for all.
        setting: which CKA, on what, for people.
        notes: what else a reader should know.

    Raises:
        ValueError: too few draws, no such measure, or a fraction or level outside (0, 1).
    """
    if asked.measure == CKA:
        raise ValueError("measure 'cka' is the first one: name another as the second, such as 'mutual_knn'")
    measure_of(asked.measure, {})
    draws = draws_for(a, b) if asked.draws is None else asked.draws
    if draws < FEWEST:
        raise ValueError(f"draws {draws}: a level of 95% takes at least {FEWEST}")
    matched = Matched(a, b, asked.level, missing={})
    columns = of_similarity(matched)
    columns |= _of_chance(matched, draws, asked.seed)
    columns |= of_copies(matched)
    columns |= of_data(matched)
    of_few, gone = of_few_examples(matched, blocks, asked.fraction)
    columns |= of_few
    columns |= _of_second_measure(matched, asked)
    columns |= second_of_copies(matched, columns, asked.measure)
    rows = [LayerLevels(name, None) for name in a.layer_names]
    for place, (i, _) in enumerate(matched.pairs):
        row = replace(rows[i], **{name: values[place] for name, values in columns.items()})
        rows[i] = replace(row, sentence=sentence_of_layer(row, asked.measure, len(gone)))
    return Levels(
        names=(a.name, b.name),
        layers=rows,
        sentence=sentence_of_models(rows, (a.name, b.name), asked.measure, len(gone)),
        measure=asked.measure,
        setting=setting,
        draws=draws,
        examples=a.n_examples,
        batch_size=int(np.median(a.batch_sizes)),
        fraction=asked.fraction,
        left_out=len(gone),
        dominant_examples=[a.example_ids[i] for i in gone],
        missing=matched.missing,
        notes=[*notes, *notes_on_copies(matched), *_notes(matched)],
        shown=(_shown(a), _shown(b)),
    )


def draws_for(a: Content, b: Content) -> int:
    """199 permutations, or 19, the fewest that a 95% quantile takes, where more would take minutes."""
    work = 2 * len(a.layers) * len(b.layers) * sum(pairs_of(n) for n in a.batch_sizes) * DRAWS
    return DRAWS if work <= MUCH_WORK else FEWEST


def _of_chance(matched: Matched, draws: int, seed: int) -> Columns:
    chance = chance_level(matched.a, matched.b, draws, seed)
    tau = [float(chance.best_level[i]) for i, _ in matched.pairs]
    found = zip(matched.cells(matched.matrix), tau, strict=True)
    return {
        "chance": tau,
        "calibrated": [float(above(value, level)) for value, level in found],
        "p": [float(chance.best_p[i]) for i, _ in matched.pairs],
    }


def _of_second_measure(matched: Matched, asked: Asked) -> Columns:
    chosen = measure_of(asked.measure, {})
    if reason := min((chosen.too_small(n) for n in matched.a.batch_sizes), key=len):
        matched.missing["second"] = f"{asked.measure}: {reason}"
        return {}
    given = matched.a, matched.b, matched.pairs, asked.measure
    measured = measured_pairs(*given, seed=asked.seed, level=asked.level)
    return {
        "second": measured.value.tolist(),
        "second_low": measured.low.tolist(),
        "second_high": measured.high.tolist(),
        "second_chance": measured.chance.tolist(),
    }


def _shown(model: Content) -> dict[str, str]:
    told = zip(model.layer_names, model.shown_layers, strict=True)
    return {name: layer.name for name, layer in told if layer.name != name}


def _notes(matched: Matched) -> list[str]:
    notes = []
    if sum(number == min(matched.a.passes) for number in matched.a.passes) < MIN_MINIBATCHES:
        notes.append(
            f"fewer than {MIN_MINIBATCHES} minibatches: no intervals, so that differences are not judged; give more "
            "examples or smaller minibatches"
        )
    others = "" if "untrained" in matched.missing else ", and other first weights of the copies other levels"
    return [*notes, f"another training run would give other numbers{others}"]
