"""Saved representations and comparisons: what is read is what was written, and bad files are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

import cka_plugin as cka
from cka_plugin.representation import files
from cka_plugin.storage import tensorfile
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def representation() -> cka.Representation:
    data = images(40)
    return cka.represent(ConvNet(), data, labels=[i % 5 for i in range(40)], batch_size=8, name="net", progress=False)


def test_a_representation_comes_back_as_it_was(representation: cka.Representation, tmp_path: Path) -> None:
    path = representation.save(tmp_path / "net.safetensors")
    back = cka.Representation.load(path)
    for field in ("name", "layers", "example_ids", "options", "class_names", "label_names", "problems", "shard"):
        assert getattr(back, field) == getattr(representation, field)
    for field in ("fingerprints", "ranks", "exponents", "logits", "labels"):
        assert np.array_equal(getattr(back, field), getattr(representation, field))
    for x, y in zip(back.vectors, representation.vectors, strict=True):
        assert np.array_equal(x, y)
    assert np.array_equal(cka.compare(back).matrix(), cka.compare(representation).matrix())


def test_a_comparison_comes_back_as_it_was(representation: cka.Representation, tmp_path: Path) -> None:
    comparison = cka.compare(representation, representation.renamed("other"), estimator="biased")
    path = comparison.save(tmp_path / "both.safetensors")
    back = cka.load(path)
    assert isinstance(back, cka.Comparison)
    assert back.names == ["net", "other"]
    assert np.array_equal(back.matrix(), comparison.matrix())
    with pytest.raises(ValueError, match="holds a comparison of 2 models"):
        cka.Representation.load(path)


def test_files_are_plain_safetensors_without_pickle(representation: cka.Representation, tmp_path: Path) -> None:
    path = representation.save(tmp_path / "net.safetensors")
    with safe_open(str(path), framework="numpy") as file:
        assert file.metadata()["format"] == "cka_plugin"
        assert file.get_tensor("0/vectors.0").dtype == np.float32


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone.safetensors"):
        cka.load(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 100, -10])
def test_a_truncated_file_is_refused(representation: cka.Representation, tmp_path: Path, keep: int) -> None:
    path = representation.save(tmp_path / "net.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"net\.safetensors is truncated or not a \.safetensors file"):
        cka.load(path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    save_file({"weight": np.ones(3, dtype=np.float32)}, str(tmp_path / "weights.safetensors"))
    with pytest.raises(ValueError, match="was not written by cka_plugin"):
        cka.load(tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is no file of ours at all")
    with pytest.raises(ValueError, match=r"truncated or not a \.safetensors file"):
        cka.load(tmp_path / "text.safetensors")


def test_a_newer_file_is_refused(representation: cka.Representation, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "VERSION", 99)
    path = representation.save(tmp_path / "net.safetensors")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"format version 99.*upgrade"):
        cka.load(path)


FULL_DISK = """
import resource, signal, sys
import cka_plugin as cka
rep = cka.load(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
try:
    rep.renamed("new").save(sys.argv[1])
except OSError as error:
    print(error)
"""


def test_a_full_disk_is_a_clear_error_and_the_earlier_file_intact(
    representation: cka.Representation, tmp_path: Path
) -> None:
    pytest.importorskip("resource")
    path = representation.save(tmp_path / "net.safetensors")
    before = path.read_bytes()
    assert len(before) > 5_000
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert re.search(r"cannot write .*net\.safetensors: File too large; an earlier file is as it was", done.stdout)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.safetensors"]


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (OSError(28, "No space left on device"), OSError, r"cannot write .*net\.safetensors: No space left"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
    ids=["full disk", "Ctrl-C"],
)
def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(
    representation: cka.Representation, tmp_path: Path, monkeypatch, raised, expected, message
) -> None:
    path = representation.save(tmp_path / "net.safetensors")
    before = path.read_bytes()

    def stop(file, tensors, metadata) -> None:
        file.write(b"half of a header")
        raise raised

    monkeypatch.setattr(files, "write_tensors", stop)
    with pytest.raises(expected, match=message):
        representation.renamed("new").save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_a_large_file_is_read_when_it_is_used(representation: cka.Representation, tmp_path: Path, monkeypatch) -> None:
    path = representation.save(tmp_path / "net.safetensors")
    whole = cka.load(path)
    monkeypatch.setattr(tensorfile, "MAPPED_FROM", 0)
    mapped = cka.load(path)
    assert isinstance(mapped.vectors[0], np.memmap)
    assert not isinstance(whole.vectors[0], np.memmap)
    assert np.array_equal(cka.compare(mapped).matrix(), cka.compare(whole).matrix())
    again = mapped.save(tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_writing_into_a_missing_folder_says_so(representation: cka.Representation, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the folder .*nowhere does not exist"):
        representation.save(tmp_path / "nowhere" / "net.safetensors")


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = "timm transformers matplotlib pandas torchvision sklearn datasets"
    code = f"import sys, cka_plugin; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_saved_on_one_thread_and_read_on_two_is_the_same(representation: cka.Representation, tmp_path: Path) -> None:
    path = representation.save(tmp_path / "net.safetensors")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = cka.compare(cka.load(path)).matrix()
        torch.set_num_threads(2)
        assert np.abs(cka.compare(cka.load(path)).matrix() - one).max() < 1e-6
    finally:
        torch.set_num_threads(threads)
