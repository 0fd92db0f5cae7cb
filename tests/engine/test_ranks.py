"""Under torch.distributed every rank has the result of one process; what goes wrong on one rank is said on all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import cka_plugin as cka
from cka_plugin.data import ReadOptions
from cka_plugin.data.loader import Stream
from cka_plugin.data.sampled import SampledStream
from cka_plugin.engine import ranks as distributed
from tests.support import ROOT
from tests.support.nets import ConvNet, images

LABELS = [i % 5 for i in range(200)]


def job(name: str) -> Callable[[Path], None]:
    return globals()[f"job_{name}"]


def _rank(rank: int, size: int, name: str, folder: str) -> None:
    import torch.distributed as dist

    os.environ["LOCAL_WORLD_SIZE"] = str(size)
    store = dist.FileStore(f"{folder}/store-{name}", size)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=2 if name == "hangs" else 20)
    )
    try:
        job(name)(Path(folder) / f"{name}-{rank}")
    except Exception as error:
        (Path(folder) / f"{name}-{rank}.error").write_text(f"{type(error).__name__}: {error}")
    dist.destroy_process_group()


def start(jobs: list[tuple[str, int]], folder: Path) -> None:
    """Run jobs, each on so many ranks; what they raise lies in files."""
    context = torch.multiprocessing.get_context("fork")
    for name, size in jobs:
        ranks = [context.Process(target=_rank, args=(rank, size, name, str(folder))) for rank in range(size)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(60)
            assert not process.is_alive(), f"{name} hangs"


def models() -> dict[str, nn.Module]:
    return {"a": ConvNet(seed=1), "b": ConvNet(width=8, seed=2)}


def loader(n: int = 70, **sampler) -> DataLoader:
    data = TensorDataset(images(n), torch.tensor(LABELS[:n]))
    return DataLoader(data, batch_size=8, sampler=DistributedSampler(data, **sampler) if sampler else None)


def compared(**options) -> cka.Comparison:
    return cka.compare(models(), granularity="module", progress=False, **options)


def job_whole(path: Path | None) -> cka.Comparison:
    comparison = compared(data=images(75), labels=LABELS[:75], batch_size=8, passes=2)
    if path is not None:
        comparison.save(path)
    return comparison


def job_loader(path: Path | None) -> cka.Comparison:
    comparison = compared(data=loader())
    if path is not None:
        comparison.save(path)
    return comparison


def job_spilled(path: Path | None) -> cka.Comparison:
    comparison = compared(data=loader(), max_memory=0)
    if path is not None:
        assert isinstance(comparison["a"].vectors[0], np.memmap)
        comparison.save(path)
    return comparison


def job_sketch(path: Path | None) -> cka.Comparison:
    comparison = compared(data=images(75), batch_size=16, sketch=32)
    if path is not None:
        comparison.save(path)
    return comparison


def job_sampler(path: Path) -> None:
    compared(data=loader(shuffle=False)).save(path)


def job_shuffled(path: Path) -> None:
    compared(data=loader(shuffle=True, seed=3)).save(path)


def job_levels(path: Path | None) -> cka.Comparison:
    comparison = compared(data=images(14), batch_size=10, levels=True)  # also for a rank without minibatches
    if path is not None:
        comparison.save(path)
    return comparison


def job_idle(path: Path | None) -> cka.Comparison:
    comparison = compared(data=images(14), batch_size=10)  # one minibatch of 10 and one of 4 for three ranks
    if path is not None:
        comparison.save(path)
    return comparison


def job_parallel(path: Path) -> None:
    model = nn.parallel.DistributedDataParallel(ConvNet())
    cka.represent({"net": model}, images(40), batch_size=8, progress=False).save(path)


def job_checkpoint(path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64), batch_size=8, checkpoint_dir=path.parent / "kept", progress=False)


def job_fails(path: Path) -> None:
    torch.distributed.barrier()
    model = ConvNet()
    if torch.distributed.get_rank() == 1:
        model.stem = nn.Conv2d(4, 6, 3)
    cka.represent({"net": model}, images(64), batch_size=8, progress=False)


def job_dies(path: Path) -> None:
    model = ConvNet()
    if torch.distributed.get_rank() == 1:
        model.register_forward_hook(lambda *_: os.kill(os.getpid(), 9))
    cka.represent({"net": model}, images(64), batch_size=8, progress=False)


def job_hangs(path: Path) -> None:
    if torch.distributed.get_rank() == 1:
        time.sleep(6)
    else:
        cka.represent({"net": ConvNet()}, images(64), batch_size=8, progress=False)


def job_other_backend(path: Path) -> None:
    distributed.dist.get_backend = lambda: "nccl"  # whose tensors lie on GPUs: the exchange gets a group of its own
    os.environ[distributed.TIMEOUT_VARIABLE] = "20"
    cka.represent({"net": ConvNet()}, images(64), batch_size=8, progress=False).save(path)


def job_shard(path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64), shard=(0, 2), progress=False)


def job_other_weights(path: Path) -> None:
    cka.represent({"net": ConvNet(seed=torch.distributed.get_rank())}, images(64), progress=False)


def job_other_data(path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64, seed=torch.distributed.get_rank()), progress=False)


def job_other_loaders(path: Path) -> None:
    own = DataLoader(images(64)[torch.distributed.get_rank() :: 2], batch_size=8)
    cka.represent({"net": ConvNet()}, own, progress=False)


def job_other_sampler(path: Path) -> None:
    own = loader(num_replicas=4, rank=torch.distributed.get_rank())
    cka.represent({"net": ConvNet()}, own, progress=False)


def job_alone(path: Path) -> None:
    if torch.distributed.get_rank() == 0:
        with distributed.alone():
            cka.represent({"net": ConvNet()}, images(64), progress=False).save(path)


def job_probe(path: Path) -> None:
    if torch.distributed.get_rank() == 0:
        from cka_plugin.training.probe import Probe

        probe = Probe(images(32))
        probe.start(ConvNet())
        path.write_text(str(probe.measure(ConvNet())["cka/start/lowest"]))


JOBS = [
    ("whole", 2),
    ("loader", 3),
    ("spilled", 2),
    ("sketch", 2),
    ("sampler", 3),
    ("shuffled", 2),
    ("idle", 3),
    ("levels", 3),
    ("parallel", 2),
    ("fails", 3),
    ("dies", 3),
    ("hangs", 2),
    ("other_backend", 2),
    ("shard", 2),
    ("other_weights", 2),
    ("other_data", 2),
    ("other_loaders", 2),
    ("other_sampler", 2),
    ("alone", 2),
    ("probe", 2),
    ("checkpoint", 2),
]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all jobs have left their results; processes start once, not once a test."""
    folder = tmp_path_factory.mktemp("ranks")
    code = f"import tests.engine.test_ranks as t, pathlib; t.start({JOBS!r}, pathlib.Path({str(folder)!r}))"
    root = str(ROOT)
    environment = {**os.environ, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=root, timeout=300)
    return folder


def errors_of(folder: Path, name: str) -> dict[int, str]:
    return {int(p.stem.rpartition("-")[2]): p.read_text() for p in folder.glob(f"{name}-*.error")}


def assert_same(found: cka.Comparison, expected: cka.Comparison) -> None:
    for name in expected.names:
        one, other = found[name], expected[name]
        assert one.example_ids == other.example_ids
        assert one.layers == other.layers
        assert one.shard is None
        assert np.array_equal(one.fingerprints, other.fingerprints)
        assert np.abs(one.logits - other.logits).max() < 1e-9
        assert (one.labels is None) == (other.labels is None)
        assert one.labels is None or np.array_equal(one.labels, other.labels)
        assert [p.tolist() for p in one.positions] == [p.tolist() for p in other.positions]
    for a, b in (("a", "a"), ("a", "b")):
        assert np.abs(found.matrix(a, b) - expected.matrix(a, b)).max() < 1e-9


@pytest.mark.parametrize(("name", "size"), [("whole", 2), ("loader", 3), ("spilled", 2), ("sketch", 2), ("idle", 3)])
def test_every_rank_has_the_result_of_one_process(done: Path, name: str, size: int) -> None:
    assert errors_of(done, name) == {}
    expected = job(name)(None)
    for rank in range(size):
        assert_same(cka.load(done / f"{name}-{rank}"), expected)
    contents = {(done / f"{name}-{rank}").read_bytes() for rank in range(size)}
    assert len(contents) == 1


def test_untrained_copies_and_inputs_are_shared_out_like_models(done: Path) -> None:
    assert errors_of(done, "levels") == {}
    expected = job("levels")(None)
    for rank in range(3):
        found = cka.load(done / f"levels-{rank}")
        assert_same(found, expected)
        for name in found.names:
            assert found[name].beside.keys() == {"untrained", "input"}
            for key, copy in found[name].beside.items():
                same = zip(copy.vectors, expected[name].beside[key].vectors, strict=True)
                assert all(np.allclose(one, other, atol=1e-6) for one, other in same)


@pytest.mark.parametrize(("name", "size"), [("sampler", 3), ("shuffled", 2)])
def test_examples_of_a_distributed_sampler_are_told_apart_and_its_filling_left_out(
    done: Path, name: str, size: int
) -> None:
    assert errors_of(done, name) == {}
    one_process = compared(data=loader())
    for rank in range(size):
        found = cka.load(done / f"{name}-{rank}")
        rep = found["a"]
        assert rep.example_ids == list(range(70))  # positions in the data set; 72 were given to three ranks
        assert np.array_equal(rep.labels, LABELS[:70])
        assert np.array_equal(rep.fingerprints, one_process["a"].fingerprints)
        assert np.abs(rep.logits - one_process["a"].logits).max() < 1e-5
        assert sum(rep.batch_sizes) == 70
        regrouped = [images(70)[torch.from_numpy(positions)] for positions in rep.positions]
        again = compared(data=(minibatch for minibatch in regrouped))
        assert np.abs(found.matrix() - again.matrix()).max() < 1e-6


def test_a_data_parallel_model_is_run_by_all_ranks(done: Path) -> None:
    assert errors_of(done, "parallel") == {}
    expected = cka.represent({"net": ConvNet()}, images(40), batch_size=8, progress=False)
    for rank in range(2):
        found = cka.load(done / f"parallel-{rank}")
        assert [layer.path for layer in found.layers] == [f"module.{layer.path}" for layer in expected.layers]
        assert np.abs(cka.compare(found, expected.renamed("one")).matrix().diagonal() - 1).max() < 1e-6


def test_an_error_on_one_rank_is_said_on_all(done: Path) -> None:
    errors = errors_of(done, "fails")
    assert errors[1].startswith("RuntimeError: net failed on a minibatch of float32 (8, 3, 8, 8)")
    for rank in (0, 2):
        assert errors[rank].startswith("DistributedError: rank 1 of 3 failed: RuntimeError: net failed on a minibatch")


def test_a_rank_that_dies_ends_the_others_with_an_error(done: Path) -> None:
    errors = errors_of(done, "dies")
    assert set(errors) == {0, 2}
    for rank in (0, 2):
        assert f"DistributedError: rank {rank} of 3 waited for the others in vain" in errors[rank]


def test_a_rank_that_hangs_is_not_waited_for_beyond_the_timeout(done: Path) -> None:
    errors = errors_of(done, "hangs")
    assert set(errors) == {0}
    assert re.search("rank 0 of 2 waited for the others in vain.*[Rr]anks? 1", errors[0])


def test_a_group_of_another_backend_is_left_alone(done: Path) -> None:
    assert errors_of(done, "other_backend") == {}
    assert cka.load(done / "other_backend-1").n_examples == 64


def test_shards_within_a_process_group_are_refused(done: Path) -> None:
    assert re.search("the 2 ranks of the process group share the minibatches already", errors_of(done, "shard")[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other_weights", "ranks 0 and 1 of 2 have other weights of net: give every rank the same models"),
        ("other_data", "ranks 0 and 1 of 2 have other data"),
        ("other_loaders", "ranks 0 and 1 of 2 have other data.*a DataLoader with a DistributedSampler"),
        ("other_sampler", "the DistributedSampler is for rank 0 of 4, this is rank 0 of 2"),
    ],
)
def test_ranks_that_do_not_do_the_same_are_told(done: Path, name: str, message: str) -> None:
    errors = errors_of(done, name)
    assert set(errors) == {0, 1}
    assert re.search(message, errors[0])


def test_one_rank_can_work_alone(done: Path) -> None:
    assert errors_of(done, "alone") == errors_of(done, "probe") == {}
    assert cka.load(done / "alone-0").n_examples == 64
    assert float((done / "probe-0").read_text()) == pytest.approx(1.0)


def test_ranks_keep_their_minibatches_in_one_folder(done: Path) -> None:
    assert errors_of(done, "checkpoint") == {}
    assert sorted(int(path.stem) for path in done.glob("kept/net-*/*.safetensors")) == list(range(8))


def own(rank: int, n: int = 10, labels: list[int] | None = None, **read) -> list[tuple[int, list, list | None]]:
    """Number, ids and labels of the minibatches of one of three ranks."""
    data = TensorDataset(images(n))
    sampler = DistributedSampler(data, num_replicas=3, rank=rank, shuffle=False)
    stream = Stream(DataLoader(data, batch_size=4, sampler=sampler))
    stream = stream if labels is None else stream.with_labels(labels)
    batches = SampledStream(stream, sampler).batches(ReadOptions(**read))
    return [(b.index, b.ids, None if b.labels is None else b.labels.tolist()) for b in batches]


def test_a_rank_reads_its_own_examples_without_those_that_fill_up() -> None:
    assert own(0, 28) == [(0, [0, 3, 6, 9], None), (3, [12, 15, 18, 21, 24, 27], None)]
    assert own(1, 28) == [(1, [1, 4, 7, 10], None), (4, [13, 16, 19, 22, 25], None)]  # two of ten fill up
    assert own(2, 28, max_examples=16) == [(2, [2, 5, 8, 11, 14], None)]
    assert own(1, 1) == []
    assert own(1, 12, labels=list(range(12, 0, -1))) == [(1, [1, 4, 7, 10], [11, 8, 5, 2])]
    with pytest.raises(ValueError, match="given 3 labels for 12 examples"):
        own(1, 12, labels=[1, 2, 3])
    with pytest.raises(ValueError, match="gives rank 2 of 3 2 examples: a minibatch needs at least 4; use fewer ranks"):
        own(2, 8)


def test_a_shard_without_data_merges() -> None:
    parts = [cka.represent(ConvNet(), images(14), batch_size=10, shard=(i, 3), progress=False) for i in range(3)]
    assert parts[2].minibatches == []
    merged = cka.Representation.merge(parts[::-1])
    whole = cka.represent(ConvNet(), images(14), batch_size=10, progress=False)
    assert np.array_equal(cka.compare(merged).matrix(), cka.compare(whole).matrix())


def test_the_command_under_torchrun_prints_and_writes_once(tmp_path: Path) -> None:
    arguments = ["compare", "sample:narrow", "sample:wide", "--data", "sample:digits", "--max-examples", "96"]
    arguments += ["--batch-size", "16", "--json", "--quiet", "--save", str(tmp_path / "both.safetensors")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, "-m", "cka_plugin", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert os.listdir(tmp_path) == ["both.safetensors"]
    names = ("sample:narrow", "sample:wide")
    whole = cka.compare(*names, data="sample:digits", max_examples=96, batch_size=16, progress=False)
    assert np.abs(cka.load(tmp_path / "both.safetensors").matrix() - whole.matrix()).max() < 1e-9
    assert np.abs(np.array(found["matrices"][1]["cka"]) - whole.matrix()).max() < 1e-9
