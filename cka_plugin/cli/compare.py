"""`cka-plugin compare` and `demo`: models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cka_plugin.cli.app import JsonOption, app, check_writable, print_json
from cka_plugin.cli.messages import say
from cka_plugin.cli.options import command


@command("compare")
def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="names, local Hugging Face folders, saved representations, python:package.module:function"),
    ],
    data: Annotated[str | None, typer.Option("--data", help="as for represent; not needed for saved models")] = None,
    save: Annotated[Path | None, typer.Option(help="write the comparison to this .safetensors file")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw the heatmap of every pair into this picture")] = None,
    blocks: Annotated[bool, typer.Option("--blocks", help="look for the block structure in each model")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="compare mistakes: the first model and each other")] = False,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Compare models layer by layer on the same data."""
    import cka_plugin
    from cka_plugin.engine.ranks import world

    for path in (save, plot):
        check_writable(path)
    if errors and len(models) < 2:
        raise ValueError(f"--errors compares the mistakes of two or more models; given {models[0]} alone")
    comparison = cka_plugin.compare(*models, data=data, **options)
    if world()[0] != 0:  # under torchrun every rank has the result, and the first writes it
        return
    if save is not None:
        comparison.save(save)
    if plot is not None:
        comparison.plot().savefig(plot)
    first, *others = comparison.names
    structures = {name: comparison.block_structure(name) for name in comparison.names} if blocks else {}
    mistakes = {name: comparison.errors(first, name) for name in others} if errors else {}
    if as_json:
        result = comparison.to_dict()
        if blocks:
            result["block_structure"] = {name: structure.to_dict() for name, structure in structures.items()}
        if errors:
            result["errors"] = [found.to_dict() for found in mistakes.values()]
        print_json(result)
        return
    from cka_plugin.cli.console import show_comparison

    show_comparison(comparison)
    for name, structure in structures.items():
        say(f"\n{name}. {structure!r}")
    for found in mistakes.values():
        say(f"\n{found}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="the folder for the pictures")] = Path("cka-plugin-demo"),
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar")] = False,
) -> None:
    """Compare the trained CNNs and Transformer that come with the package; needs no network."""
    from cka_plugin.cli.demo import run

    run(out, as_json=as_json, progress=not quiet)
