"""`cka-plugin represent` and `merge`: run one model and keep what comparisons need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cka_plugin.cli.app import (
    BandwidthOption,
    BatchSizeOption,
    CheckpointDirOption,
    CheckpointOption,
    DataOption,
    DeviceOption,
    GranularityOption,
    JsonOption,
    KernelOption,
    LabelsOption,
    MaxExamplesOption,
    MemoryOption,
    OnErrorOption,
    PassesOption,
    PoolingOption,
    PrecisionOption,
    QuietOption,
    SeedOption,
    UntrainedOption,
    app,
    check_writable,
    parse_shard,
    print_json,
)


@app.command()
def represent(
    model: Annotated[str, typer.Argument(help="a name or a local Hugging Face folder")],
    data: DataOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="the .safetensors file to write")],
    labels: LabelsOption = None,
    name: Annotated[str | None, typer.Option(help="the model's name in comparisons")] = None,
    granularity: GranularityOption = "block",
    batch_size: BatchSizeOption = None,
    max_examples: MaxExamplesOption = None,
    passes: PassesOption = 1,
    pooling: PoolingOption = "auto",
    kernel: KernelOption = "linear",
    bandwidth: BandwidthOption = 0.5,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    untrained: UntrainedOption = False,
    checkpoint: CheckpointOption = None,
    on_error: OnErrorOption = "raise",
    max_memory: MemoryOption = "auto",
    checkpoint_dir: CheckpointDirOption = None,
    seed: SeedOption = 0,
    shard: Annotated[str | None, typer.Option(help="I/N: every N-th minibatch from the I-th (counted from 0)")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run one model over data and save what comparisons need."""
    import cka_plugin
    from cka_plugin.engine.ranks import world

    check_writable(output)
    representation = cka_plugin.represent(
        model,
        data,
        labels=labels,
        name=name,
        granularity=granularity,
        batch_size=batch_size,
        max_examples=max_examples,
        passes=passes,
        pooling=pooling,
        kernel=kernel,
        bandwidth=bandwidth,
        device=device,
        precision=precision,
        pretrained=not untrained,
        checkpoint=checkpoint,
        on_error=on_error,
        max_memory=max_memory,
        checkpoint_dir=checkpoint_dir,
        seed=seed,
        shard=None if shard is None else parse_shard(shard),
        progress=not quiet,
    )
    if world()[0] != 0:  # under torchrun every rank has the result, and the first writes it
        return
    representation.save(output)
    if as_json:
        print_json(
            {
                "name": representation.name,
                "path": str(output),
                "bytes": output.stat().st_size,
                "layers": [vars(layer) for layer in representation.layers],
                "examples": representation.n_examples,
                "batch_sizes": representation.batch_sizes,
                "accuracy": representation.accuracy,
                "problems": representation.problems,
                "skipped": representation.skipped,
                "options": representation.options,
            }
        )
    else:
        print(f"{representation!r} written to {output} ({output.stat().st_size / 1e6:.1f} MB)")


@app.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(help="all N files written with --shard I/N")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the .safetensors file to write")],
    max_memory: MemoryOption = "auto",
) -> None:
    """Put the shards of one run together."""
    from cka_plugin.representation import Representation

    check_writable(output)
    merged = Representation.merge(parts, max_memory)
    merged.save(output)
    print(f"{merged!r} written to {output}")
