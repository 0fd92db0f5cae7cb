"""The commands of `cka-plugin`, one file an idea; here the application they belong to and the options they share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="cka-plugin",
    help="Compare the representations of any networks, layer by layer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DataOption = Annotated[
    str, typer.Option("--data", help="folder of images, .txt .csv .jsonl .npz file, sample:digits or sample:photos")
]
GranularityOption = Annotated[str, typer.Option(help="stage, block or module")]
LabelsOption = Annotated[str | None, typer.Option(help="classes of the examples: a .txt, .csv or .npy file")]
BatchSizeOption = Annotated[int | None, typer.Option(help="examples a CKA minibatch (64)")]
MaxExamplesOption = Annotated[int | None, typer.Option(help="use no more than so many examples")]
PassesOption = Annotated[int, typer.Option(help="how often to go over the data, in a fresh order each time")]
PoolingOption = Annotated[str, typer.Option(help="auto, flatten, mean, cls, last or max")]
KernelOption = Annotated[str, typer.Option(help="linear or rbf")]
BandwidthOption = Annotated[float, typer.Option(help="for rbf: sigma as a multiple of the median distance")]
EstimatorOption = Annotated[str, typer.Option(help="unbiased or biased")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, ...")]
PrecisionOption = Annotated[str, typer.Option(help="float32, or bfloat16 or float16 to autocast the forward pass")]
UntrainedOption = Annotated[bool, typer.Option("--untrained", help="bare architectures, without pretrained weights")]
OnErrorOption = Annotated[str, typer.Option(help="raise, or skip examples that cannot be read")]
MemoryOption = Annotated[str, typer.Option(help="for the vectors: auto, or a size such as 4GiB")]
CheckpointDirOption = Annotated[
    Path | None, typer.Option(help="a folder that keeps finished minibatches: a killed run goes on where it was")
]
SeedOption = Annotated[int, typer.Option(help="of the order of reading")]
CheckpointOption = Annotated[str | None, typer.Option(help="a local .safetensors or .pth file of weights")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for machines")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar")]


def check_writable(path: Path | None) -> None:
    """Raise, before any work is done, where a result could not be written."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: the folder {path.parent} is read-only")


def parse_shard(text: str) -> tuple[int, int]:
    """`I/N` as numbers.

    Example:
        >>> parse_shard("0/4")
        (0, 4)
    """
    first, slash, second = text.partition("/")
    if not (slash and first.strip().isdigit() and second.strip().isdigit()):
        raise ValueError(f"shard {text!r}: expected I/N, such as 0/4 for the first of four")
    return int(first), int(second)


def print_json(value: Any) -> None:
    """JSON on standard output."""
    print(json.dumps(value, indent=1, allow_nan=False))
