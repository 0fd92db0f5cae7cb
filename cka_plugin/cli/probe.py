"""`cka-plugin probe`: linear-probe accuracy layer by layer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cka_plugin.cli.app import DataOption, JsonOption, ModelArgument, print_json
from cka_plugin.cli.messages import say
from cka_plugin.cli.options import command


@command("probe")
def probe(
    model: ModelArgument,
    data: DataOption,
    folds: Annotated[int, typer.Option(help="of the cross-validation, stratified by class")] = 5,
    regularisation: Annotated[float, typer.Option(help="C of scikit-learn's logistic regression")] = 1.0,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Read the classes off each layer by a linear classifier, cross-validated; needs scikit-learn."""
    import cka_plugin

    found = cka_plugin.probe(model, data, folds=folds, regularisation=regularisation, **options)
    if as_json:
        print_json(found.to_dict())
    else:
        say(found)
