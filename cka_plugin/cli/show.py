"""`cka-plugin show`: what a saved file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cka_plugin.cli.app import JsonOption, app, check_writable
from cka_plugin.cli.compare import (
    BlocksOption,
    DetailsOption,
    ErrorsOption,
    ExamplesOption,
    HideOption,
    MappingOption,
    MeasureOption,
    PlotOption,
    ReportOption,
    RestrictOption,
)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="a saved comparison, representation or baseline")],
    plot: PlotOption = None,
    report: ReportOption = None,
    hide_examples: HideOption = False,
    details: DetailsOption = False,
    blocks: BlocksOption = False,
    errors: ErrorsOption = False,
    examples: ExamplesOption = False,
    mapping: MappingOption = None,
    restrict: RestrictOption = False,
    levels: Annotated[
        bool, typer.Option("--levels", help="hold similarity against untrained copies, inputs, labels and chance")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="what it was made on, read again: for --levels of a file without inputs, and for examples of --report"
        ),
    ] = None,
    measure: MeasureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a saved comparison as `compare` did, or what a saved representation is of."""
    import cka_plugin
    from cka_plugin.cli.pictures import read_pictures
    from cka_plugin.cli.present import Page, View, check_measure, present, present_representation, read_mapping
    from cka_plugin.representation import Representation

    check_writable(report)
    pictures = read_pictures(plot)
    found = cka_plugin.load(file)
    if isinstance(found, Representation):
        if not plot and report is None and not (blocks or errors or examples or levels or measure):
            present_representation(found, as_json)
            return
        found = cka_plugin.Comparison([found], found.options.get("estimator", "unbiased"))
    mapped, by = read_mapping(mapping), check_measure(measure)
    page = Page(report, data, not hide_examples, details or None)
    present(found, View(pictures, blocks, errors, mapped, restrict, as_json, examples, levels, data, by, page))
