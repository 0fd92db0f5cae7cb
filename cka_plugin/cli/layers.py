"""`cka-plugin layers`: the layers of a model under their common names, and the names of models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cka_plugin.adapters import Layer
from cka_plugin.cli.app import JsonOption, print_json
from cka_plugin.cli.messages import say
from cka_plugin.cli.options import command


@command("layers")
def layers(
    model: Annotated[
        str | None,
        typer.Argument(
            help="a name, a local Hugging Face folder, python:package.module:function, or a saved representation"
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="run one minibatch of these data too: what fires, and where the examples' rows lie"),
    ] = None,
    listing: Annotated[str | None, typer.Option("--list", help="list the model names that match a pattern")] = None,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """The layers of a model under their common names, or the names of models."""
    from cka_plugin.adapters import registry as adapters

    if (model is None) == (listing is None):
        raise ValueError("give either a model or --list PATTERN, such as --list 'resnet*'")
    if model is None:
        held = adapters.names_fitting(listing or "*")
        if as_json:
            print_json(held)
        elif not held:
            raise ValueError(f"no model name matches {listing!r}")
        for framework, matching in ({} if as_json else held).items():
            for name in matching:
                say(name if ":" in name else f"{framework}:{name}")  # transformers' types have their prefix
        return
    found, rows, module = listed(model, data, options)
    if as_json:
        print_json([vars(layer) | ({} if rows is None else {"rows": rows[layer.name]}) for layer in found])
        return
    from cka_plugin.cli.console import show_layers

    show_layers(found, described(model, module, options), rows)


Listed = tuple[list[Layer], dict[str, str] | None, Any]


def listed(model: str, data: str | None, options: dict[str, Any]) -> Listed:
    """The layers of a model; where it has run, which rows of each are an example's; and it, where it was built."""
    import cka_plugin
    from cka_plugin.models.layers import layers_and_module
    from cka_plugin.models.names import is_saved
    from cka_plugin.options import Options

    if data is None and not is_saved(model):
        found, module = layers_and_module(model, Options(**options), {})
        return found, None, module
    if is_saved(model):
        made = cka_plugin.load(model)
    else:  # which rows are whose does not depend on what has been learned
        once: dict[str, Any] = {"max_examples": 64, "pretrained": False, "progress": False}
        made = cka_plugin.represent(model, data, **once, **options)
    if not isinstance(made, cka_plugin.Representation):
        return cka_plugin.layers(model, **options), None, None
    told = made.options.get("rows", {})
    return made.layers, {layer.name: told.get(layer.name, "axis 0") for layer in made.layers}, None


def described(model: str, module: Any, options: dict[str, Any]) -> str:
    """How the layers of a model were found, for people; it is built where it is not at hand."""
    from cka_plugin.adapters import registry as adapters
    from cka_plugin.models.building import architecture
    from cka_plugin.models.names import is_saved

    if is_saved(model):
        return "as saved"
    if module is None:
        module = architecture(model, **(options["model_kwargs"] or {}))
    return adapters.adapter_of(module).describe(adapters.unwrap(module)[0])
