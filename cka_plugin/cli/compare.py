"""`cka-plugin compare` and `demo`: models side by side."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from cka_plugin.cli.app import JsonOption, app, check_writable
from cka_plugin.cli.options import command
from cka_plugin.core import MIN_EXAMPLES

PlotOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plot",
        metavar="FILE | KIND | KIND=FILE",
        help="draw the heatmap of every pair, or a kind of picture as comparison.plot does; may be given again",
    ),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", help="write one HTML page: verdicts, pictures, tables, examples")
]
HideOption = Annotated[bool, typer.Option("--hide-examples", help="the page names examples by their ids alone")]
DetailsOption = Annotated[
    bool, typer.Option("--details", help="chance and placed examples of every pair in the page, also of many models")
]
BlocksOption = Annotated[bool, typer.Option("--blocks", help="look for the block structure in each model")]
ErrorsOption = Annotated[bool, typer.Option("--errors", help="compare mistakes: the first model and each other")]
ExamplesOption = Annotated[
    bool, typer.Option("--examples", help="the examples that the first model and each other place most differently")
]
MappingOption = Annotated[
    str | None,
    typer.Option(
        "--mapping",
        help="how heads' classes correspond to the labels: names, or a JSON file {model: {class of its head: class}}",
    ),
]
MeasureOption = Annotated[
    str | None,
    typer.Option("--measure", help="cka, mutual_knn, rsa or bures (slow); with --levels the second measure"),
]
RestrictOption = Annotated[
    bool, typer.Option("--restrict", help="choose among the mapped classes only; else any other counts as wrong")
]


@command("compare")
def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="names, local Hugging Face folders, python:package.module:function, or saved files"),
    ],
    data: Annotated[str | None, typer.Option("--data", help="as for represent; not needed for saved models")] = None,
    save: Annotated[Path | None, typer.Option(help="write the comparison to this .safetensors file")] = None,
    plot: PlotOption = None,
    report: ReportOption = None,
    hide_examples: HideOption = False,
    details: DetailsOption = False,
    blocks: BlocksOption = False,
    errors: ErrorsOption = False,
    examples: ExamplesOption = False,
    mapping: MappingOption = None,
    restrict: RestrictOption = False,
    measure: MeasureOption = None,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Compare models layer by layer on the same data."""
    import cka_plugin
    from cka_plugin.cli.pictures import read_pictures
    from cka_plugin.cli.present import Page, View, check_measure, present, read_mapping
    from cka_plugin.engine.ranks import world

    for path in (save, report):
        check_writable(path)
    pictures = read_pictures(plot)
    mapped, by, levels = read_mapping(mapping), check_measure(measure), options["levels"]
    page = Page(report, data, not hide_examples, details or None)
    view = View(pictures, blocks, errors, mapped, restrict, as_json, examples, levels, None, by, page)
    if levels:
        _check_levels(models, options)
    if errors:
        _check_errors(models, data, options)
    comparison = cka_plugin.compare(*models, data=data, **options)
    if world()[0] != 0:  # under torchrun every rank has the result, and the first writes it
        return
    if save is not None:
        comparison.save(save)
    present(comparison, view)


def _check_levels(models: list[str], options: dict[str, Any]) -> None:
    """Raise, before any model runs, where there is one model."""
    from cka_plugin.models.names import named

    if len(named(models, options["part"])) < 2:
        raise ValueError(f"--levels holds two or more models against one another; given {models[0]} alone")


def _check_errors(models: list[str], data: str | None, options: dict[str, Any]) -> None:
    """Raise, before any model runs, where there is nothing to judge predictions by."""
    from cka_plugin.data import ReadOptions, open_data
    from cka_plugin.models.names import named
    from cka_plugin.representation import Representation

    given = named(models, options["part"])
    if len(given) < 2:
        raise ValueError(f"--errors compares the mistakes of two or more models; given {models[0]} alone")
    without = [name for name, model in given if isinstance(model, Representation) and model.labels is None]
    if without:
        raise ValueError(f"--errors needs labels: {without[0]} was made of data without them")
    if any(not isinstance(model, Representation) for _, model in given):
        source = open_data(data, options["labels"])
        with contextlib.closing(source.batches(ReadOptions(max_examples=MIN_EXAMPLES))) as batches:  # type: ignore[type-var]
            if next(batches).labels is None:
                raise ValueError(f"--errors needs labels: give --labels, or data that have them; {data} has none")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="the folder for the page and the pictures")] = Path("cka-plugin-demo"),
    which: Annotated[str, typer.Option("--sample", help="crops (of photographs) or digits")] = "crops",
    open_page: Annotated[bool, typer.Option("--open", help="open the page in the browser")] = False,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar")] = False,
) -> None:
    """Compare the trained residual networks and Transformer that come with the package; needs no network."""
    from cka_plugin.cli.demo import run

    run(out, which, as_json=as_json, progress=not quiet, open_page=open_page)
