"""What a run is of: how it was made, for the record, and what must be the same where several share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cka_plugin.data import ReadOptions, Source
from cka_plugin.engine.hashes import hash_of
from cka_plugin.lending.identity import weights_hash
from cka_plugin.models.subject import Subject
from cka_plugin.options import Options


def recorded(options: Options, read: ReadOptions) -> dict[str, Any]:
    """What a representation remembers of how it was made; what is read like another may differ from what was asked."""
    return {**options.recorded(), "batch_size": read.batch_size, "passes": read.passes}


def identity(subjects: Sequence[Subject], source: Source, read: ReadOptions, options: Options) -> dict[str, str]:
    """What must be the same on all ranks that share a run: what it is -> a hash. A stream has been read by now."""
    same = {f"weights of {subject.name}": weights_hash(subject.module) for subject in subjects}
    same["layers"] = hash_of([vars(layer) for subject in subjects for layer in subject.layers])
    same["options"] = hash_of(recorded(options, read), read.on_error, [subject.prepared for subject in subjects])
    return same | {what: hash_of(*values) for what, values in source.identity(read).items()}
