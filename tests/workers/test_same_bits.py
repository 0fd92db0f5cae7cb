"""What a run gives does not depend on the number of workers: not the numbers, their order, errors or warnings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

import cka_plugin as cka
from cka_plugin.workers import processes
from tests.support.photographs import break_file, photographs

NUMBERS = (1, 3, "auto")


class Net(nn.Module):
    """Of pictures of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.act, self.head = nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.body(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    """Models whose preparations are equal, alike at first, and different."""
    import timm
    import torchvision

    torch.manual_seed(0)
    return {
        "vit": timm.create_model("test_vit"),
        "vit again": timm.create_model("test_vit"),
        "resnet": timm.create_model("test_resnet"),
        "torchvision": torchvision.models.squeezenet1_1(),
    }


def found(given: Any, data: Any, workers: int | str, **options: Any) -> tuple[list[Any], list[str]]:
    """All that a comparison keeps, and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = cka.compare(given, data=data, workers=workers, batch_size=8, progress=False, **options)
    kept: list[Any] = []
    for one in made.representations.values():
        kept += [*one.vectors, one.fingerprints, one.labels, np.array(one.example_ids), one.logits]
    return kept, [str(one.message) for one in caught]


def same(given: Any, data: Callable[[], Any], workers: int | str, **options: Any) -> None:
    """Whether so many workers give what none give; `data` makes them anew."""
    plain, told = found(given, data(), 0, **options)
    kept, told_too = found(given, data(), workers, **options)
    assert len(plain) == len(kept)
    for a, b in zip(plain, kept, strict=True):
        assert (a is None and b is None) or np.array_equal(np.asarray(a), np.asarray(b))
    assert told == told_too


@pytest.mark.parametrize("workers", NUMBERS)
def test_a_folder_for_several_models(folder: Path, models: dict[str, nn.Module], workers: int | str) -> None:
    same(models, lambda: folder, workers, granularity="stage", max_examples=16)


@pytest.mark.parametrize("workers", NUMBERS)
def test_a_folder_and_what_is_kept_of_it_beside(folder: Path, models: dict[str, nn.Module], workers: int | str) -> None:
    same({"vit": models["vit"]}, lambda: folder, workers, levels=True)


@pytest.mark.parametrize("workers", NUMBERS)
def test_a_function_of_ones_own(folder: Path, workers: int | str) -> None:
    pixels = lambda image: torch.from_numpy(np.array(image.convert("RGB").resize((32, 32)))).permute(2, 0, 1) / 255  # noqa: E731
    same({"net": Net()}, lambda: folder, workers, granularity="module", transforms=pixels)


@pytest.mark.parametrize("workers", NUMBERS)
def test_images_in_memory_that_warn(models: dict[str, nn.Module], workers: int | str) -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 200 + k, (20, 20)).astype(np.int32)) for k in range(16)]  # of mode I
    same({"vit": models["vit"]}, lambda: images, workers)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_unreadable_file_is_named_or_left_out(tmp_path: Path, models: dict[str, nn.Module], workers: int) -> None:
    folder = photographs(tmp_path / "photographs", 10)
    break_file(folder / "dogs" / "03.jpg")
    vit = {"vit": models["vit"]}
    with pytest.raises(OSError, match=r"cannot read the image .*dogs/03\.jpg: .*; give on_error='skip'"):
        found(vit, folder, workers)
    kept, _ = found(vit, folder, workers, on_error="skip")
    assert "dogs/03.jpg" not in kept[-2]
    assert len(kept[-2]) == 12
    same(vit, lambda: folder, workers, on_error="skip")


class Items(Dataset):
    """A data set in Python; it may do odd things."""

    def __init__(self, kind: str = "") -> None:
        self.kind, self.count = kind, 0
        self.held = np.random.default_rng(0) if kind == "holds a generator" else None
        self.file = open(__file__) if kind == "holds a file" else None  # noqa: SIM115

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        x = (torch.arange(6.0) * index).sin()
        if self.kind == "draws":
            x = x + torch.randn(6) + float(np.random.rand())  # noqa: NPY002
        if self.held is not None:
            x = x + float(self.held.random())
        if self.kind == "counts":
            self.count += 1
            x = x + self.count
        if self.kind == "warns" and index % 8 == 0:
            warnings.warn(f"item {index} is odd", stacklevel=1)
        if self.kind == "fails" and index == 21:
            raise OSError("no such frame")
        if self.kind == "is killed" and index == 21:
            os.kill(os.getpid(), signal.SIGKILL)
        return x, index % 3


LINEAR = {"net": nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))}


@pytest.mark.parametrize("workers", NUMBERS)
@pytest.mark.parametrize("kind", ["", "warns"])
def test_a_data_set_in_python(kind: str, workers: int | str) -> None:
    same(LINEAR, lambda: Items(kind), workers, granularity="module")


@pytest.mark.parametrize("kind", ["draws", "counts", "holds a generator", "holds a file"])
def test_what_cannot_be_in_several_processes_is_read_in_one_which_is_said(kind: str) -> None:
    def kept(workers: int) -> tuple[list[Any], list[str]]:
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        return found(LINEAR, Items(kind), workers, granularity="module")

    plain, several = kept(0), kept(2)
    assert all(np.array_equal(a, b) for a, b in zip(plain[0], several[0], strict=True))
    said = [
        one for one in several[1] if one.startswith("workers=2: the data set Items is read in this process all the")
    ]
    assert len(said) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_an_item_that_cannot_be_read_is_named_or_left_out(workers: int) -> None:
    with pytest.raises(
        OSError, match="the data set Items: cannot read example 21: no such frame; give on_error='skip'"
    ):
        found(LINEAR, Items("fails"), workers, granularity="module")
    same(LINEAR, lambda: Items("fails"), workers, granularity="module", on_error="skip")


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"DataLoader worker .*(killed|exited)"):
        found(LINEAR, Items("is killed"), 2, granularity="module")


def test_hugging_face_data_sets() -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"x": [[float(i % 7), float(i % 5), 1.0, 2.0, 3.0, 4.0] for i in range(40)]})
    for workers in NUMBERS:
        same(LINEAR, lambda: data, workers, granularity="module")


def test_threads_leave_torch_its_own() -> None:
    before = torch.get_num_threads()
    images = [Image.new("RGB", (20, 20), (k, 2 * k, 0)) for k in range(16)]
    found({"net": Net()}, images, 3, granularity="module", transforms=_tensor())
    assert torch.get_num_threads() == before


def _tensor() -> Any:
    from torchvision import transforms

    return transforms.Compose([transforms.Resize(16), transforms.ToTensor()])


@pytest.mark.parametrize("of", ["a folder", "a data set"])
def test_ctrl_c_ends_it_and_leaves_nothing_running(tmp_path: Path, of: str) -> None:
    photographs(tmp_path / "photographs")
    script = f"""
    import time
    from pathlib import Path
    import torch
    import cka_plugin as cka
    from torch import nn
    from torch.utils.data import Dataset

    class Slow(Dataset):
        def __len__(self): return 4000
        def __getitem__(self, index):
            Path("begun").touch()
            time.sleep(0.02)
            return torch.ones(6) * index

    def slow(image):
        Path("begun").touch()
        time.sleep(0.1)
        return torch.ones(6) * image.width

    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    data, given = (Slow(), None) if {of!r} == "a data set" else ("photographs", slow)
    cka.represent(net, data, transforms=given, passes=50, granularity="module", workers=2, progress=False)
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.05)
    assert run.poll() is None, run.communicate()[1].decode()
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said
    assert run.returncode != 0
    assert _ended(run.pid)


def _ended(group: int) -> bool:
    """Whether no process of a group is left, or will soon be."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_the_users_code_runs_in_the_main_thread_where_no_processes_can_be_begun(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()

    def pixels(image: Image.Image) -> Tensor:
        threads.add(threading.current_thread().name)
        return torch.from_numpy(np.array(image.convert("RGB").resize((32, 32)))).permute(2, 0, 1) / 255

    net = {"net": Net()}
    plain, _ = found(net, folder, 0, granularity="module", transforms=pixels)
    monkeypatch.setattr(processes.sys, "platform", "darwin")
    for workers in NUMBERS:
        kept, _ = found(net, folder, workers, granularity="module", transforms=pixels)
        assert all(np.array_equal(a, b) for a, b in zip(plain, kept, strict=True))
    assert threads == {threading.main_thread().name}
