"""What a folder leaves out is said; links are followed."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
from PIL import Image

from cka_plugin.data.folders import read_folder
from cka_plugin.warnings import CKAWarning


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (8, 8), (40 * i, ord(name[0]), 9)).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def test_links_to_folders_and_files_are_followed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "ant", tmp_path / "elsewhere")
    (folder / "cow").symlink_to(tmp_path / "elsewhere")
    (folder / "bee" / "3.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    found = read_folder(folder)
    assert found.label_names == ["ant", "bee", "cow"]
    assert len(found) == 10


def test_a_folder_within_itself_is_read_once(folder: Path) -> None:
    (folder / "ant" / "again").symlink_to(folder)
    assert len(read_folder(folder)) == 6


def test_what_is_hidden_is_passed_over(folder: Path) -> None:
    for hidden in (".git", ".ipynb_checkpoints", "__MACOSX"):
        shutil.copytree(folder / "ant", folder / hidden)
    shutil.copy(folder / "ant" / "0.png", folder / "ant" / "._0.png")
    found = read_folder(folder)
    assert found.label_names == ["ant", "bee"]
    assert len(found) == 6


def test_files_that_are_not_read_are_counted(folder: Path) -> None:
    for i in range(2):
        (folder / "bee" / f"{i}.png").rename(folder / "bee" / f"{i}.HEIC")
    (folder / "bee" / "notes.txt").write_text("beside the pictures")
    with pytest.warns(CKAWarning, match=r"left out: 2 \.heic, 1 \.txt"):
        assert len(read_folder(folder)) == 4
    (folder / "bee" / "0.HEIC").unlink()
    (folder / "bee" / "1.HEIC").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_folder(folder)) == 4


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds no images, but 1 \.heic"):
        read_folder(tmp_path)


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    for i in (0, 2, 10):
        (tmp_path / str(i)).mkdir()
        Image.new("L", (4, 4), i).save(tmp_path / str(i) / "a.png")
    assert read_folder(tmp_path).label_names == ["0", "2", "10"]
