"""`cka-plugin errors`: the mistakes of two models from files of predictions of any origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cka_plugin.cli.app import JsonOption, app, print_json
from cka_plugin.cli.compare import MappingOption, RestrictOption
from cka_plugin.cli.messages import say


@app.command()
def errors(
    predictions_a: Annotated[Path, typer.Argument(help="predictions of one model: a .csv, .npz or .jsonl file")],
    predictions_b: Annotated[Path, typer.Argument(help="predictions of the other")],
    labels: Annotated[Path | None, typer.Option(help="a file that holds the labels, where the others do not")] = None,
    correction: Annotated[str, typer.Option(help="benjamini-hochberg, holm or none")] = "benjamini-hochberg",
    class_names: Annotated[Path | None, typer.Option(help="a text file with the name of a class on each line")] = None,
    by_name: Annotated[bool, typer.Option("--match-names", help="short for --mapping names")] = False,
    mapping: MappingOption = None,
    restrict: RestrictOption = False,
    level: Annotated[float, typer.Option(help="of the intervals")] = 0.95,
    alpha: Annotated[float, typer.Option(help="a class is flagged where its corrected p is at most this")] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Compare the mistakes of two models class by class and example by example; differences are A - B.

    Columns of a .csv, keys of each line of a .jsonl, arrays of an .npz: `prediction` (a class, with `confidence` if
    there is one), or scores: `logits` or `probabilities`, in a .csv a column `logit_CLASS` or `prob_CLASS` for each
    class; and, where they are known, `label` and `id`. By id the examples of both files are matched.
    """
    from cka_plugin.cli.present import read_mapping
    from cka_plugin.compare_files import compare_prediction_files

    names = None if class_names is None else class_names.read_text(encoding="utf-8").splitlines()
    found = compare_prediction_files(
        predictions_a,
        predictions_b,
        labels,
        names,
        mapping="names" if by_name else read_mapping(mapping),
        restrict=restrict,
        correction=correction,
        level=level,
        alpha=alpha,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        say(found)
