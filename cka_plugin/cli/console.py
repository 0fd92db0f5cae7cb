"""What a person reads in a terminal: small tables, and numbers in a fixed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.cli.messages import say
from cka_plugin.core import MIN_MINIBATCHES
from cka_plugin.wording import for_terminal, interval, listed, number

if TYPE_CHECKING:
    from cka_plugin.analysis.levels.result import Levels
    from cka_plugin.cli.measured import Measured
    from cka_plugin.comparison import Comparison
    from cka_plugin.representation import Representation

_MOST_ALIKE = 20  # pairs that are shown of very many models
MARKS = {"tied": " =", "inconclusive": " ?"}  # behind a best match


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None, right: Sequence[int] = ()
) -> None:
    """Print a table; columns whose position is in `right` are set flush right. Names in it are text, never markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def text(cell: Any) -> Text:
        return Text(for_terminal(cell))

    table = Table(
        title=None if title is None else text(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for position, column in enumerate(columns):
        # In a narrow terminal names are folded; numbers never are.
        numeric = position in right or "interval" in column
        table.add_column(
            text(column),
            justify="right" if position in right else "left",
            no_wrap=numeric,
            overflow="fold",
            min_width=5,
        )
    for row in rows:
        table.add_row(*map(text, row))
    console = Console()
    if not console.is_terminal:  # a pipe has no width
        console = Console(width=max(Console(width=10_000).measure(table).maximum, 20))
    console.print(table)


def shown_name(layer: Layer) -> str:
    """A layer's common name, with its own path where that differs."""
    return layer.name if layer.path == layer.name else f"{layer.name} ({layer.path})"


def show_layers(layers: Sequence[Layer], described: str, rows: Mapping[str, str] | None = None) -> None:
    """The layers of one model, and where it has run the axes that hold the examples."""
    show_table(
        ["layer", "kind", "depth", "path", *([] if rows is None else ["examples"])],
        [
            (layer.name, layer.kind, number(layer.depth, 2), layer.path, *([] if rows is None else [rows[layer.name]]))
            for layer in layers
        ],
        right=(2,),
    )
    say(f"{len(layers)} layers, {described}")


def show_correspondence(comparison: Comparison, a: str, b: str) -> None:
    """For each layer of one model the most similar one of another, CKA and interval; `=`: ties, `?`: not known."""
    found = comparison.correspondence(a, b)
    shown = shown_names(comparison[b])
    sketched = comparison[a].projection is not None
    rows = []
    for layer, match in zip(comparison[a].shown_layers, found.matches, strict=True):
        best = "-" if match.match is None else shown[match.match] + MARKS.get(match.verdict, "")
        rows.append(
            (
                shown_name(layer),
                number(match.depth, 2),
                best,
                number(match.match_depth, 2),
                number(match.cka),
                *([f"{match.sketch_error:.4f}"] if sketched else []),
                interval(match.low, match.high),
            )
        )
    header = [f"layer of {a}", "depth", f"most similar of {b}", "depth", "CKA", "95% interval"]
    header[5:5] = ["s.e. of sketch"] * sketched
    show_table(
        header,
        rows,
        title=f"{a} and {b}",
        right=(1, 3, 4, *[5] * sketched),
    )
    if any(match.verdict == "tied" for match in found.matches):
        say(f"=: a tie: these examples do not tell it from the second most similar layer of {b}")
    for sentence in found.inconclusive:
        say(f"?: inconclusive. {sentence}")


def show_measure(comparison: Comparison, found: Measured) -> None:
    """For each layer of one model the most similar layer of another by a measure, and what it reaches by chance."""
    from cka_plugin.analysis.levels.result import wrapped
    from cka_plugin.analysis.measures.registry import dependence_of

    a, b = found.best.names
    shown = shown_names(comparison[a]), shown_names(comparison[b])
    rows = [
        (
            shown[0][row.layer],
            "-" if row.match is None else shown[1][row.match],
            number(row.cka),
            "-" if row.match is None else interval(*found.interval_of(row.layer, row.match)),
            number(row.chance),
        )
        for row in found.best.matches
    ]
    header = [f"layer of {a}", f"most similar of {b}", found.measure, "95% interval", "chance"]
    show_table(header, rows, title=f"{a} and {b}", right=(2, 4))
    for line in wrapped(
        f"chance: what the best of as many unrelated layers reaches in 1 draw of 20 (of {found.best.chance.draws}). "
        f"{found.measure}: {dependence_of(found.measure)}; here n = {comparison[a].batch_sizes[0]}."
    ):
        say(line)


def shown_names(model: Representation) -> dict[str, str]:
    """What tables say for each layer of a model, by its common name."""
    return {layer.name: shown_name(told) for layer, told in zip(model.layers, model.shown_layers, strict=True)}


def show_comparison(
    comparison: Comparison, levels: Sequence[Levels] | None = None, measured: Sequence[Measured] | None = None
) -> None:
    """A comparison: the first model with each other one, and all models with each other where there are several.

    Args:
        comparison: it.
        levels: shown in place of the correspondence of layers, where they were asked for.
        measured: likewise, by another measure than CKA.
    """
    first, *others = comparison.names
    from cka_plugin.comparison import ATLAS_FROM

    if len(comparison.names) > ATLAS_FROM and not (levels or measured):
        _show_atlas(comparison)
        return
    for found in levels or []:
        say(found)
        print()
    for by_measure in measured or []:
        show_measure(comparison, by_measure)
    for other in (others or [first]) if levels is None and measured is None else []:
        show_correspondence(comparison, first, other)
    if len(others) > 1:
        table = comparison.models()
        show_table(
            ["mean CKA at equal depth", *comparison.names],
            [(name, *(number(value, 2) for value in row)) for name, row in zip(comparison.names, table, strict=True)],
            right=range(1, len(comparison.names) + 1),
        )
    print(f"{sizes(comparison[first])}, {comparison.estimator} estimator.")
    if comparison.sketched:
        print(f"CKA comes of {comparison.sketched}.")
    show_preparations([comparison[name] for name in comparison.names])
    if sum(number == 0 for number in comparison[first].passes) < MIN_MINIBATCHES:
        print(f"Intervals need at least {MIN_MINIBATCHES} minibatches: give more examples or a smaller --batch-size.")


def _show_atlas(comparison: Comparison) -> None:
    """Very many models: those most alike, and the families; pairs are asked for one by one."""
    names, table = comparison.names, comparison.models()
    rows, columns = np.triu_indices(len(names), 1)
    values = table[rows, columns]
    known = np.flatnonzero(np.isfinite(values))
    most = known[np.argsort(-values[known], kind="stable")][:_MOST_ALIKE]
    show_table(
        ["most alike", "and", "mean CKA at equal depth"],
        [(names[rows[place]], names[columns[place]], number(values[place])) for place in most],
        right=(2,),
    )
    try:
        say(comparison.families())
    except ValueError as error:
        say(f"No families: {error}.")
    print(f"{len(names):,} models; {sizes(comparison[names[0]])}, {comparison.estimator} estimator.")
    print("Of a pair: compare its two files. The page (--report) has all models.")


def show_representation(representation: Representation) -> None:
    """What a representation is of: its layers, examples, options, and which layers have no similarity."""
    show_layers(representation.layers, "as saved")
    print(f"{for_terminal(representation.name)}: {sizes(representation)}.")
    if representation.accuracy is not None:
        print(f"Accuracy {representation.accuracy:.1%}.")
    for layer, reason in representation.problems.items():
        print(for_terminal(f"Layer {layer} has no similarity: {reason}."))
    show_preparations([representation])
    told = {key: value for key, value in representation.options.items() if key not in ("preparation", "baseline")}
    print(for_terminal("Options: " + ", ".join(f"{key} {value}" for key, value in told.items() if value is not None)))


def sizes(representation: Representation) -> str:
    """How many examples, in how many minibatches of which size."""
    first, last = representation.batch_sizes[0], representation.batch_sizes[-1]
    each = f"{first}" if len(set(representation.batch_sizes)) == 1 else f"{first} (the last {last})"
    count = len(representation.batch_sizes)
    return f"{representation.n_examples:,} examples in {count} minibatch{'es' * (count != 1)} of {each}"


def show_preparations(models: Sequence[Representation]) -> None:
    """How each model's examples were prepared, those prepared alike on one line."""
    alike: dict[str, list[str]] = {}
    for model in models:
        if model.options.get("preparation"):
            alike.setdefault(str(model.options["preparation"]), []).append(model.name)
    for preparation, names in alike.items():
        print(for_terminal(f"Prepared for {listed(names)}: {preparation}."))
