"""Pages made from the code before Sphinx reads the others, and so never out of date: commands, options and pictures.

They are written to `docs/made/`, which is not kept. Pictures are drawn from one comparison of the networks that come
with the package; `CKA_PLUGIN_DOCS_PICTURES=0` leaves out those that are there already.
"""

from __future__ import annotations

import dataclasses
import os
import re
import warnings
from pathlib import Path
from typing import Any

MADE = Path(__file__).parent.parent / "made"
MODELS = ("narrow", "deep", "vit")
OF_ONE, OF_TWO = ("deep",), ("narrow", "vit")


def write_if_other(path: Path, text: str) -> None:
    """Write a page, unless it holds this already: Sphinx reads again what has a new date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


# The command line


def commands_page() -> str:
    """The help of every command, as a terminal shows it."""
    from typer.testing import CliRunner

    from cka_plugin.cli.app import FILES, app

    runner = CliRunner(env={"COLUMNS": "86", "TERMINAL_WIDTH": "86", "NO_COLOR": "1"})
    parts = [
        "# Command line\n",
        "Made from the command's own help. Exit codes: 0 done, 1 a check found a regression, 2 what was asked cannot",
        "be done or judged: one line says what and what to do.\n",
    ]
    for name in (None, *FILES):
        result = runner.invoke(app, [*([name] if name else []), "--help"], prog_name="cka-plugin")
        if result.exit_code != 0:
            raise RuntimeError(f"cka-plugin {name} --help: {result.output}")
        heading = f"cka-plugin {name}" if name else "cka-plugin"
        parts.append(f"## {heading}\n\n```text\n{result.output.strip()}\n```\n")
    return "\n".join(parts)


# Options


def options_page() -> str:
    """Every option with its default, what it means, and the calls that take it."""
    from cka_plugin.options import OWN_DEFAULTS, TAKES, Options

    parts = [
        "# Options\n",
        "Every option once, from the one table that calls and commands are checked against. In a terminal",
        "`max_examples=256` is `--max-examples 256`.\n",
    ]
    for each in dataclasses.fields(Options):
        calls = [call for call, takes in TAKES.items() if each.name in takes]
        own = [f"`{OWN_DEFAULTS[c][each.name]!r}` in `{c}`" for c in calls if each.name in OWN_DEFAULTS.get(c, {})]
        default = ", ".join([f"`{each.default!r}`", *own])
        by_name = " One for all models, or a mapping by their names." if each.metadata["by_name"] else ""
        sentence = str(each.metadata["help"])
        parts.append(f"## `{each.name}`\n")
        parts.append(f"{sentence[0].upper()}{sentence[1:]}.{by_name}\n")
        parts.append(f"Default: {default}. Taken by {', '.join(f'`{call}`' for call in calls)}.\n")
    return "\n".join(parts)


# Pictures


def draw_pictures() -> None:
    """One picture of every kind, of networks that come with the package."""
    import cka_plugin as cka
    from cka_plugin import sample
    from cka_plugin.report.kinds.door import KINDS

    wanted = {kind: MADE / "pictures" / f"{kind}.png" for kind in KINDS}
    if not (MADE / "pictures" / "biased.png").exists():
        draw_biased(MADE / "pictures" / "biased.png")
    if os.environ.get("CKA_PLUGIN_DOCS_PICTURES") == "0" and all(path.exists() for path in wanted.values()):
        return
    (MADE / "pictures").mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cka.CKAWarning)
        models = {name: sample.model(name) for name in MODELS}
        comparison = cka.compare(
            models, data="sample:digits", max_examples=512, batch_size=32, levels=True, progress=False
        )
        named: dict[str, tuple[str, ...]] = {"one": OF_ONE, "two": OF_TWO, "all": ()}
        for kind, path in wanted.items():
            comparison.plot(kind, *named[KINDS[kind].of]).savefig(path, dpi=110, bbox_inches="tight")


def draw_biased(path: Path) -> None:
    """CKA of unrelated Gaussian features by either estimator, against how many features there are."""
    import numpy as np
    from matplotlib.figure import Figure

    import cka_plugin as cka

    n, widths = 256, [16, 64, 256, 1024, 4096]
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(n, p)), rng.normal(size=(n, p))) for p in widths]
    axes = (figure := Figure(figsize=(5, 2.8), layout="constrained")).subplots()
    for estimator, marker in (("biased", "s"), ("unbiased", "o")):
        axes.plot(widths, [cka.cka(x, y, estimator=estimator) for x, y in pairs], marker=marker, label=estimator)
    axes.plot(widths, [p / (n + p) for p in widths], "k:", linewidth=1, label="p / (n + p)")
    axes.set(xscale="log", xlabel="features p of either layer", ylabel="CKA", ylim=(-0.05, 1))
    axes.set_title(f"unrelated Gaussian features, n = {n} examples", fontsize=10)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def pictures_page() -> str:
    """Every kind of picture with its call and what it shows."""
    from cka_plugin.report import plots
    from cka_plugin.report.kinds.door import KINDS

    parts = [
        "# Pictures\n",
        "Every kind that `comparison.plot` draws, of small networks on handwritten digits that none was trained on:",
        '`comparison = cka.compare("sample:narrow", "sample:deep", "sample:vit", data="sample:digits", levels=True)`,',
        "on 512 of them. All take `ax=`,",
        '`width="column"` (3.25 inches), `width="text"` (6.75 inches) and `title=`. In a terminal:',
        "`cka-plugin compare ... --plot KIND=FILE`.\n",
    ]
    where = {"one": OF_ONE, "two": OF_TWO, "all": ()}
    for kind, found in KINDS.items():
        call = ", ".join([repr(kind), *map(repr, where[found.of])]).replace("'", '"')
        parts.append(f"## {kind}\n")
        parts.append(f"{purpose(plots, kind)}\n\n```python\ncomparison.plot({call})\n```\n")
        parts.append(f"![{kind} of the sample networks](pictures/{kind}.png)\n")
    return "\n".join(parts)


def purpose(plots: Any, kind: str) -> str:
    """The first paragraph of what draws a kind."""
    import importlib
    import inspect
    import pkgutil

    for found in pkgutil.iter_modules(plots.__path__):
        module = importlib.import_module(f"{plots.__name__}.{found.name}")
        function = getattr(module, kind, None)
        if inspect.isfunction(function):
            return (inspect.getdoc(function) or "").partition("\n\n")[0]
    raise LookupError(f"no function of cka_plugin.report.plots draws {kind!r}")


def figure_of(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """What a part of the tutorial called `figure`, beneath it."""
    from sphinx_gallery.scrapers import figure_rst

    figure = block_vars["example_globals"].pop("figure", None)
    if figure is None:
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, dpi=110, bbox_inches="tight")
    return str(figure_rst([path], gallery_conf["src_dir"]))


# Docstrings


def as_restructured_text(app: Any, what: str, name: str, given: Any, options: Any, lines: list[str]) -> None:
    """Docstrings write code in single backticks, and a plural behind them: these become two, and a gap.

    Names of arguments that share a sentence may take two lines, which napoleon does not read.
    """
    lines[:] = re.sub(r"^( +(?:\w+, )*\w+,)\n +(?=[\w, ]+: )", r"\1 ", "\n".join(lines), flags=re.MULTILINE).split("\n")
    in_example = False
    for number, line in enumerate(lines):
        in_example = line.strip() != "" and (in_example or line.lstrip().startswith(">>>"))
        if not in_example:
            lines[number] = re.sub(r"(?<!`)`([^`]+)`(?!`)(\w?)|\|", _literal, line)


def _literal(found: re.Match[str]) -> str:
    if found[0] == "|":  # would begin a substitution
        return r"\|"
    return f"``{found[1]}``" + (f"\\ {found[2]}" if found[2] else "")


def make(app: Any) -> None:
    """Before anything is read."""
    draw_pictures()
    write_if_other(MADE / "commands.md", commands_page())
    write_if_other(MADE / "options.md", options_page())
    write_if_other(MADE / "pictures.md", pictures_page())


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", make)
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)  # before napoleon reads it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
