"""`cka-plugin check` and `baseline`: guard models against silent change, one at a time or all that a project names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cka_plugin.cli.app import JsonOption, check_writable, print_json
from cka_plugin.cli.options import command

ModelArgument = Annotated[
    str | None,
    typer.Argument(
        help=(
            "a name, a local Hugging Face folder, a saved representation, or python:package.module:function; "
            "left out: all models of [tool.cka-plugin] in pyproject.toml"
        )
    ),
]
ConfigOption = Annotated[Path, typer.Option(help="where [tool.cka-plugin] stands")]


@command("check")
def check(
    model: ModelArgument = None,
    baseline: Annotated[Path | None, typer.Option(help="the file that `cka-plugin baseline` wrote")] = None,
    data: Annotated[str | None, typer.Option(help="the data that the baseline was made of")] = None,
    min_cka: Annotated[float | None, typer.Option(help="lowest CKA a layer may show (0.99)")] = None,
    thresholds: Annotated[Path | None, typer.Option(help="a TOML table of lowest CKA by layer, pattern, kind")] = None,
    max_accuracy_drop: Annotated[float, typer.Option(help="how much accuracy may be lost")] = 0.01,
    max_class_drop: Annotated[float, typer.Option(help="how much accuracy one class may lose")] = 0.1,
    max_churn: Annotated[float, typer.Option(help="share of predictions that may change")] = 0.05,
    config: ConfigOption = Path("pyproject.toml"),
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML for CI systems")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write a summary for pull requests")] = None,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Check models against their baselines: exit code 0 passed, 1 a regression, 2 it could not be judged."""
    from cka_plugin.regression.guarded import Guarded, read_guarded, read_thresholds, with_default

    progress = options.pop("progress")
    for path in (junit, markdown):
        check_writable(path)
    if model is None:
        _only_with_a_model(baseline=baseline, data=data, thresholds=thresholds, min_cka=min_cka)
        guarded = read_guarded(config)
    else:
        if baseline is None:
            raise ValueError(f"give --baseline FILE to check {model} against; `cka-plugin baseline` makes one")
        lowest: Any = 0.99 if min_cka is None else min_cka
        if thresholds is not None:
            lowest = with_default(read_thresholds(thresholds), min_cka)
        limits: dict[str, Any] = {
            "min_cka": lowest,
            "max_accuracy_drop": max_accuracy_drop,
            "max_class_drop": max_class_drop,
            "max_churn": max_churn,
        }
        guarded = [Guarded(model, model, baseline, data, limits | options)]
    runs = [_run(one, progress) for one in guarded]
    _write(runs, junit, markdown, as_json)
    raise typer.Exit(2 if any(run.result is None for run in runs) else int(not all(run.result for run in runs)))


@command("make_baseline")
def baseline(
    model: ModelArgument = None,
    data: Annotated[
        str | None, typer.Option(help="folder of images, .txt .csv .jsonl .npz file, or a sample: of the package")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="the .safetensors file to write")] = None,
    name: Annotated[str | None, typer.Option(help="the model's name in messages")] = None,
    float16: Annotated[bool, typer.Option("--float16", help="half the size, for CKA and predictions alone")] = False,
    keep_examples: Annotated[
        bool, typer.Option("--keep-examples", help="store the examples too: checks need no --data")
    ] = False,
    config: ConfigOption = Path("pyproject.toml"),
    **options: Any,
) -> None:
    """Save what a model computes now, for later checks; without a model, for all that pyproject.toml guards."""
    from cka_plugin.regression.guarded import Guarded, read_guarded

    progress = options.pop("progress")
    if model is None:
        _only_with_a_model(output=output, data=data)
        guarded = read_guarded(config)
    else:
        if data is None or output is None:
            raise ValueError("give --data PATH and -o FILE to make a baseline")
        options |= {"name": name, "float16": float16, "keep_examples": keep_examples}
        guarded = [Guarded(model, model, output, data, baseline_options=options)]
    for one in guarded:
        check_writable(one.baseline)
    for one in guarded:
        _make(one, progress)


def _only_with_a_model(**options: Any) -> None:
    given = [f"--{key.replace('_', '-')}" for key, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{', '.join(given)} needs a model; without one, pyproject.toml says it all")


def _run(guarded: Any, progress: bool) -> Any:
    """Check one model; what makes that impossible is kept, so that the other models are still checked."""
    from cka_plugin.cli.messages import one_line
    from cka_plugin.regression.check import check as check_model
    from cka_plugin.regression.junit import CheckRun

    start = time.perf_counter()
    try:
        result = check_model(
            guarded.model,
            guarded.baseline,
            guarded.data,
            name=guarded.name,
            progress=progress,
            **guarded.check,
        )
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        return CheckRun(guarded.name, None, one_line(error), time.perf_counter() - start)
    return CheckRun(guarded.name, result, seconds=time.perf_counter() - start)


def _write(runs: list[Any], junit: Path | None, markdown: Path | None, as_json: bool) -> None:
    if junit is not None:
        from cka_plugin.regression.junit import to_junit

        junit.write_text(to_junit(runs), encoding="utf-8")
    if markdown is not None:
        parts = [
            f"### ❌ CKA check: {r.name}: {r.error}\n" if r.result is None else r.result.to_markdown() for r in runs
        ]
        markdown.write_text("\n".join(parts), encoding="utf-8")
    if as_json:
        print_json(
            [{"name": run.name, "error": run.error} if run.result is None else run.result.to_dict() for run in runs]
        )
    for run in runs:
        if run.result is not None and not as_json:
            print(run.result, end="\n\n" if len(runs) > 1 else "\n")
        elif run.result is None:
            typer.echo(f"error: {run.name}: {run.error}", err=True)


def _make(guarded: Any, progress: bool) -> None:
    from cka_plugin.regression.baseline import make_baseline

    options = {"name": guarded.name, **guarded.baseline_options}
    if options["name"] is None:
        options.pop("name")
    made = make_baseline(guarded.model, guarded.data, progress=progress, **options)
    made.save(guarded.baseline)
    noise = max((made.floor(layer) for layer in made.noise), default=0.0)
    loss = f", half precision costs {made.storage_loss:.1e}" if made.storage_loss else ""
    print(
        f"{made!r} written to {guarded.baseline} ({guarded.baseline.stat().st_size / 2**20:.2f} MiB); rounding alone"
        f" may cost {noise:.1e} of CKA{loss}"
    )
