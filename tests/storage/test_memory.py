"""Memory is bounded by `max_memory`: what lies in files is used a minibatch at a time, and gives the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cka_plugin as cka
from tests.support.nets import ConvNet, images

# 20 minibatches of 80 layers that are cheap to run: 50 MiB of vectors.
LARGE = """
import json, pathlib, sys
import numpy as np, torch
from torch import nn
import cka_plugin as cka
from cka_plugin.storage import tensorfile

tensorfile.MAPPED_FROM = 0  # map this file too, which is not yet a large one

def private():
    text = pathlib.Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024

class Watch:
    worst = 0.0
    @classmethod
    def look(cls, *_):
        cls.worst = max(cls.worst, private())

def net():
    return nn.Sequential(*[nn.Linear(16, 16) for _ in range(80)])

folder, max_memory = sys.argv[1:]
torch.set_num_threads(1)
data = torch.randn(2560, 16)
cka.compare(net(), data=data[:128], batch_size=128, granularity="module", progress=False)  # what is imported and cached
start = private()
model = net()
model.register_forward_hook(Watch.look)
options = dict(batch_size=128, granularity="module", max_memory=max_memory, progress=False)
rep = cka.represent(model, data, name="net", **options)
Watch.look()
matrix = cka.compare(rep).matrix()
Watch.look()
rep.save(folder + "/net.safetensors")
Watch.look()
again = cka.compare(cka.load(folder + "/net.safetensors"))
assert np.array_equal(again.matrix(), matrix)
Watch.look()
print(json.dumps([sum(v.nbytes for v in rep.vectors) / 2**20, Watch.worst - start]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_run_takes_no_more_than_its_budget(tmp_path: Path) -> None:
    used = {}
    for max_memory in ("4GiB", "10MiB"):
        command = [sys.executable, "-c", LARGE, str(tmp_path), max_memory]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        vectors, used[max_memory] = json.loads(done.stdout)
        print(vectors, used)
    assert vectors > 45
    assert used["4GiB"] > vectors  # what the measurement is worth
    # The budget, and of one minibatch the Gram matrices, centred and packed: 5 MiB each.
    assert used["10MiB"] < 35


def test_ten_passes_over_a_choice_of_the_examples_spill_and_give_the_same_bits() -> None:
    given = {"data": images(200), "batch_size": 16, "max_examples": 100, "passes": 10, "progress": False}
    nets = {"a": ConvNet(seed=1), "b": ConvNet(seed=2)}
    whole = cka.compare(nets, **given)
    spilled = cka.compare(nets, max_memory="20KiB", **given)
    assert [isinstance(v, np.memmap) for v in spilled["b"].vectors].count(True) > 50
    assert whole["a"].n_examples == 100
    assert np.bincount(whole["a"].passes).tolist() == [7] * 10
    assert np.array_equal(whole.matrix(), spilled.matrix())
    assert whole["a"].problems == spilled["a"].problems == {}


def test_spilled_shards_merge_in_bounded_memory(tmp_path: Path) -> None:
    parts = [
        cka.represent(ConvNet(), images(64), batch_size=16, shard=(i, 2), max_memory=0, progress=False).save(
            tmp_path / f"{i}.safetensors"
        )
        for i in range(2)
    ]
    merged = cka.Representation.merge(parts, max_memory=0)
    assert isinstance(merged.vectors[0], np.memmap)
    whole = cka.represent(ConvNet(), images(64), batch_size=16, progress=False)
    assert all(np.array_equal(x, y) for x, y in zip(merged.vectors, whole.vectors, strict=True))
