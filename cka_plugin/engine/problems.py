"""What a run has to say of its results: layers without a similarity, examples left out."""

from __future__ import annotations

from cka_plugin.models.subject import Subject
from cka_plugin.representation import Representation
from cka_plugin.warnings import warn
from cka_plugin.wording import listed


def warn_of_remarks(subject: Subject) -> None:
    """Say what the preparation of a model did to the examples that a reader should know."""
    for remark in [] if subject.preparation is None else subject.preparation.remarks():
        warn(f"{subject.name}: {remark}")


def warn_of_problems(representation: Representation) -> None:
    """Say which layers' similarity is NaN, and why; and which examples were left out."""
    by_reason: dict[str, list[str]] = {}
    for layer, reason in representation.problems.items():
        by_reason.setdefault(reason, []).append(layer)
    for reason, names in by_reason.items():
        warn(f"layer {listed(names)} of {representation.name}: CKA is NaN, {reason}")
    if representation.skipped:
        left_out = listed([str(example) for example in representation.skipped])
        warn(f"{len(representation.skipped)} examples could not be read and were left out for every model: {left_out}")
