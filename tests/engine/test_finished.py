"""The file of a finished minibatch: it is what was written, of that minibatch, run and model, or it is refused."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from pathlib import Path

import pytest

import cka_plugin as cka
from cka_plugin.storage import read_tensors
from tests.support.checkpoints import Counting, options, same
from tests.support.damage import refused, rewritten, without_checksums
from tests.support.nets import ConvNet, images


def test_malformed_minibatches_are_named(tmp_path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    path = next(tmp_path.glob("*/3.safetensors"))
    before, rng = path.read_bytes(), random.Random(0)
    count = 0
    for place in range(60):
        path.write_bytes(before)
        path.write_bytes(rewritten(path, rng, "minibatch", checksums=place % 2 == 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cka.CKAWarning)  # an array may hold NaN now
            count += refused(lambda: cka.represent({"net": ConvNet()}, images(64), **options(tmp_path)), str(tmp_path))
    assert count > 30


def test_a_minibatch_does_not_pass_for_another(tmp_path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    shutil.copy(folder / "4.safetensors", folder / "3.safetensors")
    with pytest.raises(ValueError, match=r"3\.safetensors is damaged: it is of minibatch 4; delete 3"):
        cka.represent({"net": ConvNet()}, images(64), **options(tmp_path))


def test_a_minibatch_of_another_model_does_not_pass(tmp_path: Path) -> None:
    cka.represent({"net": ConvNet()}, images(64), **options(tmp_path / "this"))
    cka.represent({"net": ConvNet(seed=1)}, images(64), **options(tmp_path / "other"))
    (theirs,), (ours,) = (tmp_path.glob(f"{name}/*/3.safetensors") for name in ("other", "this"))
    shutil.copy(theirs, ours)
    with pytest.raises(ValueError, match=r"3\.safetensors is damaged: it is of another run or model; delete 3"):
        cka.represent({"net": ConvNet()}, images(64), **options(tmp_path / "this"))


def test_minibatches_of_version_1_are_still_read(tmp_path: Path) -> None:
    """They have no checksums, and do not say which minibatch they are."""
    whole = cka.represent({"net": Counting()}, images(64), **options(tmp_path))
    run = tmp_path / "run.json"
    run.write_text(run.read_text().replace('"version": 2', '"version": 1'))
    for path in tmp_path.glob("*/*.safetensors"):
        path.write_bytes(without_checksums(path.read_bytes(), version=None))
    for path in tmp_path.glob("*/layers.json"):
        path.write_text(json.dumps(json.loads(path.read_text())["layers"]))
    model = Counting()
    assert same(cka.represent({"net": model}, images(64), **options(tmp_path)), whole)
    assert model.runs == 0
    written = read_tensors(Path(__file__).with_name("version_1") / "0.safetensors")
    assert sorted(written.metadata) == ["minibatch"]
    assert set(written.arrays) == set(read_tensors(next(tmp_path.glob("*/0.safetensors"))).arrays)
