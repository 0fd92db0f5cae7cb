"""A zoo over the executors that people have: a worker is killed in the middle, and the same call again ends it."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.zoo.workers import ProcessWorkers
from tests.support.zoo import OPTIONS, data, same_bits, zoo


@contextlib.contextmanager
def process_pool(folder: Path) -> Iterator[Any]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@contextlib.contextmanager
def process_workers(folder: Path) -> Iterator[Any]:
    with ProcessWorkers(2, threads=1) as executor:
        yield executor


@contextlib.contextmanager
def dask(folder: Path) -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "local_directory": str(folder)}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        yield client.get_executor(retries=0)


@contextlib.contextmanager
def submitit(folder: Path) -> Iterator[Any]:
    executor = pytest.importorskip("submitit").AutoExecutor(folder=folder / "jobs", cluster="local")
    executor.update_parameters(timeout_min=5)
    yield executor


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "mark").touch()
    return cka.represent_all(zoo(folder / "mark"), data(), folder / "zoo", **OPTIONS)


@pytest.mark.parametrize("executor", [process_pool, process_workers, dask, submitit])
def test_a_zoo_whose_worker_was_killed_is_ended_by_the_same_call_with_the_same_bits(
    executor: Any, tmp_path: Path, undisturbed: list[Path]
) -> None:
    call = (zoo(tmp_path / "mark"), data(), tmp_path / "zoo")
    options = {**OPTIONS, "checkpoint_dir": tmp_path / "finished"}
    with executor(tmp_path) as workers, contextlib.suppress(RuntimeError):  # Dask gives the task to another worker
        cka.represent_all(*call, workers, **options)
    assert (tmp_path / "mark").exists(), "no worker was killed"
    with executor(tmp_path) as workers:
        again = cka.represent_all(*call, workers, **options)
        shared = cka.compare(tmp_path / "zoo").models(workers)
    assert all(map(same_bits, undisturbed, again))
    found = cka.compare(tmp_path / "zoo")
    assert found.names == ["deadly", "other"]
    assert np.abs(shared - found.models()).max() < 1e-7


def test_threads_take_turns_and_give_the_same_bits(tmp_path: Path, undisturbed: list[Path]) -> None:
    (tmp_path / "mark").touch()
    with ThreadPoolExecutor(3) as executor:
        found = cka.represent_all(zoo(tmp_path / "mark"), data(), tmp_path / "zoo", executor, **OPTIONS)
    assert all(map(same_bits, undisturbed, found))
