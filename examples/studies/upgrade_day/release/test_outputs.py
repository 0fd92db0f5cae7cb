"""What a careful team tests without this package: accuracy, and the outputs of the release to the digit."""

from pathlib import Path

import imaging
import model
import pytest
import torch
from PIL import Image

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def outputs() -> torch.Tensor:
    pictures = [imaging.prepare(Image.open(file)) for file in sorted((HERE / "pictures").glob("*/*.png"))]
    with torch.inference_mode():
        made = model.load()(torch.stack(pictures))
    return made if isinstance(made, torch.Tensor) else made.logits


@pytest.fixture(scope="module")
def released(outputs: torch.Tensor) -> torch.Tensor:
    file = HERE / "released.pt"
    if not file.exists():  # once, for the release
        torch.save(outputs, file)
    return torch.load(file, weights_only=True)


def accuracy(scores: torch.Tensor) -> float:
    folders = sorted((HERE / "pictures").iterdir())
    labels = [place for place, folder in enumerate(folders) for _ in folder.iterdir()]
    return (scores.argmax(1) == torch.tensor(labels)).float().mean().item()


def test_accuracy(outputs: torch.Tensor, released: torch.Tensor) -> None:
    assert accuracy(outputs) >= accuracy(released) - 0.02


def test_same_outputs(outputs: torch.Tensor, released: torch.Tensor) -> None:
    torch.testing.assert_close(outputs, released)
