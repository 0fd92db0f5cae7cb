"""Long work survives: killed at any moment it goes on where it was, and gives the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import cka_plugin as cka
from cka_plugin.engine import finished
from cka_plugin.storage import write_tensors
from tests.support import ROOT
from tests.support.checkpoints import Counting, options, same
from tests.support.damage import flipped, mangled, refused
from tests.support.nets import ConvNet, images

# 80 minibatches of two models, slow enough to be killed in the middle.
SURVIVOR = """
import sys, time, torch
import cka_plugin as cka
from tests.support.nets import ConvNet, images
nets = {"a": ConvNet(seed=1), "b": ConvNet(seed=2)}
for net in nets.values():
    net.register_forward_hook(lambda *_: time.sleep(0.005))
comparison = cka.compare(nets, data=images(640), labels=[i % 5 for i in range(640)], batch_size=16, passes=2,
                         checkpoint_dir=sys.argv[1], progress=False)
comparison.save(sys.argv[1] + "/../done.safetensors")
"""

# The start of an interpreter costs seconds: one process forks each run that is killed.
KILLER = """
import glob, os, signal, sys, time
import torch, cka_plugin, tests.support.nets
cka_plugin.compare(tests.support.nets.ConvNet(), data=tests.support.nets.images(8), batch_size=8, progress=False)
_, code, folder, *waits = sys.argv
def finished():
    return len(glob.glob(folder + "/*/[0-9]*.safetensors"))
for wait in waits:
    seconds, after_progress = wait.split()
    before = finished()
    child = os.fork()
    if child == 0:
        sys.argv = ["survivor", folder]
        exec(code, {})
        os._exit(0)
    while after_progress == "1" and finished() == before and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.002)
    time.sleep(float(seconds))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it had ended before it was killed"
    print(finished(), flush=True)
"""


def test_killed_twenty_times_it_gives_the_same_bits(tmp_path: Path) -> None:
    root = str(ROOT)
    environment = {**os.environ, "PYTHONPATH": root}
    rng = random.Random(0)
    # Every other time once something new is finished, so that the run gets on; else at any moment, from the start.
    waits = [f"{rng.uniform(0, 0.05)} {int(i % 2 == 0)}" for i in range(20)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLER, SURVIVOR, str(tmp_path / "kept"), *waits],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert killed.returncode == 0, killed.stderr
    counts = [int(line) for line in killed.stdout.split()]
    assert len(counts) == 20
    assert counts == sorted(counts)
    assert 10 <= counts[-1] < 160
    assert not (tmp_path / "done.safetensors").exists()
    for folder in (tmp_path / "kept", tmp_path / "whole" / "kept"):
        subprocess.run([sys.executable, "-c", SURVIVOR, str(folder)], check=True, env=environment)
    one, other = cka.load(tmp_path / "done.safetensors"), cka.load(tmp_path / "whole" / "done.safetensors")
    assert all(same(one[name], other[name]) for name in "ab")
    assert np.array_equal(one.matrix(), other.matrix())


def test_finished_minibatches_are_neither_prepared_nor_run_again(tmp_path: Path) -> None:
    whole = cka.represent({"net": Counting()}, images(64), **options())
    with pytest.raises(KeyboardInterrupt):
        cka.represent({"net": Counting(stop_at=6)}, images(64), **options(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]
    model = Counting()
    assert same(cka.represent({"net": model}, images(64), **options(tmp_path)), whole)
    assert model.runs == 3
    assert same(cka.represent({"net": model}, images(64), **options(tmp_path)), whole)
    assert model.runs == 3


def test_the_data_of_finished_minibatches_are_not_read_again(tmp_path: Path) -> None:
    class Pictures(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.read: list[int] = []

        def __len__(self) -> int:
            return 64

        def __getitem__(self, place: int) -> tuple[Tensor, int]:
            self.read.append(place)
            return images(64)[place], place % 5

    given = {"batch_size": 8, "checkpoint_dir": tmp_path, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        cka.represent({"net": Counting(stop_at=6)}, Pictures(), **given)
    pictures = Pictures()
    cka.represent({"net": Counting()}, pictures, **given)
    # One to see what the examples are, three minibatches that were left, one to see that the data are as they were.
    assert len(pictures.read) == 1 + 4 * 8


def test_a_loader_is_read_but_not_run(tmp_path: Path) -> None:
    loader = torch.utils.data.DataLoader(images(64), batch_size=8, shuffle=True)
    given = {"checkpoint_dir": tmp_path, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        cka.represent({"net": Counting(stop_at=6)}, loader, **given)
    model = Counting()
    assert same(
        cka.represent({"net": model}, loader, **given), cka.represent({"net": Counting()}, loader, progress=False)
    )
    assert model.runs == 3


def test_a_further_model_does_not_run_the_others_again(tmp_path: Path) -> None:
    nets = {"a": Counting(1), "b": Counting(2)}
    cka.compare({"a": nets["a"]}, data=images(64), **options(tmp_path))
    both = cka.compare(nets, data=images(64), **options(tmp_path))
    assert (nets["a"].runs, nets["b"].runs) == (8, 8)
    expected = cka.compare(nets, data=images(64), **options())
    assert np.array_equal(both.matrix("a", "b"), expected.matrix("a", "b"))


def test_shards_keep_their_minibatches_in_one_folder(tmp_path: Path) -> None:
    whole = cka.represent({"net": Counting()}, images(64), **options())
    for i in range(2):
        cka.represent({"net": Counting()}, images(64), shard=(i, 2), **options(tmp_path))
    model = Counting()
    assert same(cka.represent({"net": model}, images(64), **options(tmp_path)), whole)
    assert model.runs == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "mean"}, r"pooling \('auto' there, 'mean' now\)"),
        ({"seed": 3}, r"seed \(0 there, 3 now\); its data"),
        ({"granularity": "block"}, r"granularity \('module' there, 'block' now\)"),
        ({"model": 1}, "of another run, which differs in its weights"),
        ({"data": images(64) + 1}, "the examples of minibatch 0 have changed"),
        ({"data": images(65)[1:], "labels": None}, "the examples of minibatch 0 have changed"),
        ({"labels": [0] * 64}, "the labels of minibatch 0 have changed"),
    ],
    ids=["option", "seed", "granularity", "weights", "content", "shifted", "labels"],
)
def test_a_folder_of_another_run_is_an_error_that_says_what_differs(tmp_path: Path, change: dict, message: str) -> None:
    cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    net = ConvNet(seed=change.pop("model", 0))
    given = {**options(tmp_path), **change}
    with pytest.raises(ValueError, match=message):
        cka.represent({"net": net}, given.pop("data", images(64)), **given)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    path = next(tmp_path.glob("*/3.safetensors"))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"3\.safetensors is damaged.*delete 3"):
        cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    path.unlink()
    whole = cka.represent({"net": ConvNet()}, images(64), **options())
    assert same(cka.represent({"net": ConvNet()}, images(64), **options(tmp_path)), whole)


@pytest.mark.parametrize("file", ["3.safetensors", "layers.json", "model.json", "run.json"])
def test_a_changed_file_is_seen(tmp_path: Path, file: str) -> None:
    """Whatever bit of it is another, the run either stops with its name or gives the same bits."""
    whole = cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    (path,) = tmp_path.rglob(file)
    before = path.read_bytes()
    rng = random.Random(0)

    def go_on() -> None:
        assert same(cka.represent({"net": ConvNet()}, images(64), **options(tmp_path)), whole)

    count = 0
    for change in [flipped] * 30 + [mangled] * 20:
        path.write_bytes(change(before, rng))
        count += refused(go_on, str(tmp_path))
    assert count >= 45


def test_a_full_disk_is_a_clear_error_and_what_is_finished_stays(tmp_path: Path, monkeypatch) -> None:
    whole = cka.represent({"net": ConvNet()}, images(64), **options())
    written = []

    def full(file, tensors, metadata) -> None:
        if len(written) == 3:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        written.append(1)
        write_tensors(file, tensors, metadata)

    monkeypatch.setattr(finished, "write_tensors", full)
    with pytest.raises(OSError, match=r"cannot write .*3\.safetensors: No space left on device"):
        cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.glob("*/*safetensors*")) == [f"{i}.safetensors" for i in range(3)]
    assert same(cka.represent({"net": ConvNet()}, images(64), **options(tmp_path)), whole)


def test_what_killed_runs_were_writing_is_removed_later(tmp_path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    for name, age in ((".7.safetensors.x.part", 3600), (".6.safetensors.y.part", 0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    assert [path.name for path in folder.glob(".*.part")] == [".6.safetensors.y.part"]


def test_ctrl_c_on_the_command_leaves_no_half_written_file(tmp_path: Path) -> None:
    arguments = ["represent", "sample:narrow", "--data", "sample:digits", "--passes", "20", "--quiet"]
    arguments += ["--checkpoint-dir", str(tmp_path / "kept"), "-o", str(tmp_path / "net.safetensors")]
    command = [sys.executable, "-m", "cka_plugin", *arguments]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("kept/*/2.safetensors")):
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors.strip()) == (130, "error: interrupted")
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "net.safetensors").exists()
