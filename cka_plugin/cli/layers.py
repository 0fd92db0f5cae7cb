"""`cka-plugin layers`: the layers of a model under their common names, and the names of models."""

from __future__ import annotations

from typing import Annotated

import typer

from cka_plugin.cli.app import JsonOption, app, print_json
from cka_plugin.cli.messages import say
from cka_plugin.options import help_of


@app.command()
def layers(
    model: Annotated[
        str | None, typer.Argument(help="a name, a local Hugging Face folder, or a saved representation")
    ] = None,
    granularity: Annotated[str, typer.Option(help=help_of("granularity"))] = "block",
    listing: Annotated[str | None, typer.Option("--list", help="list the model names that match a pattern")] = None,
    as_json: JsonOption = False,
) -> None:
    """The layers of a model under their common names, or the names of models."""
    import cka_plugin
    from cka_plugin.adapters import registry as adapters

    if (model is None) == (listing is None):
        raise ValueError("give either a model or --list PATTERN, such as --list 'resnet*'")
    if model is None:
        names = {a.name: a.list_names(listing or "*") for a in adapters.adapters()}
        held = {name: found for name, found in names.items() if found}
        if as_json:
            print_json(held)
        elif not held:
            raise ValueError(f"no model name matches {listing!r}")
        for framework, matching in ({} if as_json else held).items():
            for name in matching:
                say(name if ":" in name else f"{framework}:{name}")  # transformers' types have their prefix
        return
    found = cka_plugin.layers(model, granularity)
    if as_json:
        print_json([vars(layer) for layer in found])
        return
    from cka_plugin.cli.console import show_layers

    show_layers(found, described(model))


def described(model: str) -> str:
    """How the layers of a model were found, for people."""
    from cka_plugin.adapters import registry as adapters
    from cka_plugin.models.layers import architecture
    from cka_plugin.models.names import is_saved

    if is_saved(model):
        return "as saved"
    module = architecture(model)
    return adapters.adapter_of(module).describe(adapters.unwrap(module)[0])
