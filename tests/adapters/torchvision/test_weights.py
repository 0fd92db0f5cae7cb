"""torchvision models by name, with their weights."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models as tv

from cka_plugin.adapters.torchvision import weights as weights_module
from tests.support.torchvision_models import (
    ADAPTER,
    names,
)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache, and nobody answers."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights_module, "reachable", lambda url: False)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Downloads answer with fresh weights, and print as torch.hub does."""
    urls: list[str] = []

    def download(url: str, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        print("Downloading:", url)
        urls.append(url)
        return tv.shufflenet_v2_x0_5().state_dict()

    monkeypatch.setattr(weights_module, "reachable", lambda url: True)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    return urls


def test_weights_that_cannot_be_reached_say_what_to_give_instead(offline: None) -> None:
    with pytest.raises(
        OSError, match=r"cannot reach the pretrained weights of 'resnet18'.*checkpoint=.*pretrained=False"
    ):
        ADAPTER.load("resnet18")


def test_a_download_that_fails_midway_says_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("connection reset")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights_module, "reachable", lambda url: True)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(OSError, match=r"cannot reach .*connection reset.*checkpoint="):
        ADAPTER.load("shufflenet_v2_x0_5")


def test_a_pretrained_model_knows_its_classes_and_its_transform(
    downloads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    model = ADAPTER.load("shufflenet_v2_x0_5")
    assert downloads == [tv.ShuffleNet_V2_X0_5_Weights.DEFAULT.url]
    assert capsys.readouterr().out == ""  # what is printed there may be read by a machine
    classes = ADAPTER.class_names(model)
    assert classes is not None
    assert (len(classes), classes[0]) == (1000, "tench")
    model.fc = nn.Linear(model.fc.in_features, 10)
    assert ADAPTER.class_names(model) is None


def test_weights_are_chosen_by_name(downloads: list[str]) -> None:
    ADAPTER.load("shufflenet_v2_x0_5.IMAGENET1K_V1")
    ADAPTER.load("shufflenet_v2_x0_5", weights="ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1")
    ADAPTER.load("shufflenet_v2_x0_5", weights=tv.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1)
    assert len(downloads) == 3
    with pytest.raises(ValueError, match=r"no weights 'V9' for 'resnet50': it has IMAGENET1K_V1, IMAGENET1K_V2"):
        ADAPTER.load("resnet50.V9")


def test_an_architecture_without_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every architecture has some today, so an empty enumeration stands in for one that has none."""
    monkeypatch.setattr(tv, "get_model_weights", lambda name: tv.WeightsEnum("None_Weights", {}))
    with pytest.raises(OSError, match="no pretrained weights for 'resnet18'; give a local file with checkpoint="):
        ADAPTER.load("resnet18")


def test_a_detector_without_weights_downloads_no_backbone(offline: None) -> None:
    model = ADAPTER.load("lraspp_mobilenet_v3_large", pretrained=False)
    assert names(model)[-1] == "head"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="torchvision has no model 'resnet81': did you mean resnet1"):
        ADAPTER.load("resnet81", pretrained=False)
    assert not ADAPTER.knows("resnet81")
    assert ADAPTER.knows("resnet18")
    assert ADAPTER.list_names("vgg1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]
