"""Names of models: the user's, or their own, told apart by what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.models.names import named


def names(*models: object) -> list[str]:
    return [name for name, _ in named(models)]


def test_folders_of_one_name_are_told_apart_by_the_folders_around_them(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version / "model").mkdir(parents=True)
    one, two = str(tmp_path / "v1" / "model"), tmp_path / "v2" / "model"
    assert names(one, two) == ["v1/model", "v2/model"]
    assert names(one) == ["model"]
    deep = [tmp_path / version / "run" / "model" for version in ("a", "b")]
    for folder in deep:
        folder.mkdir(parents=True)
    assert names(*deep) == ["a/run/model", "b/run/model"]
    assert names(one, one) == ["model", "model#2"]


def test_one_name_of_two_frameworks_is_told_apart_by_the_framework() -> None:
    assert names("timm:resnet18", "torchvision:resnet18") == ["timm:resnet18", "torchvision:resnet18"]
    assert names("resnet18", "torchvision:resnet18") == ["resnet18", "torchvision:resnet18"]
    assert names("timm:resnet18", "hf:owner/resnet18") == ["resnet18", "owner/resnet18"]


def test_anything_else_of_one_name_is_numbered() -> None:
    net = nn.Linear(2, 2)
    assert names(net, net, "resnet18", "resnet18") == ["Linear", "Linear#2", "resnet18", "resnet18#2"]
    assert names({"a": net}, {"a": net}) == ["a", "a#2"]


def test_a_saved_comparison_stands_for_its_models(tmp_path: Path) -> None:
    nets = {name: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)) for name in "ab"}
    file = cka.compare(nets, data=torch.randn(20, 4), progress=False).save(tmp_path / "ab.safetensors")
    assert names(file) == ["a", "b"]
    assert cka.compare(file).names == ["a", "b"]
    with pytest.raises(ValueError, match="represent takes one model"):
        cka.represent(file)


def test_two_links_to_one_folder_go_by_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "model").symlink_to(tmp_path / "weights")
    assert names(str(tmp_path / "v1" / "model"), str(tmp_path / "v2" / "model")) == ["v1/model", "v2/model"]
