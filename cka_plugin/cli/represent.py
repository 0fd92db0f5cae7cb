"""`cka-plugin represent` and `merge`: run one model and keep what comparisons need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cka_plugin.cli.app import DataOption, JsonOption, ModelArgument, app, check_writable
from cka_plugin.cli.messages import say
from cka_plugin.cli.options import command
from cka_plugin.options import help_of


@command("represent")
def represent(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="the .safetensors file to write")],
    name: Annotated[str | None, typer.Option(help="the model's name in comparisons")] = None,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Run one model over data and save what comparisons need."""
    import cka_plugin
    from cka_plugin.cli.present import present_representation
    from cka_plugin.engine.ranks import world

    check_writable(output)
    representation = cka_plugin.represent(model, data, name=name, **options)
    if world()[0] != 0:  # under torchrun every rank has the result, and the first writes it
        return
    representation.save(output)
    if as_json:
        present_representation(representation, as_json, path=str(output), bytes=output.stat().st_size)
    else:
        say(f"{representation!r} written to {output} ({output.stat().st_size / 1e6:.1f} MB)")


@app.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(help="all N files written with --shard I/N")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the .safetensors file to write")],
    max_memory: Annotated[str, typer.Option(help=help_of("max_memory"))] = "auto",
) -> None:
    """Put the shards of one run together."""
    from cka_plugin.representation import Representation

    check_writable(output)
    merged = Representation.merge(parts, max_memory)
    merged.save(output)
    say(f"{merged!r} written to {output}")
