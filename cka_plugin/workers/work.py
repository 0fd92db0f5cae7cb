"""What a worker does with some examples: reads them, and prepares each for all models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cka_plugin.data.arguments import Takes
from cka_plugin.data.content import Content, Key
from cka_plugin.data.indexed import Read, Reads
from cka_plugin.data.numbers import Ints
from cka_plugin.data.raw import rows_of, spend
from cka_plugin.data.roles import label_choices


@dataclass(frozen=True)
class Work:
    """How examples are read and prepared.

    Attributes:
        models: what each takes; those whose preparations go by steps are prepared here.
        label_key: of the call.
        keeps_raw: somebody needs the raw examples besides.
    """

    models: tuple[Takes, ...]
    label_key: Key = None
    keeps_raw: bool = False

    def __call__(self, read: Reads, positions: Ints, on_error: str) -> Read:
        """Some examples, read, with the rows of all models."""
        return self.prepared(read(positions, on_error))

    def prepared(self, found: Read) -> Read:
        """What was read, with the rows of all models."""
        if found.content is None:
            return found
        rows = rows_of(found.content, self.models, self._labels(found.content))
        if not rows or self.keeps_raw or found.fingerprints is None:
            return replace(found, rows=rows)
        return replace(found, rows=rows, content=spend(found.content, rows))

    def _labels(self, content: Content) -> Sequence[Key]:
        try:
            return [key for key, _ in label_choices(content, self.label_key)]
        except ValueError:  # said of the whole minibatch
            return []
