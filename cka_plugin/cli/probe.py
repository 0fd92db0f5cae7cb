"""`cka-plugin probe`: linear-probe accuracy layer by layer."""

from __future__ import annotations

from typing import Annotated

import typer

from cka_plugin.cli.app import (
    BatchSizeOption,
    CheckpointOption,
    DataOption,
    DeviceOption,
    GranularityOption,
    JsonOption,
    LabelsOption,
    MaxExamplesOption,
    OnErrorOption,
    PrecisionOption,
    QuietOption,
    SeedOption,
    UntrainedOption,
    app,
    print_json,
)


@app.command()
def probe(
    model: Annotated[str, typer.Argument(help="a name, or a local Hugging Face folder")],
    data: DataOption,
    labels: LabelsOption = None,
    granularity: GranularityOption = "block",
    pooling: Annotated[str, typer.Option(help="mean, flatten, max, cls, last or auto")] = "mean",
    folds: Annotated[int, typer.Option(help="of the cross-validation, stratified by class")] = 5,
    batch_size: BatchSizeOption = None,
    max_examples: MaxExamplesOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    untrained: UntrainedOption = False,
    checkpoint: CheckpointOption = None,
    on_error: OnErrorOption = "raise",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read the classes off each layer by a linear classifier, cross-validated; needs scikit-learn."""
    import cka_plugin

    found = cka_plugin.probe(
        model,
        data,
        labels,
        granularity=granularity,
        pooling=pooling,
        folds=folds,
        batch_size=batch_size,
        max_examples=max_examples,
        device=device,
        precision=precision,
        pretrained=not untrained,
        checkpoint=checkpoint,
        on_error=on_error,
        seed=seed,
        progress=not quiet,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        print(found)
