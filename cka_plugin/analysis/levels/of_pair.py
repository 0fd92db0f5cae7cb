"""What the similarity of two models is held against: chance, untrained copies, inputs, labels, a few examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.components.dominance import dominance, how_many, ranking
from cka_plugin.analysis.components.principal import Components, components
from cka_plugin.analysis.difference import difference
from cka_plugin.analysis.grams import GramVectors, cka_sums
from cka_plugin.analysis.levels.calibrated import above
from cka_plugin.analysis.levels.chance import DRAWS, chance_level
from cka_plugin.analysis.levels.pseudo_layers import label_layer
from cka_plugin.analysis.levels.result import LayerLevels, Levels
from cka_plugin.analysis.levels.words import sentence_of_layer, sentence_of_models
from cka_plugin.analysis.measures.of_pairs import measured_pairs
from cka_plugin.analysis.measures.registry import CKA, measure_of
from cka_plugin.analysis.subsets import cka_without_examples
from cka_plugin.core import MIN_EXAMPLES, MIN_MINIBATCHES, Floats, Sums, pairs_of
from cka_plugin.representation import INPUT, UNTRAINED, Content
from cka_plugin.wording import for_terminal

FEWEST = 19  # draws
MUCH_WORK = 5e11  # multiplications of all draws: a minute or two on one core
FEW = 0.05  # of the examples, the most dominant of each model
_DEPENDENT = 1e-5  # of the largest eigenvalue: directions of inputs and labels that rounding alone tells apart

NO_COPY = "no untrained copy was run: compare(..., levels=True), or --levels, with the models at hand"
NO_INPUT = "the file holds no inputs: give the data (data=, --data), which are read again"
NO_LABELS = "the data had no labels"


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
    blocks: tuple[range | None, range | None] = (None, None),
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
    sums = cka_sums(a, b)
    matrix = sums.cka()
    rows = [LayerLevels(name, None) for name in a.layer_names]
    pairs = [(i, int(np.nanargmax(values))) for i, values in enumerate(matrix) if np.isfinite(values).any()]
    missing: dict[str, str] = {}
    columns = _of_similarity(sums, pairs, (a, b), asked.level)
    columns |= _of_chance(a, b, pairs, matrix, (draws, asked.seed))
    columns |= _of_copies(a, b, sums, pairs, asked.level, missing)
    columns |= _of_data(a, b, pairs, matrix, missing)
    found = components(a), components(b)
    columns |= _of_components(*found, pairs)
    gone = _dominant((a, b), found, blocks, asked.fraction)
    columns |= _without(a, b, gone, pairs, missing)
    columns |= _of_second_measure(a, b, pairs, asked, missing)
    columns |= _of_second_measure_untrained(a, b, columns, asked)
    for place, (i, _) in enumerate(pairs):
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
        missing=missing,
        notes=[*notes, *_notes(a, b)],
        shown=(_shown(a), _shown(b)),
    )


def _cells(matrix: Floats, pairs: Sequence[tuple[int, int]]) -> list[float]:
    return [float(matrix[i, j]) for i, j in pairs]


def _of_similarity(
    sums: Sums, pairs: Sequence[tuple[int, int]], models: tuple[Content, Content], level: float
) -> dict[str, list[Any]]:
    a, b = models
    matrix, (low, high) = sums.cka(), sums.interval(level)
    tied: list[bool | None] = []
    for i, j in pairs:
        others = [k for k in np.flatnonzero(np.isfinite(matrix[i])).tolist() if k != j]
        margin = math.nan
        if others:
            margin = difference(sums, (i, j), sums, (i, max(others, key=lambda k: matrix[i, k])), level).low
        tied.append(None if math.isnan(margin) else margin <= 0)
    return {
        "layer": [a.layer_names[i] for i, _ in pairs],
        "match": [b.layer_names[j] for _, j in pairs],
        "tied": tied,
        "cka": _cells(matrix, pairs),
        "low": _cells(low, pairs),
        "high": _cells(high, pairs),
    }


def draws_for(a: Content, b: Content) -> int:
    """199 permutations, or 19, the fewest that a 95% quantile takes, where more would take minutes."""
    work = 2 * len(a.layers) * len(b.layers) * sum(pairs_of(n) for n in a.batch_sizes) * DRAWS
    return DRAWS if work <= MUCH_WORK else FEWEST


def _of_chance(
    a: Content, b: Content, pairs: Sequence[tuple[int, int]], matrix: Floats, rules: tuple[int, int]
) -> dict[str, list[Any]]:
    """rules: draws and their seed."""
    chance = chance_level(a, b, *rules)
    tau = [float(chance.best_level[i]) for i, _ in pairs]
    return {
        "chance": tau,
        "calibrated": [float(above(value, level)) for value, level in zip(_cells(matrix, pairs), tau, strict=True)],
        "p": [float(chance.best_p[i]) for i, _ in pairs],
    }


def _of_copies(
    a: Content,
    b: Content,
    sums: Sums,
    pairs: Sequence[tuple[int, int]],
    level: float,
    missing: dict[str, str],
) -> dict[str, list[Any]]:
    """The best match of each layer between untrained copies, and how far CKA lies above it."""
    without = [model for model in (a, b) if UNTRAINED not in model.beside]
    if without:
        missing["untrained"] = _why(without, UNTRAINED, NO_COPY)
        return {}
    one, other = a.beside[UNTRAINED], b.beside[UNTRAINED]
    copies = cka_sums(one, other)
    matrix = copies.cka()
    columns = [k for k, name in enumerate(other.layer_names) if name in b.layer_names]
    found: dict[str, list[Any]] = {
        name: [] for name in ("untrained", "untrained_match", "above_untrained_low", "above_untrained_high")
    }
    for i, j in pairs:
        name = a.layer_names[i]
        row = one.layer_names.index(name) if name in one.layer_names else None
        alive = [] if row is None else [k for k in columns if np.isfinite(matrix[row, k])]
        if row is None or not alive:
            values: tuple[Any, ...] = (math.nan, None, math.nan, math.nan)
        else:
            k = max(alive, key=lambda column: matrix[row, column])
            apart = difference(sums, (i, j), copies, (row, k), level)
            values = (float(matrix[row, k]), other.layer_names[k], apart.low, apart.high)
        for held, value in zip(found.values(), values, strict=True):
            held.append(value)
    return found


def _of_data(
    a: Content, b: Content, pairs: Sequence[tuple[int, int]], matrix: Floats, missing: dict[str, str]
) -> dict[str, list[Any]]:
    """CKA with inputs and labels, and the part of CKA that lies along them."""
    layers: dict[str, GramVectors] = {}
    if (inputs := a.beside.get(INPUT) or b.beside.get(INPUT)) is not None:
        layers["input"] = inputs
    else:
        missing["input"] = _why([a], INPUT, NO_INPUT)
    if a.labels is None:
        missing["labels"] = NO_LABELS
    elif len(np.unique(a.labels)) < 2:
        missing["labels"] = "all examples have the same label"
    else:
        layers["labels"] = label_layer(a.labels, a)
    if not layers:
        missing["along"] = "neither inputs nor labels are known"
        return {}
    of_a = np.stack([cka_sums(a, layer).cka()[:, 0] for layer in layers.values()], axis=1)
    of_b = np.stack([cka_sums(b, layer).cka()[:, 0] for layer in layers.values()], axis=1)
    between = np.array([[cka_sums(one, other).cka()[0, 0] for other in layers.values()] for one in layers.values()])
    columns: dict[str, list[Any]] = {}
    for place, name in enumerate(layers):
        columns[name] = [float(of_a[i, place]) for i, _ in pairs]
        columns[f"{name}_of_match"] = [float(of_b[j, place]) for _, j in pairs]
    columns["along_data"] = [along(of_a[i], of_b[j], between) for i, j in pairs]
    return columns


def along(x: npt.ArrayLike, y: npt.ArrayLike, between: npt.ArrayLike) -> float:
    """The part of the cosine of two unit vectors that lies in the span of some directions: <Px, Py>.

    Args:
        x: (k,) cosines of one vector with the k directions.
        y: (k,) of the other.
        between: (k, k) cosines of the directions with one another.

    Example:
        >>> along([0.6], [0.5], [[1.0]]), round(along([0.6, 0.6], [0.5, 0.5], [[1.0, 1.0], [1.0, 1.0]]), 6)
        (0.3, 0.3)
    """
    inverse = np.linalg.pinv(np.asarray(between, dtype=np.float64), rcond=_DEPENDENT, hermitian=True)
    return float(np.asarray(x) @ inverse @ np.asarray(y))


def _of_components(a: Components, b: Components, pairs: Sequence[tuple[int, int]]) -> dict[str, list[Any]]:
    return {
        "first_component_share": [float(a.share[i]) for i, _ in pairs],
        "first_component_share_of_match": [float(b.share[j]) for _, j in pairs],
        "dimension": [float(a.participation_ratio[i]) for i, _ in pairs],
        "dimension_of_match": [float(b.participation_ratio[j]) for _, j in pairs],
    }


def _dominant(
    models: tuple[Content, Content],
    found: tuple[Components, Components],
    blocks: tuple[range | None, range | None],
    fraction: float,
) -> list[int]:
    """Positions of the most dominant examples of either model, most dominant of the first before the second's."""
    gone: dict[int, None] = {}
    for model, its, block in zip(models, found, blocks, strict=True):
        span = range(its.share.size) if block is None else block
        order = ranking(dominance(its, model.positions, model.n_examples)[span.start : span.stop])
        gone |= dict.fromkeys(map(int, order[: how_many(fraction, model.n_examples)]))
    return list(gone)


def _without(
    a: Content, b: Content, gone: Sequence[int], pairs: Sequence[tuple[int, int]], missing: dict[str, str]
) -> dict[str, list[Any]]:
    left = [int((~np.isin(chosen, gone)).sum()) for chosen in a.positions]
    if max(left) < MIN_EXAMPLES:
        missing["w/o dom."] = f"without {len(gone)} examples no minibatch keeps the {MIN_EXAMPLES} that CKA needs"
        return {}
    return {"without_dominant": _cells(cka_without_examples(a, gone, b).cka(), pairs)}


def _of_second_measure(
    a: Content, b: Content, pairs: Sequence[tuple[int, int]], asked: Asked, missing: dict[str, str]
) -> dict[str, list[Any]]:
    chosen = measure_of(asked.measure, {})
    if reason := min((chosen.too_small(n) for n in a.batch_sizes), key=len):
        missing["second"] = f"{asked.measure}: {reason}"
        return {}
    measured = measured_pairs(a, b, pairs, asked.measure, seed=asked.seed, level=asked.level)
    return {
        "second": measured.value.tolist(),
        "second_low": measured.low.tolist(),
        "second_high": measured.high.tolist(),
        "second_chance": measured.chance.tolist(),
    }


def _shown(model: Content) -> dict[str, str]:
    told = zip(model.layer_names, model.shown_layers, strict=True)
    return {name: layer.name for name, layer in told if layer.name != name}


def _of_second_measure_untrained(
    a: Content, b: Content, columns: dict[str, list[Any]], asked: Asked
) -> dict[str, list[Any]]:
    """The second measure of the layers of the untrained copies whose CKA stands beside."""
    if "untrained_match" not in columns or "second" not in columns:
        return {}
    one, other = a.beside[UNTRAINED], b.beside[UNTRAINED]
    values = np.full(len(columns["second"]), np.nan)
    known = [place for place, match in enumerate(columns["untrained_match"]) if match is not None]
    layers = [columns["layer"][place] for place in known]
    matches = [columns["untrained_match"][place] for place in known]
    places = [
        (one.layer_names.index(layer), other.layer_names.index(match))
        for layer, match in zip(layers, matches, strict=True)
    ]
    if places:
        values[known] = measured_pairs(one, other, places, asked.measure, draws=0).value
    return {"second_untrained": values.tolist()}


def _why(models: Sequence[Content], what: str, otherwise: str) -> str:
    told = [model.options["levels"][what] for model in models if what in model.options.get("levels", {})]
    return str(told[0]) if told else otherwise


def _notes(a: Content, b: Content) -> list[str]:
    notes = []
    for model in (a, b):
        copy = model.beside.get(UNTRAINED)
        if copy is not None and copy.problems:
            layer, reason = next(iter(copy.problems.items()))
            more = f" ({len(copy.problems) - 1} more)" if len(copy.problems) > 1 else ""
            notes.append(f"layer {for_terminal(layer)} of {for_terminal(copy.name)}{more} has no similarity: {reason}")
    if sum(number == min(a.passes) for number in a.passes) < MIN_MINIBATCHES:
        notes.append(
            f"fewer than {MIN_MINIBATCHES} minibatches: no intervals, so that differences are not judged; give more "
            "examples or smaller minibatches"
        )
    copies = UNTRAINED in a.beside and UNTRAINED in b.beside
    others = ", and other first weights of the copies other levels" if copies else ""
    return [*notes, f"another training run would give other numbers{others}"]
