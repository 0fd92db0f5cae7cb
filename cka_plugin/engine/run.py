"""The engine: all models go over the data side by side, a minibatch at a time; each leaves a Representation.

The data are read once, whatever the number of models, so that all see the same examples in the same order, also those
of a shuffling loader; a raw example is prepared once for all models that prepare it alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from cka_plugin.data import Batch, ReadOptions, Source
from cka_plugin.engine.checkpoints import Checkpoint, ModelCheckpoint
from cka_plugin.engine.device import choose_device
from cka_plugin.engine.feeding import feeding
from cka_plugin.engine.hashes import hash_of
from cka_plugin.engine.identity import recorded
from cka_plugin.engine.inputs import InputGrams
from cka_plugin.engine.model_run import ModelRun
from cka_plugin.engine.problems import warn_of_remarks
from cka_plugin.engine.progress import progress_bar
from cka_plugin.engine.sorted_data import ClassesSeen
from cka_plugin.models.subject import Subject
from cka_plugin.options import Options
from cka_plugin.representation import Representation
from cka_plugin.storage.vectors import VectorStore


def run(
    subjects: Sequence[Subject],
    source: Source,
    read: ReadOptions,
    options: Options,
    budget: int,
) -> list[Representation]:
    """Run every model over the data.

    Args:
        subjects: the models.
        source: the data.
        read: how to read them.
        options: of the call; where `checkpoint_dir` holds an earlier run, it goes on.
        budget: bytes that vectors may take in memory, of all models together; beyond them they lie in files.

    Returns:
        One representation a model, in the order given, and with `options.levels` one of the inputs.

    Raises:
        RuntimeError: a model failed, or its layers could not be read.
        ValueError, OSError: the data cannot be used.
    """
    store, classes = VectorStore(budget), ClassesSeen()
    inputs = InputGrams(options.kernel, options.bandwidth, store) if options.levels else None
    kept = _checkpoints(subjects, source, read, options)
    with contextlib.ExitStack() as stack:
        models = [
            stack.enter_context(ModelRun(subject, options, store, its))
            for subject, its in zip(subjects, kept, strict=True)
        ]
        at_hand = [] if inputs is not None else _need_not_be_read(models, source, read)
        needs = {id(model.subject.takes): model.needs for model in models}
        feed = feeding(
            source,
            replace(read, finished=frozenset(at_hand)),
            [model.subject.takes for model in models],
            options,
            needs=lambda takes, batch: needs[id(takes)](batch),
            keeps_raw=inputs is not None,
        )
        batches = stack.enter_context(feed)
        bar = stack.enter_context(progress_bar(subjects, source, read, options.progress))
        for index, batch in _in_order(batches, at_hand):
            for model in models:
                bar.update(model.take(index, batch))
            if batch is not None:
                classes.add(batch)
                if inputs is not None:
                    inputs.add(batch)
    if not source.any_order and (read.shard is None or read.shard[0] == 0):
        classes.warn()
    for subject in subjects:
        if subject.copy_of is None:  # its copy shares the preparation
            warn_of_remarks(subject)
    made = [model.finish(source, read) for model in models]
    return made if inputs is None else [*made, inputs.finish(source, dict(made[0].options), read.shard)]


def _checkpoints(
    subjects: Sequence[Subject], source: Source, read: ReadOptions, options: Options
) -> Sequence[ModelCheckpoint | None]:
    """What the `checkpoint_dir` keeps of each model, once it is sure to be of this run."""
    if options.checkpoint_dir is None:
        return [None] * len(subjects)
    run = recorded(options, read)
    del run["estimator"]  # both come from the same vectors
    run |= {"device": choose_device(options.device).type, "on_error": read.on_error}
    if planned := source.planned(read):  # of a stream the examples are compared as they are read
        run["data"] = hash_of(*planned)
    checkpoint = Checkpoint(options.checkpoint_dir, run)
    return [checkpoint.of_model(subject) for subject in subjects]


def _need_not_be_read(models: Sequence[ModelRun], source: Source, read: ReadOptions) -> list[int]:
    """Minibatches that are finished for all models; but the first is read, to see that the data are as they were."""
    finished = frozenset.intersection(*[model.finished for model in models])
    return sorted(index for index in finished if read.mine(index))[1:] if source.any_order else []


def _in_order(batches: Iterable[Batch], at_hand: Sequence[int]) -> Iterator[tuple[int, Batch | None]]:
    """What is read and the minibatches at hand, each with its number, in the order of one undisturbed run."""
    waiting = list(at_hand)
    for batch in batches:
        while waiting and waiting[0] < batch.index:
            yield waiting.pop(0), None
        yield batch.index, batch
    for index in waiting:
        yield index, None
