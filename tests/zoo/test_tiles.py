"""A folder in tiles: the same figures, kept as they are finished, shared, and made again only where files changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.analysis import model_tiles
from cka_plugin.zoo import tiles
from tests.support.zoo import OPTIONS, data, network

ZOO = {f"net{seed}": partial(network, seed, 8 + seed) for seed in range(5)}


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of two models of five layers, and of few minibatches."""
    monkeypatch.setattr(model_tiles.cut, "__defaults__", (10,))
    monkeypatch.setattr(tiles, "_OPERATIONS", 2.0 * 10 * 10 * 120 * 4)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The tiles that are made from here on."""
    ran: list[Path] = []
    make = tiles.make_tile
    monkeypatch.setattr(tiles, "make_tile", lambda tile: ran.append(tile.file) or make(tile))
    return ran


@pytest.mark.usefixtures("small_tiles")
def test_tiles_give_what_memory_gives_with_any_executor(tmp_path: Path) -> None:
    cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    expected = cka.compare(tmp_path).models()
    assert not (tmp_path / "tiles").exists(), "what fits in memory is compared there"
    alone = cka.compare(tmp_path, max_memory=1000)
    assert np.abs(alone.models() - expected).max() < 1e-7
    assert len(list((tmp_path / "tiles").iterdir())) == 6 * 3  # of three groups of models, three of minibatches
    for file in (tmp_path / "tiles").iterdir():
        file.unlink()
    with ThreadPoolExecutor(2) as executor:
        shared = cka.compare(tmp_path).models(executor)
    assert np.array_equal(shared, alone.models())
    assert np.abs(alone.matrix("net0", "net3") - cka.compare(tmp_path).matrix("net0", "net3")).max() == 0


@pytest.mark.usefixtures("small_tiles")
def test_a_comparison_that_is_stopped_goes_on_with_the_same_bits(
    tmp_path: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    undisturbed = cka.compare(tmp_path, max_memory=0).models()
    for file in (tmp_path / "tiles").iterdir():
        file.unlink()
    count = len(made)
    with monkeypatch.context() as patch:
        write = tiles.write_atomically

        def full(path: Path, *rest: Any) -> Path:
            if len(list((tmp_path / "tiles").glob("*.safetensors"))) == 7:
                raise OSError(28, "No space left on device")
            return write(path, *rest)

        patch.setattr(tiles, "write_atomically", full)
        with pytest.raises(RuntimeError, match=r"11 of 18 tiles of .* \(the first: OSError.*makes these alone"):
            cka.compare(tmp_path, max_memory=0).models()
    made.clear()
    assert np.array_equal(cka.compare(tmp_path, max_memory=0).models(), undisturbed)
    assert (count, len(made)) == (18, 11)


@pytest.mark.usefixtures("small_tiles")
def test_models_that_are_added_or_have_changed_leave_the_other_tiles_as_they_are(
    tmp_path: Path, made: list[Path]
) -> None:
    cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    before = cka.compare(tmp_path, max_memory=0).models()
    made.clear()
    cka.represent_all({"new": partial(network, 9)}, data(), tmp_path, **OPTIONS)
    found = cka.compare(tmp_path, max_memory=0).models()
    assert len(made) == 3 * 3, "those of the last group, which the new model has joined"
    assert np.abs(found[:5, :5] - before).max() < 1e-7
    made.clear()
    cka.represent_all({"net0": partial(network, 11)}, data(), tmp_path, **OPTIONS)
    changed = cka.compare(tmp_path, max_memory=0).models()
    assert len(made) == 3 * 3, "those of its group"
    assert np.array_equal(changed[2:4, 4:], found[2:4, 4:])
    assert abs(changed[0, 1] - found[0, 1]) > 1e-3


@pytest.mark.usefixtures("small_tiles")
def test_a_damaged_tile_is_made_again_or_said(tmp_path: Path, made: list[Path]) -> None:
    cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    before = cka.compare(tmp_path, max_memory=0).models()
    first, second, *_ = sorted((tmp_path / "tiles").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    made.clear()
    assert np.array_equal(cka.compare(tmp_path, max_memory=0).models(), before)
    assert made == [first]
    content = bytearray(second.read_bytes())
    content[-1] ^= 1
    second.write_bytes(content)
    with pytest.raises(ValueError, match=f"{second.name} is damaged: .* is not what was written"):
        cka.compare(tmp_path, max_memory=0).models()


def test_an_executor_needs_a_folder_that_its_workers_see(tmp_path: Path) -> None:
    files = cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="compare the folder itself"):
        cka.compare(*files).models(executor)
    with pytest.raises(TypeError, match="expected something with submit"):
        cka.compare(tmp_path).models(3)


def test_representations_that_do_not_fit_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    found, whole = cka.compare(tmp_path, max_memory=0), cka.compare(tmp_path)
    held = found.representations._held  # type: ignore[attr-defined]
    for name in found.names:
        assert np.array_equal(found[name].logits, whole[name].logits)
        assert len(held) == 1
    assert [layer.name for layer in found.layers("net2")] == whole["net2"].layer_names
    assert found.correspondence("net0", "net1").matches == whole.correspondence("net0", "net1").matches
    with pytest.raises(ValueError, match="5 representations do not fit in memory together: keep their files"):
        found.save(tmp_path / "all.safetensors")
    (tmp_path / "net0.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="net0.safetensors"):
        found["net0"]


@pytest.mark.usefixtures("small_tiles")
def test_sketches_are_compared_in_tiles_too(tmp_path: Path) -> None:
    cka.represent_all(ZOO, data(), tmp_path, sketch=64, **OPTIONS)
    expected = cka.compare(tmp_path).models()
    assert np.abs(cka.compare(tmp_path, max_memory=0).models() - expected).max() < 1e-7
