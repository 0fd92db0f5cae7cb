"""`cka-plugin export`: what was saved, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cka_plugin.cli.app import app
from cka_plugin.cli.messages import say


@app.command()
def export(
    files: Annotated[list[Path], typer.Argument(help="saved representations or comparisons of the same examples")],
    output: Annotated[Path, typer.Option("-o", "--output", help="a new folder, or an empty one")],
    format: Annotated[
        str, typer.Option(help="arrays (for netrep, rsatoolbox and ReSi) or model-explorer (node data)")
    ] = "arrays",
) -> None:
    """Write what netrep, rsatoolbox, ReSi or Google's Model Explorer read."""
    import cka_plugin

    written = cka_plugin.compare(*map(str, files), progress=False).export(output, format)
    size = sum(path.stat().st_size for path in written)
    how = f"; {output / 'README.md'} says how to read them" if format == "arrays" else ""
    say(f"{len(written)} files ({size / 2**20:.1f} MiB) written to {output}{how}")
