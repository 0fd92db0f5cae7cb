"""What a person reads in a terminal: small tables, and numbers in a fixed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cka_plugin.adapters.base import Layer
from cka_plugin.cli.messages import say
from cka_plugin.comparison import Comparison
from cka_plugin.core import MIN_MINIBATCHES
from cka_plugin.wording import for_terminal, interval, number


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


def show_layers(layers: Sequence[Layer], described: str) -> None:
    """The layers of one model."""
    show_table(
        ["layer", "kind", "depth", "path"],
        [(layer.name, layer.kind, number(layer.depth, 2), layer.path) for layer in layers],
        right=(2,),
    )
    say(f"{len(layers)} layers, {described}")


def show_correspondence(comparison: Comparison, a: str, b: str) -> None:
    """For each layer of one model, the most similar layer of another, its CKA and interval; `=` marks ties."""
    found = comparison.correspondence(a, b)
    shown = {layer.name: shown_name(layer) for layer in comparison.layers(b)}
    rows = []
    for layer, match in zip(comparison.layers(a), found.matches, strict=True):
        best = "-" if match.match is None else shown[match.match] + (" =" if match.tied else "")
        rows.append(
            (
                shown_name(layer),
                number(match.depth, 2),
                best,
                number(match.match_depth, 2),
                number(match.cka),
                interval(match.low, match.high),
            )
        )
    show_table(
        [f"layer of {a}", "depth", f"most similar of {b}", "depth", "CKA", "95% interval"],
        rows,
        title=f"{a} and {b}",
        right=(1, 3, 4),
    )
    if any(match.tied for match in found.matches):
        say(f"=: a tie: these examples do not tell it from the second most similar layer of {b}")


def show_comparison(comparison: Comparison) -> None:
    """A comparison: the first model with each other one, and all models with each other where there are several."""
    first, *others = comparison.names
    for other in others or [first]:
        show_correspondence(comparison, first, other)
    if len(others) > 1:
        table = comparison.models()
        show_table(
            ["mean CKA at equal depth", *comparison.names],
            [(name, *(number(value, 2) for value in row)) for name, row in zip(comparison.names, table, strict=True)],
            right=range(1, len(comparison.names) + 1),
        )
    rep = comparison[first]
    sizes = (
        f"{rep.batch_sizes[0]}"
        if len(set(rep.batch_sizes)) == 1
        else f"{rep.batch_sizes[0]} (the last {rep.batch_sizes[-1]})"
    )
    print(
        f"{rep.n_examples:,} examples in {len(rep.minibatches)} minibatches of {sizes}, {comparison.estimator} "
        "estimator."
    )
    if sum(number == 0 for number in rep.passes) < MIN_MINIBATCHES:
        print(f"Intervals need at least {MIN_MINIBATCHES} minibatches: give more examples or a smaller --batch-size.")
