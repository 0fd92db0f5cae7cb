"""State dicts in local files: read without running code, loaded only where they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models as tv

from cka_plugin.adapters.weights import load_checkpoint, read_state_dict
from tests.support.torchvision_models import (
    ADAPTER,
)


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_local_checkpoint_is_taken_out_of_what_wraps_it(wrap: str | None, prefix: str, tmp_path: Path) -> None:
    trained = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state: Any = {prefix + key: value for key, value in trained.state_dict().items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "weights.pth")
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_checkpoint(model, tmp_path / "weights.pth")
    assert torch.equal(model[0].weight, trained[0].weight)


def test_a_checkpoint_gives_its_weights_to_the_architecture(tmp_path: Path) -> None:
    trained = tv.squeezenet1_1(num_classes=3)
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    model = ADAPTER.load("squeezenet1_1", checkpoint=str(tmp_path / "weights.safetensors"), num_classes=3)
    assert all(torch.equal(x, y) for x, y in zip(model.parameters(), trained.parameters(), strict=True))
    assert ADAPTER.class_names(model) is None  # whose classes these are, the file does not say


def test_a_checkpoint_that_does_not_fit_lists_what_does_not(tmp_path: Path) -> None:
    state = tv.squeezenet1_1(num_classes=3).state_dict()
    state["extra"] = state.pop("features.0.bias")
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="does not fit SqueezeNet: ") as error:
        ADAPTER.load("squeezenet1_1", checkpoint=str(tmp_path / "weights.pth"))
    for part in (
        "1 missing (features.0.bias)",
        "1 unexpected (extra)",
        "classifier.1.weight (3, 512, 1, 1) for (1000,",
    ):
        assert part in str(error.value)


def test_a_checkpoint_with_code_in_it_is_not_unpickled(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(ValueError, match="cannot read a state dict from .*weights_only=True"):
        read_state_dict(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not weights"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_or_foreign_checkpoint_is_named(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read a state dict from .*broken{suffix}"):
        read_state_dict(path)


def test_a_file_without_tensors_is_no_state_dict(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        read_state_dict(tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError, match="no checkpoint file at"):
        read_state_dict(tmp_path / "absent.pth")
