"""A zoo of models over the workers of a Dask cluster: one task a model, then all pairs from the saved files.

    python zoo_dask.py resnet18 resnet50 vit_tiny_patch16_224 --data photos/ --out zoo --workers 4
    python zoo_dask.py resnet18 resnet50 vit_tiny_patch16_224 --data /shared/photos --out /shared/zoo --scheduler tcp://head:8786

`--data` and `--out` must be the same folders for all workers. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dask.distributed import Client, LocalCluster, as_completed

import cka_plugin as cka


def represent(name: str, data: str, out: str, options: dict) -> str:
    """One task: run one model over the data and save what comparisons need; returns the file."""
    path = Path(out) / f"{name.replace('/', '_').replace(':', '_')}.safetensors"
    if not path.exists():  # files are written atomically: one that exists is whole
        kept = Path(out) / "checkpoints" / path.stem
        cka.represent(name, data, name=name, checkpoint_dir=kept, progress=False, **options).save(path)
    return str(path)


def main(arguments: list[str] | None = None) -> cka.Comparison:
    """Send out the tasks, collect the files, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, help="a folder that all workers see")
    parser.add_argument("--scheduler", help="address of a running Dask scheduler; without it, local workers")
    parser.add_argument("--workers", type=int, default=2, help="how many local workers")
    parser.add_argument("--max-examples", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    given = parser.parse_args(arguments)

    options = {"max_examples": given.max_examples, "batch_size": given.batch_size}
    Path(given.out, "checkpoints").mkdir(parents=True, exist_ok=True)
    # One model at a time on each worker: PyTorch uses its cores (or its GPU) by itself.
    cluster = given.scheduler or LocalCluster(n_workers=given.workers, threads_per_worker=1, dashboard_address=None)
    with Client(cluster) as client:
        tasks = [client.submit(represent, name, given.data, given.out, options, pure=False) for name in given.models]
        for task in as_completed(tasks):
            print("done:", task.result(), flush=True)
        files = [task.result() for task in tasks]
    if not isinstance(cluster, str):
        cluster.close()
    comparison = cka.compare(*files)
    comparison.save(Path(given.out) / "zoo.safetensors")
    print(comparison.models().round(3))
    return comparison


if __name__ == "__main__":
    main()
