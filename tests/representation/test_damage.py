"""Files are trusted no further than they deserve: whatever was changed in one is a ValueError with its name."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.storage import read_tensors, tensorfile
from tests.support.damage import flipped, mangled, refused, rewritten, without_checksums
from tests.support.nets import ConvNet, images

VERSION_1 = Path(__file__).with_name("version_1")  # written before files had checksums
KINDS = ("representation", "comparison", "baseline")
DAMAGED = (*KINDS, "levels")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of each kind."""
    folder = tmp_path_factory.mktemp("written")
    given = {"labels": [i % 5 for i in range(24)], "batch_size": 8, "granularity": "stage", "progress": False}
    representation = cka.represent({"net": ConvNet(width=2, blocks=1)}, images(24), **given)
    representation.save(folder / "representation.safetensors")
    cka.compare(representation, representation.renamed("b")).save(folder / "comparison.safetensors")
    nets = {"a": ConvNet(width=2, blocks=1), "b": ConvNet(width=3, blocks=1)}
    cka.compare(nets, data=images(24), levels=True, **given).save(folder / "levels.safetensors")
    facts = {"noise": dict.fromkeys(representation.layer_names, 1e-07), "churn": 0.0, "storage_loss": 1e-6}
    cka.Baseline(representation, **facts, examples=images(24)).save(folder / "baseline.safetensors")
    return folder


def use(kind: str, path: Path) -> object:
    """What a user does with a file, down to the numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cka.CKAWarning)
        if kind == "baseline":
            baseline = cka.Baseline.load(path)
            floors = [baseline.floor(layer) for layer in baseline.representation.layer_names]
            return (repr(baseline), floors, cka.compare(baseline.representation).matrix())
        loaded = cka.load(path)
        if kind == "levels" and len(loaded.names) > 1:
            loaded.levels(*loaded.names[:2], draws=19)
        return (repr(loaded), (cka.compare(loaded) if isinstance(loaded, cka.Representation) else loaded).matrix())


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_version_1_still_open(kind: str) -> None:
    assert use(kind, VERSION_1 / f"{kind}.safetensors")


def test_numbers_of_version_1_are_what_they_were() -> None:
    comparison = cka.load(VERSION_1 / "comparison.safetensors")
    assert isinstance(comparison, cka.Comparison)
    expected = np.loadtxt(VERSION_1 / "matrix.csv", delimiter=",")
    assert np.abs(comparison.matrix("a", "b") - expected).max() < 1e-12
    baseline = cka.Baseline.load(VERSION_1 / "baseline.safetensors")
    assert baseline.examples.shape == (12, 4)
    assert set(baseline.noise) == {"0", "1", "head"}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("change", [flipped, mangled])
def test_what_was_changed_is_seen(
    written: Path, tmp_path: Path, kind: str, change: Callable[[bytes, random.Random], bytes]
) -> None:
    whole = (written / f"{kind}.safetensors").read_bytes()
    path = tmp_path / f"{kind}.safetensors"
    rng = random.Random(0)
    for _ in range(100):
        content = change(whole, rng)
        path.write_bytes(content)
        if content != whole:
            with pytest.raises(ValueError, match=rf"{kind}\.safetensors"):
                use(kind, path)


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("checksums", [True, False], ids=["with checksums", "version 1"])
def test_malformed_values_are_a_value_error_that_names_the_file(
    written: Path, tmp_path: Path, kind: str, checksums: bool
) -> None:
    path = tmp_path / f"{kind}.safetensors"
    rng = random.Random(1)
    count = 0
    for _ in range(100):
        path.write_bytes(rewritten(written / f"{kind}.safetensors", rng, "models", checksums))
        count += refused(lambda: use(kind, path), str(path))
    assert count > 40


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_happens_to_a_file_without_checksums_is_at_worst_a_value_error(
    written: Path, tmp_path: Path, kind: str
) -> None:
    whole = without_checksums((written / f"{kind}.safetensors").read_bytes())
    path = tmp_path / f"{kind}.safetensors"
    rng = random.Random(2)
    count = 0
    for place in range(100):
        path.write_bytes((flipped, mangled)[place % 2](whole, rng))
        count += refused(lambda: use(kind, path), str(path))
    assert count > 25


def test_one_minibatch_does_not_pass_for_another(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    content = bytearray((written / "representation.safetensors").read_bytes())
    file = read_tensors(written / "representation.safetensors")
    first, second = (np.asarray(file.arrays[f"0/vectors.{place}"]).tobytes() for place in (1, 2))
    at = content.index(first)
    content[at : at + len(first)] = second
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.safetensors is damaged: 0/vectors\.1 is not what was written"):
        cka.load(path)


def test_a_large_file_is_checked_where_it_is_used(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorfile, "MAPPED_FROM", 0)
    path = tmp_path / "net.safetensors"
    content = bytearray((written / "representation.safetensors").read_bytes())
    vectors = cka.load(written / "representation.safetensors").vectors[2]
    content[content.index(vectors.tobytes())] ^= 1
    path.write_bytes(content)
    loaded = cka.load(path)
    assert np.array_equal(loaded.minibatches[0].vectors, cka.load(written / "representation.safetensors").vectors[0])
    with pytest.raises(ValueError, match=r"net\.safetensors is damaged: 0/vectors\.2 is not what was written"):
        cka.compare(loaded).matrix()


def test_a_file_that_lost_its_checksums_is_refused(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    content = without_checksums((written / "representation.safetensors").read_bytes())
    path.write_bytes(content.replace(b'"version": "1"', b'"version": "2"'))
    with pytest.raises(ValueError, match=r"net\.safetensors is damaged: it has lost its checksums"):
        cka.load(path)


def test_other_libraries_may_write_a_file_anew(written: Path, tmp_path: Path) -> None:
    """The checksums are of what is in a file, not of how its header is spelt."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    source = str(written / "representation.safetensors")
    with safe_open(source, framework="numpy") as file:
        metadata = file.metadata()
    save_file(load_file(source), str(tmp_path / "net.safetensors"), metadata)
    again = cka.load(tmp_path / "net.safetensors")
    assert np.array_equal(cka.compare(again).matrix(), cka.compare(cka.load(source)).matrix())
