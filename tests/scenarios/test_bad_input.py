"""Every bad input gets an error that says what was given, what was expected and what to do; nothing partial is left."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from tests.support.nets import ConvNet, images

X = torch.zeros(20, 3, 8, 8)  # never reaches a result


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": None}, ValueError, "data is missing.*sample:digits"),
        ({"data": X[:3]}, ValueError, "holds 3 examples: CKA needs at least 4"),
        ({"data": X[:0]}, ValueError, "holds no examples"),
        ({"data": []}, ValueError, "holds no examples"),
        ({"data": "nowhere/at/all"}, FileNotFoundError, "no such data: nowhere/at/all; expected a folder"),
        ({"data": 3}, TypeError, "data of type int cannot be read"),
        ({"data": "sample:cats"}, ValueError, "'sample:cats': expected sample:crops, sample:digits or sample:photos"),
        ({"data": X, "labels": [1, 2]}, ValueError, "given 2 labels for 20 examples"),
        ({"data": X, "labels": [0.5] * 20}, ValueError, r"not whole numbers \(such as 0.5\)"),
        ({"data": X, "labels": np.zeros((20, 3))}, ValueError, r"shape \(20, 3\).*multi-label is not supported"),
        ({"data": X, "labels": "no.csv"}, FileNotFoundError, "no such file of labels: no.csv"),
        ({"data": X, "batch_size": 3}, ValueError, "batch_size 3: unbiased CKA needs minibatches of at least 4"),
        ({"data": X, "max_examples": 2}, ValueError, "max_examples 2"),
        ({"data": X, "passes": 0}, ValueError, "passes 0: expected 1 or more"),
        ({"data": X, "granularity": "atom"}, ValueError, "'atom': expected one of stage, block, module"),
        ({"data": X, "pooling": "sum"}, ValueError, "'sum': expected one of auto, flatten, mean, cls, last, max"),
        ({"data": X, "pooling": "cls"}, RuntimeError, "layer 'stem'.*'cls' needs token sequences.*shape"),
        ({"data": X, "kernel": "poly"}, ValueError, "'poly': expected one of linear, rbf"),
        ({"data": X, "kernel": "rbf", "bandwidth": 0}, ValueError, "bandwidth 0: expected a positive multiple"),
        ({"data": X, "estimator": "mean"}, ValueError, "'mean': expected one of unbiased, biased"),
        ({"data": X, "device": "tpu9"}, ValueError, "device 'tpu9' cannot be used"),
        ({"data": X, "precision": "int8"}, ValueError, "'int8': expected one of float32, bfloat16, float16"),
        ({"data": X, "on_error": "ignore"}, ValueError, "'ignore': expected 'raise' or 'skip'"),
        ({"data": X, "max_memory": "lots"}, ValueError, "'lots': expected 'auto', a number of bytes, or a size"),
        ({"data": X, "match": "none"}, ValueError, "'none': expected 'content' or 'ids'"),
        (
            {"data": ["a text", "b", "c", "d"]},
            ValueError,
            "ConvNet does not say how to prepare text examples.*transforms=",
        ),
        ({"data": X[:, :, 0, 0]}, RuntimeError, r"ConvNet failed on a minibatch of float32 \(20, 3\)"),
    ],
)
def test_bad_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cka.compare(ConvNet(), progress=False, **arguments)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, TypeError, "a model is a name, an nn.Module, a Representation or a path; given int"),
        (torch.utils.data.DataLoader(X), TypeError, r"data goes in as data=\.\.\."),
        ("resnet5O", ValueError, "unknown model 'resnet5O'; did you mean .*resnet50"),
        ("nohub:resnet50", ValueError, "unknown prefix 'nohub'.*hf.*timm"),
    ],
    ids=["number", "loader", "typo", "prefix"],
)
def test_bad_models(model: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cka.compare(model, data=X, progress=False)


def test_no_models() -> None:
    with pytest.raises(ValueError, match="no models given"):
        cka.compare(data=X)


def test_a_state_dict_is_no_model(tmp_path: Path) -> None:
    torch.save(ConvNet().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth is a file but no saved representation.*checkpoint="):
        cka.compare(str(tmp_path / "weights.pth"), data=X)


def test_data_and_labels_are_looked_at_before_any_model_is_built() -> None:
    with pytest.raises(FileNotFoundError, match="no such data"):
        cka.compare("a-model-that-does-not-exist", data="nowhere")
    with pytest.raises(ValueError, match="given 2 labels"):
        cka.compare("a-model-that-does-not-exist", data=X, labels=[1, 2])


def test_a_model_on_the_meta_device_has_no_values() -> None:
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="meta device"):
        cka.compare(model, data=torch.randn(20, 3))


def test_names_that_do_not_exist_list_those_that_do() -> None:
    comparison = cka.compare({"net": ConvNet()}, data=images(), progress=False)
    with pytest.raises(ValueError, match="model 'nat' is not in this comparison: it has net"):
        comparison.matrix("nat")
    with pytest.raises(ValueError, match=r"layer 'stages\.4' is not in net: it has stem, blocks\.0"):
        comparison["net"].position_of("stages.4")
    with pytest.raises(ValueError, match="level 2"):
        comparison.interval("net", level=2)


def test_a_hub_that_cannot_be_reached_says_how_to_give_a_local_folder(monkeypatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match="local"):
        cka.compare("hf:some-owner/some-model", data=["a", "b", "c", "d"], progress=False)


def test_an_empty_folder_and_a_mixed_one(tmp_path: Path) -> None:
    from PIL import Image

    with pytest.raises(ValueError, match="holds no images"):
        cka.compare(ConvNet(), data=tmp_path)
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"both class sub-folders and images of its own, such as b\.png"):
        cka.compare(ConvNet(), data=tmp_path)


def test_a_failed_run_leaves_no_file(tmp_path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cka_plugin",
            "represent",
            "sample:narrow",
            "--data",
            "nowhere",
            "-o",
            "out.safetensors",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no such data: nowhere")
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []
