"""timm models by name, with weights of the hub or of a local file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cka_plugin.adapters import hub
from tests.support.timm_models import (
    ADAPTER,
    SIZE,
    names,
    real,
)


@pytest.fixture
def trained() -> nn.Module:
    return real("test_resnet", num_classes=3)


class Code:
    def __reduce__(self) -> Any:
        return (print, ("ran",))


def test_an_unknown_name_is_an_error_with_the_nearest_ones() -> None:
    with pytest.raises(ValueError, match=r"no model 'resnet188': did you mean resnet18\b"):
        ADAPTER.load("resnet188")


def test_an_unknown_tag_is_an_error_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no weights 'nope' of 'resnet18': it has a1_in1k"):
        ADAPTER.load("resnet18.nope")


def test_an_unreachable_hub_is_an_error_at_once_that_says_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "reachable", lambda url: False)
    with pytest.raises(OSError, match=r"'test_resnet'.*checkpoint=.*pretrained=False"):
        ADAPTER.load("test_resnet", cache_dir=tmp_path)
    assert constants.HF_HUB_OFFLINE is False


def test_weights_that_do_not_exist_are_an_error_that_says_how_to_do_without() -> None:
    with pytest.raises(OSError, match=r"no pretrained weights for 'starnet_s050'.*pretrained=False"):
        ADAPTER.load("starnet_s050")


def test_what_create_model_takes_passes_through() -> None:
    model = ADAPTER.load("test_vit", pretrained=False, num_classes=3, img_size=SIZE, depth=2)
    assert names(model) == ["embed", "blocks.0", "blocks.1", "norm", "head"]
    assert model(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 3)


@pytest.mark.parametrize("kind", ["safetensors", "pth", "training", "data parallel"])
def test_a_local_checkpoint_is_loaded_whatever_it_is_wrapped_in(kind: str, trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(trained.state_dict(), path)
    elif kind == "pth":
        torch.save(trained.state_dict(), path)
    elif kind == "training":
        torch.save({"epoch": 3, "state_dict": trained.state_dict()}, path)
    else:
        torch.save(nn.DataParallel(trained).state_dict(), path)
    loaded = ADAPTER.load("test_resnet", checkpoint=str(path), num_classes=3)
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, trained.state_dict()[key])


def test_a_checkpoint_that_does_not_fit_is_reported_key_by_key(trained: nn.Module, tmp_path: Path) -> None:
    state = trained.state_dict()
    del state["layer1.0.bn1.weight"]
    state["more.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="does not fit test_resnet") as caught:
        ADAPTER.load("test_resnet", checkpoint=str(tmp_path / "weights.safetensors"))
    message = str(caught.value)
    assert "1 missing (layer1.0.bn1.weight)" in message
    assert "1 unexpected (more.weight)" in message
    assert "2 of another shape (fc.weight (3, 96) for (1000, 96), fc.bias (3,) for (1000,))" in message
    assert "num_classes" in message


def test_a_checkpoint_of_another_image_size_is_resampled_by_timms_own_filter(tmp_path: Path) -> None:
    torch.save(real("test_vit").state_dict(), tmp_path / "weights.pth")
    loaded = ADAPTER.load("test_vit", checkpoint=str(tmp_path / "weights.pth"), img_size=SIZE)
    assert loaded.pos_embed.shape[1] == real("test_vit", img_size=SIZE).pos_embed.shape[1]


def test_a_checkpoint_with_code_a_truncated_one_and_a_missing_one_are_clear_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": Code()}, tmp_path / "code.pth")
    save_file({"weight": torch.zeros(100)}, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:200])
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("code.pth", "cut.safetensors", "list.pth"):
        with pytest.raises(ValueError, match=name):
            ADAPTER.load("test_resnet", checkpoint=str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        ADAPTER.load("test_resnet", checkpoint=str(tmp_path / "none.pth"))
    assert "ran" not in capsys.readouterr().out
