"""One model in a run: its hooks, what it has left so far, and where that is kept."""

from __future__ import annotations

from types import TracebackType

from cka_plugin.capture.hooks import Begun, Capture, Watched
from cka_plugin.data import Batch, ReadOptions, Source
from cka_plugin.engine.builder import Builder
from cka_plugin.engine.checkpoints import ModelCheckpoint
from cka_plugin.engine.device import choose_device
from cka_plugin.engine.identity import recorded
from cka_plugin.lending.running import stays_where_it_is
from cka_plugin.models.description import described
from cka_plugin.models.subject import Subject
from cka_plugin.options import Options
from cka_plugin.representation import Representation
from cka_plugin.storage.vectors import VectorStore


class ModelRun:
    """One model in a run, as a context manager: within it the model has hooks on its layers.

    Args:
        subject: the model.
        options: of the call.
        store: where its vectors lie.
        kept: its finished minibatches, where they are kept.
    """

    def __init__(self, subject: Subject, options: Options, store: VectorStore, kept: ModelCheckpoint | None) -> None:
        self.subject = subject
        self.options = options
        self.kept = kept
        self.capture = hooked(subject, options)
        self.builder = Builder(subject.name, subject.adapter.class_names(subject.module), store)
        self._begun: tuple[Batch, Begun] | None = None  # whose results are on their way from the device

    def __enter__(self) -> ModelRun:
        self.capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._end()
        finally:
            self.capture.__exit__(kind, error, trace)

    @property
    def finished(self) -> frozenset[int]:
        """Numbers of the minibatches that an earlier run has left."""
        return frozenset() if self.kept is None else frozenset(self.kept.finished)

    def needs(self, batch: Batch) -> bool:
        """Whether it will run on a minibatch."""
        return batch.index not in self.finished

    def take(self, index: int, batch: Batch | None) -> int:
        """Run the model on a minibatch, or take what an earlier run has left of it.

        Args:
            index: its number.
            batch: as read; None where it need not be read, since an earlier run has finished it.

        Returns:
            Its number of examples.
        """
        batch = None if batch is None else batch.labelled_for(self.subject.takes)
        if self.kept is not None and index in self.kept.finished:
            if batch is not None:
                self.kept.check_same_examples(batch)
            finished = self.kept.load(index)
            self._end()
            self.builder.add(finished.batch, finished.captured)
            return finished.batch.size
        assert batch is not None
        begun = self.capture.begin(batch.for_model(self.subject.takes), batch.size, batch.index)
        self._end()  # the one before, whose results have come over while this one was asked of the device
        self._begun = batch, begun
        if not begun.copy.under_way:
            self._end()
        return batch.size

    def _end(self) -> None:
        """Take what the minibatch that was begun last has left."""
        if self._begun is None:
            return
        (batch, begun), self._begun = self._begun, None
        captured = begun.captured()
        if self.kept is not None:
            self.kept.keep(batch, captured, self.capture.layers)
        self.builder.add(batch, captured)

    def finish(self, source: Source, read: ReadOptions) -> Representation:
        """The representation of this model."""
        layers = self.capture.layers or (self.kept.layers() if self.kept is not None else None) or []
        remembered = recorded(self.options.of_model(self.subject.name), read)
        about = described(self.subject.module) | {"framework": self.subject.framework}
        about |= {"features": self.builder.width} if self.builder.width else {}
        remembered |= {"preparation": self.subject.prepared, "model": about}
        return self.builder.finish(layers, source, remembered, read.shard)


def hooked(subject: Subject, options: Options, features: bool = False) -> Capture:
    """The model with hooks on its layers, on the device chosen; `features` as for `Capture`."""
    watched = Watched(
        subject.module, subject.adapter, subject.layers, subject.root, subject.name, subject.discover, subject.named
    )
    device = None if stays_where_it_is(subject.module) else choose_device(options.device)
    return Capture(watched, options, device=device, features=features)
