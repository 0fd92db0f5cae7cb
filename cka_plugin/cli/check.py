"""`cka-plugin check` and `baseline`: guard models against silent change, one at a time or all that a project names."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cka_plugin import regression
from cka_plugin.cli.app import JsonOption, folder_for, print_json
from cka_plugin.cli.compare import HideOption
from cka_plugin.cli.options import command
from cka_plugin.cli.words import one_line
from cka_plugin.options import TAKES
from cka_plugin.regression.guarded import (
    DEFAULT,
    FUNCTIONS,
    Guarded,
    guarded_by_name,
    read_guarded,
    read_thresholds,
    with_default,
)
from cka_plugin.regression.junit import to_junit
from cka_plugin.regression.limits import Limits
from cka_plugin.regression.markdown import to_markdown
from cka_plugin.regression.names import file_name
from cka_plugin.regression.runs import CheckRun
from cka_plugin.regression.stored import Baseline, StaleBaselineError
from cka_plugin.regression.thresholds import DEFAULT_MIN_CKA
from cka_plugin.wording import for_terminal, listed

ModelArgument = Annotated[
    str | None,
    typer.Argument(
        help=(
            "a name, a local Hugging Face folder, a saved representation, python:package.module:function, or one of the"
            " models of [tool.cka-plugin] in pyproject.toml; left out: all of these"
        )
    ),
]
ConfigOption = Annotated[Path, typer.Option(help="where [tool.cka-plugin] stands")]
AccuracyDropOption = Annotated[float | None, typer.Option(help="how much accuracy may be lost")]
ClassDropOption = Annotated[float | None, typer.Option(help="how much accuracy one class may lose")]
ChurnOption = Annotated[float | None, typer.Option(help="share of predictions that may change")]
AllowNanOption = Annotated[
    bool, typer.Option("--allow-nan", help="pass over dead and NaN layers that no baseline can judge")
]
OF_THE_MACHINE = ("device", "workers", "max_memory")  # not of the model: given, they hold for those of a project too
WITH_A_PROJECT = (
    "model",
    "config",
    "junit",
    "markdown",
    "report",
    "hide_examples",
    "as_json",
    "progress",
    *OF_THE_MACHINE,
)


@command("check")
def check(
    context: typer.Context,
    model: ModelArgument = None,
    baseline: Annotated[Path | None, typer.Option(help="the file that `cka-plugin baseline` wrote")] = None,
    data: Annotated[str | None, typer.Option(help="the data that the baseline was made of")] = None,
    min_cka: Annotated[float | None, typer.Option(help=f"lowest CKA a layer may show ({DEFAULT_MIN_CKA})")] = None,
    thresholds: Annotated[Path | None, typer.Option(help="a TOML table of lowest CKA by layer, pattern, kind")] = None,
    max_accuracy_drop: AccuracyDropOption = Limits.max_accuracy_drop,
    max_class_drop: ClassDropOption = Limits.max_class_drop,
    max_churn: ChurnOption = Limits.max_churn,
    allow_nan: AllowNanOption = False,
    config: ConfigOption = DEFAULT,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML for CI systems")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write a summary for pull requests")] = None,
    report: Annotated[
        Path | None, typer.Option(help="write an HTML page on the check; of several models, NAME is put before .html")
    ] = None,
    hide_examples: HideOption = False,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Check models against their baselines: exit code 0 passed, 1 a regression, 2 it could not be judged."""
    progress = options.pop("progress")
    if model is None or (baseline is None and _guards(config, model)):
        guarded = _of_project(context, config, model)
    else:
        if baseline is None:
            raise ValueError(
                f"give --baseline FILE to check {model} against (`cka-plugin baseline` makes one), or the name of a"
                f" model that {config} guards{_names(config)}"
            )
        limits: dict[str, Any] = {
            "min_cka": _lowest(min_cka, thresholds),
            "max_accuracy_drop": max_accuracy_drop,
            "max_class_drop": max_class_drop,
            "max_churn": max_churn,
            "allow_nan": allow_nan,
        }
        accept = _baseline_command(model, baseline, data, options)
        guarded = [Guarded(model, model, baseline, data, limits | options, accept=accept)]
    runs = [_run(one, progress) for one in guarded]
    _show(runs, as_json)
    written = [_write(junit, to_junit(runs)), _write(markdown, to_markdown(runs))]
    written += [_write_page(page, run, not hide_examples, not as_json) for page, run in _pages(report, runs)]
    raise typer.Exit(_exit_code(runs) or (0 if all(written) else 2))


@command("make_baseline")
def baseline(
    context: typer.Context,
    model: ModelArgument = None,
    data: Annotated[
        str | None, typer.Option(help="folder of images, .txt .csv .jsonl .npz file, or a sample: of the package")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="the .safetensors file to write; its folder is made")
    ] = None,
    name: Annotated[str | None, typer.Option(help="the model's name in messages")] = None,
    float16: Annotated[bool, typer.Option("--float16", help="half the size, for CKA and predictions alone")] = False,
    keep_examples: Annotated[
        bool, typer.Option("--keep-examples", help="store the examples too: checks need no --data")
    ] = False,
    allow_nan: AllowNanOption = False,
    config: ConfigOption = DEFAULT,
    **options: Any,
) -> None:
    """Save what a model computes now, for later checks; without a model, for all that pyproject.toml guards."""
    progress = options.pop("progress")
    if model is None or (output is None and data is None and _guards(config, model)):
        guarded = _of_project(context, config, model)
    else:
        if data is None or output is None:
            raise ValueError("give --data PATH and -o FILE to make a baseline")
        options |= {"name": name, "float16": float16, "keep_examples": keep_examples, "allow_nan": allow_nan}
        guarded = [Guarded(model, model, output, data, baseline_options=options)]
    for one in guarded:
        folder_for(one.baseline)
    for one in guarded:
        _make(one, progress)


# Which models


def _names(config: Path) -> str:
    return f": {listed([one.name for one in read_guarded(config)])}" if config.is_file() else ""


def _guards(config: Path, name: str) -> bool:
    """Whether a project guards a model of this name."""
    return config.is_file() and name in [one.name for one in read_guarded(config)]


def _of_project(context: typer.Context, config: Path, name: str | None) -> list[Guarded]:
    """One or all of the models that a project guards, whose options stand in the project's file."""
    given = [key for key in context.params if getattr(context.get_parameter_source(key), "name", "") == "COMMANDLINE"]
    unfit = [f"--{key.replace('_', '-')}" for key in given if key not in WITH_A_PROJECT]
    if unfit:
        raise ValueError(
            f"{', '.join(unfit)} needs a model that {config} does not guard: for those that it guards, it says it all"
        )
    here = {key: context.params[key] for key in OF_THE_MACHINE if key in given}
    chosen = read_guarded(config) if name is None else [guarded_by_name(config, name)]
    return [
        replace(one, check=one.check | here, baseline_options=one.baseline_options | _of_baselines(here))
        for one in chosen
    ]


def _of_baselines(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key in TAKES["make_baseline"]}


def _lowest(min_cka: float | None, thresholds: Path | None) -> Any:
    if thresholds is not None:
        return with_default(read_thresholds(thresholds), min_cka)
    return DEFAULT_MIN_CKA if min_cka is None else min_cka


def _baseline_command(model: str, baseline: Path, data: str | None, options: Mapping[str, Any]) -> str:
    """The command that makes a baseline anew; what it takes beyond these is said by who made the first one."""
    words = ["cka-plugin", "baseline", model, "--data", data or "PATH", "-o", str(baseline)]
    for key in ("labels", "checkpoint"):
        words += [f"--{key}", str(options[key])] if options.get(key) is not None else []
    for key in FUNCTIONS:
        given = options.get(key)
        named = given if isinstance(given, Mapping) else {"": given} if given is not None else {}
        for name, function in named.items():
            words += [f"--{key}", f"{name}{'=' if name else ''}python:{function.__module__}:{function.__name__}"]
    return shlex.join(words + ([] if options.get("pretrained", True) else ["--untrained"]))


# Running


def _run(guarded: Guarded, progress: bool) -> CheckRun:
    """Check one model; what makes that impossible is kept, so that the other models are still checked."""
    start = time.perf_counter()
    accept = f"If this is what you want, accept it with: {guarded.accept}"
    try:
        loaded = Baseline.load(guarded.baseline)
    except (ValueError, OSError) as error:
        return CheckRun(guarded.name, None, one_line(error), accept=f"Make it with: {guarded.accept}")
    try:
        result = regression.check(
            guarded.model, loaded, guarded.data, name=guarded.name, progress=progress, **guarded.check
        )
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        other = isinstance(error, StaleBaselineError)
        return CheckRun(guarded.name, None, one_line(error), time.perf_counter() - start, accept if other else "")
    return CheckRun(guarded.name, result, "", time.perf_counter() - start, "" if result else accept)


def _make(guarded: Guarded, progress: bool) -> None:
    options = {"name": guarded.name, **guarded.baseline_options}
    if options["name"] is None:
        options.pop("name")
    made = regression.make_baseline(guarded.model, guarded.data, progress=progress, **options)
    made.save(guarded.baseline)
    noise = max((made.floor(layer) for layer in made.noise), default=0.0)
    loss = f", half precision costs {made.storage_loss:.1e}" if made.storage_loss else ""
    print(
        for_terminal(
            f"{made!r} written to {guarded.baseline} ({guarded.baseline.stat().st_size / 2**20:.2f} MiB); rounding"
            f" alone may cost {noise:.1e} of CKA{loss}"
        )
    )


# What is shown and written


def _show(runs: Sequence[CheckRun], as_json: bool) -> None:
    if as_json:
        print_json(
            [{"name": run.name, "error": str(run)} if run.result is None else run.result.to_dict() for run in runs]
        )
    for run in runs:
        if run.result is None:
            print(f"error: {for_terminal(f'{run.name}: {run}')}", file=sys.stderr)
        elif not as_json:
            print(run, end="\n\n" if len(runs) > 1 else "\n")


def _write(path: Path | None, text: str) -> bool:
    """Write a report; one that cannot be written is said, and hides nothing of what was found."""
    if path is None:
        return True
    try:
        folder_for(path)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return False
    return True


def _pages(report: Path | None, runs: Sequence[CheckRun]) -> list[tuple[Path, CheckRun]]:
    """A page for each model that was checked."""
    if report is None:
        return []
    if len(runs) == 1:
        return [(report, runs[0])]
    return [(report.with_name(f"{report.stem}-{file_name(run.name)}{report.suffix}"), run) for run in runs]


def _write_page(path: Path, run: CheckRun, examples: bool, said: bool) -> bool:
    """Write a page; one that cannot be written is said, and hides nothing of what was found."""
    if run.result is None:
        return True
    try:
        folder_for(path)
        run.result.report(path, examples=examples, accept=run.accept)
    except OSError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return False
    if said:
        print(f"Page: {for_terminal(path)}")
    return True


def _exit_code(runs: Sequence[CheckRun]) -> int:
    """2 where a model could not be checked, else 1 for a regression, else 2 where not all could be judged."""
    if any(run.result is None for run in runs):
        return 2
    if any(run.result is not None and run.result.failures for run in runs):
        return 1
    return 0 if all(run.result for run in runs) else 2
