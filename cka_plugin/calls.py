"""The one-line calls: `compare`, `represent`, `represent_all`, `load`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cka_plugin.comparison import KIND, Comparison
from cka_plugin.engine.beside import with_inputs
from cka_plugin.engine.over_data import over_data
from cka_plugin.models import names as models
from cka_plugin.models.names import named
from cka_plugin.options import Options
from cka_plugin.report.page.call import call_of
from cka_plugin.representation import Representation, files
from cka_plugin.representation.folder import is_folder_of_saved
from cka_plugin.representation.stored import StoredRepresentations, too_many_to_hold
from cka_plugin.storage.vectors import budget_bytes
from cka_plugin.warnings import warn
from cka_plugin.zoo.run import run_zoo


def compare(
    *given: Any,
    data: Any = None,
    labels: Any = None,
    granularity: str = "block",
    batch_size: int | None = None,
    max_examples: int | None = None,
    passes: int = 1,
    pooling: str = "auto",
    kernel: str = "linear",
    bandwidth: float = 0.5,
    estimator: str = "unbiased",
    device: str = "auto",
    precision: str = "float32",
    pretrained: bool = True,
    transforms: Any = None,
    max_length: int | None = None,
    forward: Any = None,
    inputs: Any = None,
    label_key: str | int | None = None,
    repeats: str = "warn",
    on_error: str = "raise",
    workers: int | str = "auto",
    max_memory: int | float | str = "auto",
    checkpoint_dir: str | os.PathLike[str] | None = None,
    sketch: int | None = None,
    seed: int = 0,
    progress: bool = True,
    match: str = "content",
    checkpoint: Mapping[str, str] | str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    layers: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
    part: str | Mapping[str, str] | None = None,
    levels: bool = False,
) -> Comparison:
    """Compare the representations of any number of models, layer by layer, on the same data.

    Args:
        given: models: names (`"resnet50"`, `"timm:resnet50"`, `"hf:bert-base-uncased"`, `"torchvision:resnet50"`, a
            local Hugging Face folder), `nn.Module`s, `Representation`s, paths of saved ones or a folder of them (see
            `represent_all`), in any mix; or one mapping that names them. One model alone is compared with itself.
        data: a folder of images (class sub-folders give labels), a `DataLoader`, a `Dataset`, a Hugging Face
            `datasets.Dataset`, arrays or tensors, a list of texts or images, a data frame, a file
            (`.txt .csv .tsv .jsonl .parquet .npz .npy`), `"sample:crops"`, `"sample:digits"` or
            `"sample:photos"`. Not needed where all
            models are saved representations.
        labels: classes of the examples, where the data have none: in order, by example id, or a file.
        granularity: `stage`, `block` (every residual or transformer block) or `module` (every leaf module that runs).
        batch_size: examples a CKA minibatch: 64, or a loader's own; at least 4.
        max_examples: use no more than so many examples (a seeded random choice, but of a loader the first).
        passes: how often to go over the data, in a fresh order each time; more passes, better estimates.
        pooling: `auto` (texts and sound are averaged over their mask, all else is flattened), `flatten`, `mean`,
            `cls`, `last`, `max` or `mean_after_first` (the mean without the first token).
        kernel: `linear` or `rbf`.
        bandwidth: for `rbf`: sigma as a multiple of the median distance of a minibatch.
        estimator: `unbiased` or `biased`.
        device: `auto` (cuda, mps, cpu) or a torch device.
        precision: `float32` leaves the models as they are; `bfloat16` and `float16` autocast the forward pass.
        pretrained: load the weights of models given by name.
        transforms: a function of one raw example that makes its tensor, a tokenizer or a processor (for models of
            Hugging Face); or a mapping from model names to such.
        max_length: tokens at which texts are cut; by default as many as model and tokenizer take. How many were cut is
            said.
        forward: a function of model and minibatch that runs the model, where its own forward takes something else: it
            is given each minibatch as it came, with all that the examples hold; or a mapping from model names to such.
        inputs: the names or places of the members of an example that go into the model; its forward tells them
            otherwise. One, several (by the names of arguments, else by place), or a mapping from arguments to members.
        label_key: the name or place of the member of an example that is its label; usual names are known.
        repeats: `warn` of examples that come more than once, or `drop` them; known by their content.
        on_error: `raise`, or `skip` to leave out examples that cannot be read, for all models.
        workers: how many threads or processes read and prepare examples: `auto` (one a core), a number, or 0 for none.
            The same bits come of any number. Threads read files and prepare for models of known frameworks; a data set
            or function of yours runs in processes, unless there is little to read, or it draws random numbers. A
            `DataLoader` has workers of its own.
        max_memory: for the vectors: `auto` (half of what is free), bytes, or a size such as `4GiB`; what does not fit
            lies in temporary files. On a CPU, memory of freed activations stays with the process, to be used again,
            until the run ends; with less than 1 GiB given it goes back to the system at once, which takes less memory
            and 1.3 to 1.9 times as long (`python -m tests.benchmarks speed memory`).
        checkpoint_dir: a folder that keeps finished minibatches: a run that was killed goes on where it was, and gives
            the same bits; with further models, those that are there are not run again.
        sketch: keep so many numbers of a minibatch (1024) in place of n(n-1)/2 pairs: a random projection, for CKA
            alone. At n = 256 memory and files are 32 times smaller; `Comparison.sketch_error` says what CKA errs by,
            and what needs whole Gram matrices (block structure, levels, other measures, examples) is an error.
            Comparable are sketches of one size and seed.
        seed: of the order of reading, the weights of models without pretrained ones, and random numbers that models
            draw.
        progress: show a progress bar, in a terminal or notebook.
        match: `content`: ids and fingerprints of examples must agree; `ids`: only their ids.
        checkpoint: a local file of weights for models given by name: one for all, or a mapping by name.
        model_kwargs: passed on to the framework's own builder of models given by name: one mapping for all, or a
            mapping of such by name.
        layers: compare only these layers: names, paths or patterns such as `stages.*`, looked for among the layers of
            the granularity first, then of the others, then among all modules; or a mapping of such by name.
        part: compare only the layers of this part of the model, a dotted path such as `unet`: the whole runs, and the
            layers go by the names that they have in the part. Where the whole has no forward pass of its own (a
            pipeline), the part runs alone. One for all, or a mapping by name.
        levels: run an untrained copy of each model beside it, and keep the inputs, for Comparison.levels: each model
            costs two forward passes, which is said before they run. The copies are kept in saved files, and are no
            models of the comparison.

    Returns:
        A `Comparison`: `.matrix()`, `.interval()`, `.correspondence()`, `.plot()`, `.save()`, ...

    Raises:
        ValueError, TypeError: an option, a model or data that cannot be used; the message says what was given and
            what to do.
        OSError: weights, data or files that cannot be read.
        RuntimeError: a model failed on the data.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> data = torch.randn(100, 8)
        >>> comparison = compare({"net": net, "again": net}, data=data, granularity="module", progress=False)
        >>> comparison.matrix("net", "again").diagonal().round(4).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    options = Options.of(locals())
    pairs = models.named(given, part)
    options.check_names(name for name, _ in pairs)
    made: dict[str, Representation] = {}
    stored = None if layers is not None or levels else _left_in_files(pairs, max_memory)
    if stored is None:
        made = {name: models.saved(name, model, options) for name, model in pairs if models.is_saved(model)}
    live = [(name, model) for name, model in pairs if name not in made] if stored is None else []
    if live:
        ran = over_data(live, data, options, next(iter(made.values()), None))
        made.update({representation.name: representation for representation in ran})
    else:
        used = levels and data is not None
        first = next(iter(made.values())) if stored is None else stored.about(pairs[0][0])
        unused = ["data"] * (data is not None and not used) + options.in_vain(first.options)
        if unused:
            warn(f"{', '.join(unused)}: not used, as all models are saved representations")
        if used:
            made = {name: with_inputs(representation, data) for name, representation in made.items()}
    call = call_of(given, data if live else None, options)
    chosen = [made[name] for name, _ in pairs] if stored is None else stored
    comparison = Comparison(chosen, estimator, match, max_memory, data if live else None, call)
    if len(given) == 1 and not live and isinstance(given[0], str | os.PathLike) and is_folder_of_saved(given[0]):
        comparison.folder, comparison.files = Path(given[0]), {name: Path(model) for name, model in pairs}
    return comparison


def _left_in_files(pairs: Sequence[tuple[str, Any]], max_memory: int | float | str) -> StoredRepresentations | None:
    """Saved representations that are too many to hold, read when they are asked for; None of others."""
    paths = [(name, Path(model)) for name, model in pairs if isinstance(model, str | os.PathLike)]
    if len(paths) < len(pairs) or not all(models.is_saved(path) for _, path in paths):
        return None
    budget = budget_bytes(max_memory)
    return StoredRepresentations(paths, budget) if too_many_to_hold([path for _, path in paths], budget) else None


def represent(
    model: Any,
    data: Any = None,
    *,
    labels: Any = None,
    name: str | None = None,
    granularity: str = "block",
    batch_size: int | None = None,
    max_examples: int | None = None,
    passes: int = 1,
    pooling: str = "auto",
    kernel: str = "linear",
    bandwidth: float = 0.5,
    estimator: str = "unbiased",
    device: str = "auto",
    precision: str = "float32",
    pretrained: bool = True,
    transforms: Any = None,
    max_length: int | None = None,
    forward: Any = None,
    inputs: Any = None,
    label_key: str | int | None = None,
    repeats: str = "warn",
    on_error: str = "raise",
    workers: int | str = "auto",
    max_memory: int | float | str = "auto",
    checkpoint_dir: str | os.PathLike[str] | None = None,
    sketch: int | None = None,
    seed: int = 0,
    progress: bool = True,
    shard: tuple[int, int] | None = None,
    like: Representation | None = None,
    checkpoint: Mapping[str, str] | str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    layers: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
    part: str | Mapping[str, str] | None = None,
    levels: bool = False,
) -> Representation:
    """Run one model over data, and keep what comparisons need: save it, compare it with others now or next year.

    Args:
        model: a name or an `nn.Module`; a `Representation` or the path of a saved one comes back as it is.
        data: as for `compare`, like all options not named here.
        name: the model's name in comparisons; its own by default.
        shard: (i, n): only every n-th minibatch from the i-th (counted from 0); `Representation.merge` puts the n parts
            together.
        like: a representation: the same examples in the same minibatches, whatever order `data` would be read in.

    Returns:
        A `Representation`.

    Raises:
        ValueError, TypeError, OSError, RuntimeError: as for `compare`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> represent(net, torch.randn(100, 8), granularity="module", name="net", progress=False)
        Representation('net': 3 layers, 100 examples in 2 minibatches)
    """
    options = Options.of(locals())
    if isinstance(model, Mapping):
        if len(model) != 1:
            raise ValueError(f"represent takes one model; given {len(model)}: use compare")
        ((name, model),) = model.items()
    chosen = models.named([{name: model}] if name is not None else [model], part)
    if len(chosen) != 1:
        raise ValueError(f"represent takes one model; {model} holds {len(chosen)}: use compare")
    options.check_names(name for name, _ in chosen)
    if models.is_saved(chosen[0][1]):
        return models.saved(*chosen[0], options)
    return over_data(chosen, data, options, like)[0]


def represent_all(
    models: Any,
    data: Any = None,
    folder: str | os.PathLike[str] | None = None,
    executor: Any = None,
    *,
    on_failure: str = "raise",
    labels: Any = None,
    granularity: str = "block",
    batch_size: int | None = None,
    max_examples: int | None = None,
    passes: int = 1,
    pooling: str = "auto",
    kernel: str = "linear",
    bandwidth: float = 0.5,
    estimator: str = "unbiased",
    device: str = "auto",
    precision: str = "float32",
    pretrained: bool = True,
    transforms: Any = None,
    max_length: int | None = None,
    forward: Any = None,
    inputs: Any = None,
    label_key: str | int | None = None,
    repeats: str = "warn",
    on_error: str = "raise",
    workers: int | str = "auto",
    max_memory: int | float | str = "auto",
    checkpoint_dir: str | os.PathLike[str] | None = None,
    sketch: int | None = None,
    seed: int = 0,
    progress: bool = True,
    checkpoint: Mapping[str, str] | str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    layers: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
    part: str | Mapping[str, str] | None = None,
    levels: bool = False,
) -> list[Path]:
    """Run a zoo of models over the same data, each by a worker of any executor; `compare(folder)` compares them.

    One file a model is written, whole or not at all, and `manifest.json` beside them: what was asked for each model and
    what came of it. The same call again runs only the models that are missing or have failed, and those whose weights,
    data or options have changed; the manifest has for each why it was run. To see whether its weights have changed a
    model is built again, but not run.

    A model that fails is listed in the manifest with its error, and the others go on. Within a process models run one
    at a time. Where a worker may choose among several CUDA devices (`device="auto"`) it takes one that no other worker
    of the machine uses, so one worker a device is best.

    Args:
        models: a list of names, paths, `python:` builders, modules, or functions without arguments that make a module
            (the executor must be able to send them); or a mapping that names them.
        data: as for `compare`, like all options not named here. Every worker reads them: give a path that all see, or
            what the executor can send.
        folder: for the files and the manifest; made where it does not exist. All workers must see it.
        executor: anything with `submit(function, *arguments).result()`: a pool of `concurrent.futures`, Dask's
            `client.get_executor()`, submitit's `AutoExecutor`, loky, `mpi4py.futures`, ipyparallel. None: one model
            after the other in this process. Processes are better spawned (`multiprocessing.get_context("spawn")`) than
            forked: forks of a process that has threads of PyTorch may hang.
        workers: that read and prepare examples in each worker of the executor; give a number where several of these
            share a machine. Workers that may have no processes of their own (Dask's) read alone.
        on_failure: `raise` an error that names the models that failed, once all others are done, or `warn`.

    Returns:
        The files, in the order of the models; those of models that failed are left out.

    Raises:
        ValueError, TypeError, OSError: options, models or data that cannot be used; before anything runs.
        RuntimeError: models failed; the message names them, and the others are done.

    Example:
        >>> import tempfile, torch, cka_plugin as cka
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        ...     names = ["sample:narrow", "sample:wide"]
        ...     files = cka.represent_all(names, "sample:digits", folder, executor, max_examples=64, progress=False)
        ...     [path.name for path in files], cka.compare(folder).names
        (['narrow.safetensors', 'wide.safetensors'], ['narrow', 'wide'])
    """
    options = Options.of(locals())
    if folder is None:
        raise ValueError("represent_all needs a folder for the files: folder='zoo/'")
    chosen = named([models], part, functions=True)
    options.check_names(name for name, _ in chosen)
    return run_zoo(chosen, data, Path(folder), executor, options, on_failure)


def load(path: str | os.PathLike[str]) -> Representation | Comparison:
    """Read a file written by `Representation.save` or `Comparison.save`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated, damaged, not ours, or of a newer format.
    """
    saved = files.read(path)
    return Comparison.of_file(saved, path) if saved.kind == KIND else Representation.of_file(saved, path)
