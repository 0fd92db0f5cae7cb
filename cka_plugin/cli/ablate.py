"""`cka-plugin ablate`: accuracy after each residual block is replaced by its shortcut."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cka_plugin.cli.app import DataOption, JsonOption, ModelArgument, print_json
from cka_plugin.cli.compare import MappingOption
from cka_plugin.cli.messages import say
from cka_plugin.cli.options import command


@command("ablate")
def ablate(
    model: ModelArgument,
    data: DataOption,
    by_name: Annotated[bool, typer.Option("--match-names", help="short for --mapping names")] = False,
    mapping: MappingOption = None,
    level: Annotated[float, typer.Option(help="of the intervals")] = 0.95,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Replace each residual block by its shortcut, one at a time, and say what accuracy is left."""
    import cka_plugin
    from cka_plugin.cli.present import read_mapping

    classes = "names" if by_name else read_mapping(mapping)
    found = cka_plugin.ablate(model, data, mapping=classes, level=level, **options)
    if as_json:
        print_json(found.to_dict())
    else:
        say(found)
