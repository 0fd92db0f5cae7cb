"""What the README shows runs: its samples, on small models and data in the place of those that they name."""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka
from cka_plugin.sample.zoo import model as sample_model
from tests.support import ROOT
from tests.support.nets import ConvNet, images

README = (ROOT / "README.md").read_text(encoding="utf-8")
SAMPLES = {text.strip().splitlines()[0]: text for text in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)}
# Pretrained models by their names need a network: small ones stand for them.
INSTEAD = {
    '"resnet50"': '"sample:narrow"',
    '"vit_base_patch16_224"': '"sample:vit"',
    '"hf:bert-base-uncased"': '"./bert"',
    '"hf:roberta-base"': '"./roberta"',
    '"timm:vit_small_patch16_224"': '"sample:deep"',
}


def sample_with(words: str) -> str:
    """The one sample that holds these words, on small models."""
    (found,) = [text for text in SAMPLES.values() if words in text]
    for name, other in INSTEAD.items():
        found = found.replace(name, other)
    return found


def run(sample: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a sample; what it says is in `names` afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cka.CKAWarning)  # so few examples
        exec(compile(sample, "README.md", "exec"), names)
    return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the samples name."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(32):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    return tmp_path


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_every_sample_is_python(sample: str) -> None:
    ast.parse(sample)
    for line in sample.splitlines():
        assert len(line) <= 130, f"not to be read at a glance: {line}"


def test_the_first_sample(folder: Path) -> None:
    names = run(sample_with("a second opinion"), {})
    assert names["comparison"].names == ["narrow", "vit"]


def test_models_of_any_kind(folder: Path) -> None:
    hf = pytest.importorskip("transformers")
    datasets = pytest.importorskip("datasets")
    from tests.support.small_transformers import bert, built, word_tokenizer

    vit = hf.ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
    kept = {
        "bert": [built(bert(), seed=0), word_tokenizer()],
        "roberta": [built(bert(), seed=1), word_tokenizer()],
        "my-vit-folder": [built(vit), hf.ViTImageProcessor(size={"height": 32, "width": 32})],
    }
    for name, parts in kept.items():
        for part in parts:
            part.save_pretrained(folder / name)
    (folder / "sentences.txt").write_text("".join(f"the cat sat on the mat {n}\n" for n in range(16)), "utf-8")
    pictures = [Image.open(path) for path in sorted((folder / "photos").rglob("*.png"))]
    names = {
        "cka": cka,
        "teacher": ConvNet(seed=0),
        "student": ConvNet(seed=1),
        "model": sample_model("narrow"),
        "new_model": sample_model("wide"),
        "test_loader": DataLoader(TensorDataset(images(32), torch.arange(32) % 5), batch_size=16),
        "hf_dataset": datasets.Dataset.from_dict({"image": pictures}),
        "x": np.random.default_rng(0).normal(size=(20, 3)),
        "y": np.random.default_rng(1).normal(size=(20, 5)),
    }
    run(sample_with("your own modules and loader"), names)
    assert names["old"].n_examples == 32


def test_block_structure_and_errors(folder: Path) -> None:
    pytest.importorskip("sklearn")
    given = {"data": "sample:digits", "max_examples": 256, "batch_size": 32, "progress": False}
    rng = np.random.default_rng(0)
    net = ConvNet(blocks=2)
    names = {
        "cka": cka,
        "comparison": cka.compare("sample:deep", "sample:narrow", "sample:vit", "sample:wide", **given),
        "predictions_a": rng.integers(0, 3, 60),
        "predictions_b": rng.integers(0, 3, 60),
        "labels": rng.integers(0, 3, 60),
        "net": net,
    }
    sample = sample_with("none, weak or strong")
    of_digits, of_net = [], []
    for line in sample.splitlines():
        (of_net if "(net" in line or '"net"' in line else of_digits).append(line)
    run("\n".join(of_digits), {**names, "data": "sample:digits"})
    run("\n".join(of_net), {**names, "data": TensorDataset(images(128), torch.arange(128) % 5)})


def test_what_the_samples_on_training_import_is_there() -> None:
    lines = [line for line in sample_with("trainer.add_callback").splitlines() if line.startswith("from ")]
    assert lines
    pytest.importorskip("transformers")
    run("\n".join(lines), {})


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:cka_plugin|adapters|tests|examples)/[\w./-]*)`", text))
    assert named
    missing = [path for path in named if not (ROOT / path).exists() and "NAME" not in path]
    assert missing == []
