"""A zoo of models over the workers that you have: one model a worker at a time, then all pairs, shared likewise.

    python zoo.py resnet18 resnet50 vit_tiny_patch16_224 --data photos/ --out zoo --over processes --workers 4
    python zoo.py resnet18 resnet50 vit_tiny_patch16_224 --data /shared/photos --out /shared/zoo --over slurm

`--data` and `--out` must be the same folders for all workers. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import cka_plugin as cka


@contextlib.contextmanager
def processes(given: argparse.Namespace) -> Iterator[Any]:
    """Of this machine. Spawned: forks of a process that has threads of PyTorch may hang."""
    with ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn")) as executor:
        yield executor


@contextlib.contextmanager
def dask(given: argparse.Namespace) -> Iterator[Any]:
    """The workers of a Dask cluster (`pip install distributed`), by its scheduler's address or on this machine."""
    from dask.distributed import Client

    local = {"n_workers": given.workers, "threads_per_worker": 1, "dashboard_address": None}
    with Client(given.scheduler) if given.scheduler else Client(**local) as client:
        yield client.get_executor()


@contextlib.contextmanager
def slurm(given: argparse.Namespace) -> Iterator[Any]:
    """Jobs of Slurm (`pip install submitit`), a job a model; where there is no Slurm, processes of this machine."""
    import submitit

    executor = submitit.AutoExecutor(folder=f"{given.out}/jobs")
    executor.update_parameters(timeout_min=240, cpus_per_task=4, slurm_array_parallelism=given.workers)
    yield executor


class OverRay:
    """Ray has no `submit` of that kind; this is all that it takes."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        import ray

        class Result:
            reference = ray.remote(function).remote(*arguments)
            result = partial(ray.get, reference)

        return Result()


@contextlib.contextmanager
def over_ray(given: argparse.Namespace) -> Iterator[Any]:
    """The workers of a Ray cluster (`pip install ray`)."""
    import ray

    ray.init(address=given.scheduler)
    yield OverRay()


EXECUTORS = {"processes": processes, "dask": dask, "slurm": slurm, "ray": over_ray}


def main(arguments: list[str] | None = None) -> cka.Comparison:
    """Run the models, compare them, and say who is like whom."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, help="a folder that all workers see")
    parser.add_argument("--over", choices=list(EXECUTORS), default="processes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", help="address of a running scheduler of Dask or Ray")
    parser.add_argument("--max-examples", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    given = parser.parse_args(arguments)

    options = {"max_examples": given.max_examples, "batch_size": given.batch_size}
    with EXECUTORS[given.over](given) as executor:
        cka.represent_all(given.models, given.data, given.out, executor, **options)
        comparison = cka.compare(given.out)
        comparison.models(executor)
    for name in comparison.names:
        print(comparison.nearest(name, k=3))
    return comparison


if __name__ == "__main__":
    main()
