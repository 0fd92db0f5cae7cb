"""`.safetensors` files: the library reads what is written, and what was changed since is seen."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from cka_plugin.storage import Damaged, Unread, array_of, at_hand, read_tensors, tensorfile, write_tensors


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "bytes": rng.integers(0, 9, 3).astype(np.uint8),
        "flags": np.array([True, False, True]),
        "numbers": np.arange(4),
        "half": rng.normal(size=5).astype(np.float16),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "turned": rng.normal(size=(3, 4)).astype(np.float32).T,
        "big-endian": rng.normal(size=3).astype(">f8"),
    }
    path = tmp_path / "arrays.safetensors"
    with open(path, "wb") as file:
        tensorfile.write_tensors(file, arrays, {"note": "Grüße"})
    back, ours = load_file(path), tensorfile.read_tensors(path).arrays
    for name, array in arrays.items():
        assert np.array_equal(back[name], array)
        assert np.array_equal(ours[name], array)
    with pytest.raises(TypeError, match="complex128"), open(path, "wb") as file:
        tensorfile.write_tensors(file, {"x": np.zeros(2, dtype=complex)}, {})


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "arrays.safetensors"
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(3, 4)).astype(np.float32) for name in ("first", "second")}
    with open(path, "wb") as file:
        write_tensors(file, arrays, {"note": "x", "list": "[1]"})
    return path


def test_every_flipped_bit_is_seen(written: Path) -> None:
    before = read_tensors(written)
    content = written.read_bytes()
    for at in range(len(content)):
        for bit in range(8):
            written.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            with pytest.raises(ValueError, match=r"arrays\.safetensors"):
                read_tensors(written, checksums=True)
    written.write_bytes(content)
    assert read_tensors(written).metadata == before.metadata


def test_arrays_of_a_large_file_are_checked_one_by_one(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[-1] ^= 1  # of the second
    written.write_bytes(content)
    arrays = read_tensors(written, mapped_from=0).arrays
    first, second = arrays["first"], arrays["second"]
    assert isinstance(first, Unread)
    assert isinstance(second, Unread)
    assert (second.shape, second.dtype) == ((3, 4), np.float32)
    assert at_hand(first).shape == (3, 4)
    with pytest.raises(Damaged, match=r"arrays\.safetensors is damaged: second is not what was written there"):
        second.read()


def test_files_of_others_have_no_checksums_and_need_none(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file({"x": np.arange(3)}, str(path))
    assert np.array_equal(at_hand(read_tensors(path).arrays["x"]), np.arange(3))
    with pytest.raises(Damaged, match="it has lost its checksums"):
        read_tensors(path, checksums=True)


def test_a_type_that_is_never_written_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_tensors

    path = tmp_path / "theirs.safetensors"
    save_tensors({"x": torch.zeros(2, dtype=torch.bfloat16)}, str(path))
    with pytest.raises(Damaged, match="x is of type BF16"):
        read_tensors(path)


@given(st.dictionaries(st.text(min_size=1, max_size=5).filter(lambda name: name != "__metadata__"), st.integers(0, 9)))
def test_any_name_comes_back(lengths: dict[str, int]) -> None:
    lengths = {name.encode("utf-8", "replace").decode(): length for name, length in lengths.items()}
    file = io.BytesIO()
    write_tensors(file, {name: np.arange(length) for name, length in lengths.items()}, {})
    header = file.getvalue()[8 : 8 + int.from_bytes(file.getvalue()[:8], "little")]
    assert set(tensorfile.json.loads(header)) == {*lengths, "__metadata__"}


def test_an_array_of_another_shape_or_type_is_named() -> None:
    arrays = {"x": np.zeros((2, 3), dtype=np.float32)}
    assert array_of(arrays, "x", (2, None), "f4") is arrays["x"]
    for name, shape, kind in (("y", (2, 3), "f4"), ("x", (3, 3), "f4"), ("x", (2,), "f4"), ("x", (2, 3), "i8")):
        with pytest.raises(ValueError, match=name):
            array_of(arrays, name, shape, kind)
