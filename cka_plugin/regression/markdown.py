"""A summary of checks in Markdown, for pull requests and job summaries."""

from __future__ import annotations

from collections.abc import Sequence

from cka_plugin.regression.runs import CheckRun
from cka_plugin.wording import for_markdown


def to_markdown(runs: Sequence[CheckRun]) -> str:
    """A section for each model that was checked.

    Example:
        >>> print(to_markdown([CheckRun("net", None, "no such file", accept="Make it with: cka-plugin baseline net")]))
        ### ❌ CKA check: net: no such file
        <BLANKLINE>
        Make it with: cka\\-plugin baseline net
        <BLANKLINE>
    """
    return "\n".join(_section(run) for run in runs)


def _section(run: CheckRun) -> str:
    if run.result is None:
        text = f"### ❌ CKA check: {for_markdown(f'{run.name}: {run.error}')}\n"
    else:
        text = run.result.to_markdown()
    return text + (f"\n{for_markdown(run.accept)}\n" if run.accept else "")
