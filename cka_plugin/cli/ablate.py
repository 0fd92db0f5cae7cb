"""`cka-plugin ablate`: accuracy after each residual block is replaced by its shortcut."""

from __future__ import annotations

from typing import Annotated

import typer

from cka_plugin.cli.app import (
    BatchSizeOption,
    CheckpointOption,
    DataOption,
    DeviceOption,
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
def ablate(
    model: Annotated[str, typer.Argument(help="a name, or a local Hugging Face folder")],
    data: DataOption,
    labels: LabelsOption = None,
    by_name: Annotated[bool, typer.Option("--match-names", help="match the head's classes by name")] = False,
    level: Annotated[float, typer.Option(help="of the intervals")] = 0.95,
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
    """Replace each residual block by its shortcut, one at a time, and say what accuracy is left."""
    import cka_plugin

    found = cka_plugin.ablate(
        model,
        data,
        labels,
        mapping="names" if by_name else None,
        level=level,
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
