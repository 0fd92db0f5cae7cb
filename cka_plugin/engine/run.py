"""The engine: all models go over the data side by side, a minibatch at a time; each leaves a Representation.

The data are read once, whatever the number of models, so that all see the same examples in the same order, also
those of a
shuffling loader; a raw example is prepared once for all models that prepare it alike.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cka_plugin.adapters.base import Layer
from cka_plugin.capture.hooks import Capture, Captured
from cka_plugin.data import Batch, ReadOptions, Source
from cka_plugin.engine.ahead import read_ahead
from cka_plugin.engine.checkpoints import Checkpoint, Finished, ModelCheckpoint
from cka_plugin.engine.hashes import hash_of, weights_hash
from cka_plugin.engine.ranks import local_device
from cka_plugin.models.preparation import GIVEN
from cka_plugin.models.subject import Subject
from cka_plugin.options import Options
from cka_plugin.representation import Minibatch, Representation, ScaleKeeper, find_problems
from cka_plugin.storage.vectors import VectorStore
from cka_plugin.warnings import CKAWarning
from cka_plugin.wording import listed

SORTED_SHARE = 0.7  # of the classes that chance would give: a loader whose minibatches hold fewer is warned about


class Builder:
    """Collects what one model leaves of each minibatch into its Representation."""

    def __init__(self, subject: Subject, store: VectorStore) -> None:
        self.subject = subject
        self.store = store
        self.keeper: ScaleKeeper | None = None
        self.minibatches: list[tuple[Batch, npt.NDArray[Any], npt.NDArray[Any]]] = []
        self.logits: dict[int, npt.NDArray[np.float32]] = {}

    def add(self, batch: Batch, captured: Captured) -> None:
        """Take one minibatch; of the batch only what the representation needs is kept."""
        if self.keeper is None:
            self.keeper = ScaleKeeper(len(captured.exponents))
        vectors, diagonals = self.store.keep(captured.vectors), captured.diagonals
        self.keeper.add(vectors, diagonals, captured.exponents)
        self.minibatches.append((batch.without_content(), vectors, diagonals))
        if captured.logits is not None:
            for rank, row in zip(batch.places, captured.logits, strict=True):
                self.logits.setdefault(int(rank), row)

    def add_finished(self, finished: Finished) -> int:
        """Take a minibatch that an earlier run has left; returns its number of examples."""
        self.add(finished.batch, finished.captured)
        return finished.batch.size

    def finish(
        self, layers: list[Layer], source: Source, options: dict[str, Any], shard: tuple[int, int] | None
    ) -> Representation:
        """The representation, with its examples in the order of reading."""
        of_rank: dict[int, tuple[Any, int, int]] = {}
        for batch, _, _ in self.minibatches:
            for place, rank in enumerate(batch.places):
                label = -1 if batch.labels is None else int(batch.labels[place])
                of_rank.setdefault(int(rank), (batch.ids[place], int(batch.fingerprints[place]), label))
        ranks = sorted(of_rank)
        place_of = {rank: position for position, rank in enumerate(ranks)}
        minibatches = [
            Minibatch(
                vectors,
                diagonals,
                np.array([place_of[int(rank)] for rank in batch.places], dtype=np.int64),
                batch.index,
                batch.pass_index,
            )
            for batch, vectors, diagonals in self.minibatches
        ]
        labelled = bool(self.minibatches) and all(batch.labels is not None for batch, _, _ in self.minibatches)
        scored = len(self.logits) == len(ranks) and len(ranks) > 0
        exponents = np.zeros(len(layers), dtype=np.int64) if self.keeper is None else self.keeper.exponents
        return Representation(
            name=self.subject.name,
            layers=list(layers),
            minibatches=minibatches,
            example_ids=[of_rank[rank][0] for rank in ranks],
            fingerprints=np.array([of_rank[rank][1] for rank in ranks], dtype=np.uint64),
            ranks=np.array(ranks, dtype=np.int64),
            exponents=exponents,
            logits=np.stack([self.logits[rank] for rank in ranks]) if scored else None,
            labels=np.array([of_rank[rank][2] for rank in ranks], dtype=np.int64) if labelled else None,
            class_names=self.subject.adapter.class_names(self.subject.module),
            label_names=source.label_names if labelled else None,
            problems=find_problems(layers, minibatches),
            skipped=sorted({example for batch, _, _ in self.minibatches for example in batch.skipped}, key=str),
            options=options,
            shard=shard,
        )


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
        One representation a model, in the order given.

    Raises:
        RuntimeError: a model failed, or its layers could not be read.
        ValueError, OSError: the data cannot be used.
    """
    store = VectorStore(budget)
    builders = [Builder(subject, store) for subject in subjects]
    diversity = _Diversity()
    kept = None if options.checkpoint_dir is None else _checkpoints(subjects, source, read, options)
    at_hand = [] if kept is None else _need_not_be_read(kept, source, read)
    reading = replace(read, finished=frozenset(at_hand))
    with contextlib.ExitStack() as stack:
        captures = [stack.enter_context(hooked(subject, options)) for subject in subjects]
        batches = stack.enter_context(contextlib.closing(source.batches(reading)))  # type: ignore[type-var]
        if not source.users_code:
            ahead = read_ahead(batches, _preparing(subjects, kept))
            batches = stack.enter_context(contextlib.closing(ahead))  # type: ignore[type-var]
        bar = stack.enter_context(progress_bar(subjects, source, read, options.progress))
        for batch in _in_order(batches, at_hand):
            for place, (subject, capture, builder) in enumerate(zip(subjects, captures, builders, strict=True)):
                kept_here = None if kept is None else kept[place]
                if isinstance(batch, int):
                    assert kept_here is not None
                    n = builder.add_finished(kept_here.load(batch))
                elif kept_here is not None and batch.index in kept_here.finished:
                    kept_here.check_same_examples(batch)
                    n = builder.add_finished(kept_here.load(batch.index))
                else:
                    n = batch.size
                    captured = capture.run(batch.for_model(subject.preparation, subject.name), n)
                    if kept_here is not None:
                        kept_here.keep(batch, captured, capture.layers)
                    builder.add(batch, captured)
                bar.update(n)
            if isinstance(batch, Batch):
                diversity.add(batch)
    if not source.any_order and (read.shard is None or read.shard[0] == 0):
        diversity.warn()
    for subject in subjects:
        for remark in [] if subject.preparation is None else subject.preparation.remarks():
            warnings.warn(f"{subject.name}: {remark}", CKAWarning, stacklevel=2)
    return [
        builder.finish(
            capture.layers or (kept[place].layers() or [] if kept is not None else []),
            source,
            {**recorded(options.of_model(subject.name), read), "preparation": _described(subject)},
            read.shard,
        )
        for place, (subject, capture, builder) in enumerate(zip(subjects, captures, builders, strict=True))
    ]


def _checkpoints(
    subjects: Sequence[Subject], source: Source, read: ReadOptions, options: Options
) -> list[ModelCheckpoint]:
    """What the `checkpoint_dir` keeps of each model, once it is sure to be of this run."""
    assert options.checkpoint_dir is not None
    run = recorded(options, read)
    del run["estimator"]  # both come from the same vectors
    run |= {"device": choose_device(options.device).type, "on_error": read.on_error}
    if planned := source.planned(read):  # of a stream the examples are compared as they are read
        run["data"] = hash_of(*planned)
    checkpoint = Checkpoint(options.checkpoint_dir, run)
    return [checkpoint.of_model(subject) for subject in subjects]


def recorded(options: Options, read: ReadOptions) -> dict[str, Any]:
    """What a representation remembers of how it was made; what is read like another may differ from what was asked."""
    return {**options.recorded(), "batch_size": read.batch_size, "passes": read.passes}


def identity(subjects: Sequence[Subject], source: Source, read: ReadOptions, options: Options) -> dict[str, str]:
    """What must be the same on all ranks that share a run: what it is -> a hash. A stream has been read by now."""
    same = {f"weights of {subject.name}": weights_hash(subject.module) for subject in subjects}
    same["layers"] = hash_of([vars(layer) for subject in subjects for layer in subject.layers])
    same["options"] = hash_of(recorded(options, read), read.on_error, [_described(subject) for subject in subjects])
    return same | {what: hash_of(*values) for what, values in source.identity(read).items()}


def _need_not_be_read(kept: Sequence[ModelCheckpoint], source: Source, read: ReadOptions) -> list[int]:
    """Minibatches that are finished for all models; but the first is read, to see that the data are as they were."""
    finished = sorted(
        index for index in frozenset.intersection(*[frozenset(k.finished) for k in kept]) if read.mine(index)
    )
    return finished[1:] if source.any_order else []


def _in_order(batches: Iterable[Batch], at_hand: Sequence[int]) -> Iterator[Batch | int]:
    """What is read and, by their numbers, the minibatches at hand, in the order of one undisturbed run."""
    waiting = list(at_hand)
    for batch in batches:
        while waiting and waiting[0] < batch.index:
            yield waiting.pop(0)
        yield batch
    yield from waiting


def _preparing(subjects: Sequence[Subject], kept: Sequence[ModelCheckpoint] | None) -> Callable[[Batch], None]:
    """Prepares a minibatch for the models that will run on it, where that is code of ours alone."""

    def prepare(batch: Batch) -> None:
        for place, subject in enumerate(subjects):
            own = subject.preparation is None or subject.preparation.key.startswith(GIVEN)
            if not own and not (kept is not None and batch.index in kept[place].finished):
                batch.for_model(subject.preparation, subject.name)

    return prepare


def _described(subject: Subject) -> str | None:
    return None if subject.preparation is None else subject.preparation.description


def hooked(subject: Subject, options: Options, features: bool = False) -> Capture:
    """The model with hooks on its layers, on the device chosen; `features` as for `Capture`."""
    return Capture(
        subject.module,
        subject.adapter,
        subject.layers,
        root=subject.root,
        name=subject.name,
        discover=subject.discover,
        pooling=options.pooling,
        kernel=options.kernel,
        bandwidth=options.bandwidth,
        device=None if stays_where_it_is(subject.module) else choose_device(options.device),
        precision=options.precision,
        seed=options.seed,
        features=features,
        required=subject.named,
    )


def choose_device(device: str) -> torch.device:
    """`auto`: cuda, mps or cpu, the first there is; else the device itself.

    Raises:
        ValueError: no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            number = local_device()
            return torch.device("cuda") if number is None else torch.device("cuda", number)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {device!r} cannot be used: {error}") from error
    return chosen


def stays_where_it_is(model: nn.Module) -> bool:
    """Whether a model must not be moved: accelerate has spread it over devices, or it is quantised."""
    spread = getattr(model, "hf_device_map", None) is not None or len({p.device for p in model.parameters()}) > 1
    quantised = bool(getattr(model, "is_quantized", False)) or bool(getattr(model, "is_loaded_in_8bit", False))
    return spread or quantised


@contextlib.contextmanager
def progress_bar(subjects: Sequence[Subject], source: Source, read: ReadOptions, shown: bool) -> Iterator[Any]:
    """A bar that counts examples, one step an example and model."""
    from tqdm.auto import tqdm

    examples, _ = source.count(read)
    names = listed([subject.name for subject in subjects], 3)
    with tqdm(
        total=None if examples is None else examples * len(subjects),
        desc=names if len(subjects) == 1 else f"{len(subjects)} models ({names})",
        unit=" examples",
        disable=None if shown else True,  # None: only where there is a terminal
        dynamic_ncols=True,
    ) as bar:
        yield bar


class _Diversity:
    """Notices minibatches that hold far fewer classes than the data: sorted data, whose CKA is of little meaning."""

    def __init__(self) -> None:
        self.labels: list[npt.NDArray[np.int64]] = []

    def add(self, batch: Batch) -> None:
        if batch.labels is not None:
            self.labels.append(batch.labels)

    def warn(self) -> None:
        if len(self.labels) < 2:
            return
        _, counts = np.unique(np.concatenate(self.labels), return_counts=True)
        share = counts / counts.sum()
        expected = [float((1 - (1 - share) ** len(labels)).sum()) for labels in self.labels]
        found = [len(np.unique(labels)) for labels in self.labels]
        if sum(found) < SORTED_SHARE * sum(expected):
            warnings.warn(
                f"the loader's minibatches hold {np.mean(found):.1f} classes on average where shuffled ones would hold "
                f"{np.mean(expected):.1f}: the data seem to be sorted by class, which makes CKA far too small; give "
                "shuffle=True, or the data set itself",
                CKAWarning,
                stacklevel=3,
            )


def warn_of_problems(representation: Representation) -> None:
    """Say which layers' similarity is NaN, and why; and which examples were left out."""
    by_reason: dict[str, list[str]] = {}
    for layer, reason in representation.problems.items():
        by_reason.setdefault(reason, []).append(layer)
    for reason, names in by_reason.items():
        warnings.warn(f"layer {listed(names)} of {representation.name}: CKA is NaN, {reason}", CKAWarning, stacklevel=3)
    if representation.skipped:
        left_out = listed([str(example) for example in representation.skipped])
        warnings.warn(
            f"{len(representation.skipped)} examples could not be read and were left out for every model: {left_out}",
            CKAWarning,
            stacklevel=3,
        )
