"""The pages of the site say what is so: their samples run, their commands exist, and every public name is there."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import cka_plugin as cka
from cka_plugin import sample
from cka_plugin.adapters import known
from cka_plugin.analysis.measures import registry
from cka_plugin.cli.app import FILES, app
from tests.support import ROOT
from tests.support.nets import ConvNet, images

pytest_plugins = ["pytester"]

DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if not {"made", "_build"} & set(path.relative_to(DOCS).parts)
}
RUN_ELSEWHERE = {"index.md"}  # as howto/timm.md
SAMPLES = {
    name: samples
    for name, text in PAGES.items()
    if name not in RUN_ELSEWHERE and (samples := re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
}


# Pretrained models by their names need a network: small ones stand for them.
INSTEAD = {
    '"resnet50"': '"sample:narrow"',
    '"vit_base_patch16_224"': '"sample:vit"',
    '"hf:bert-base-uncased"': '"./bert-a"',
    '"hf:roberta-base"': '"./bert-b"',
    '"timm:vit_small_patch16_224"': '"sample:deep"',
}


def photos(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for number in range(32):
        path = folder / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    return {}


def texts_and_models(folder: Path) -> dict[str, Any]:
    pytest.importorskip("transformers")
    from tests.support.small_transformers import bert, built, word_tokenizer

    for seed, name in enumerate(["bert-a", "bert-b"]):
        for part in (built(bert(), seed=seed), word_tokenizer()):
            part.save_pretrained(folder / name)
    (folder / "sentences.txt").write_text("".join(f"the cat sat on the mat {n}\n" for n in range(16)), "utf-8")
    return {}


def models_of_any_kind(folder: Path) -> dict[str, Any]:
    hf, datasets = pytest.importorskip("transformers"), pytest.importorskip("datasets")
    from tests.support.small_transformers import built

    photos(folder), texts_and_models(folder)
    vit = hf.ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
    for part in (built(vit), hf.ViTImageProcessor(size={"height": 32, "width": 32})):
        part.save_pretrained(folder / "my-vit-folder")
    pictures = [Image.open(path) for path in sorted((folder / "photos").rglob("*.png"))]
    return {
        "teacher": ConvNet(seed=0),
        "student": ConvNet(seed=1),
        "model": sample.model("narrow"),
        "new_model": sample.model("wide"),
        "test_loader": DataLoader(TensorDataset(images(32), torch.arange(32) % 5), batch_size=16),
        "hf_dataset": datasets.Dataset.from_dict({"image": pictures}),
        "x": np.random.default_rng(0).normal(size=(20, 3)),
        "y": np.random.default_rng(1).normal(size=(20, 5)),
    }


def examples_by_names(folder: Path) -> dict[str, Any]:
    made = images(32)
    rows = [{"left": x, "right": x, "image": x, "mask": x, "species": n % 4} for n, x in enumerate(made)]
    return {"model": TwoEyed(), "loader": DataLoader(rows, batch_size=16)}


class TwoEyed(nn.Module):
    """Takes two pictures, and can encode one with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def encode(self, image: Tensor, mask: Tensor) -> Tensor:
        return self(image * mask, image)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head((self.eye(left) + self.eye(right)).mean((2, 3)))


# What a page names besides what it makes
GIVEN = {
    "reference/models.md": models_of_any_kind,
    "reference/data.md": examples_by_names,
    "howto/timm.md": photos,
    "howto/workers.md": photos,
    "howto/texts.md": texts_and_models,
    "howto/long_texts.md": texts_and_models,
}
NEEDS = {"howto/training.md": ["transformers", "lightning"]}


@pytest.mark.parametrize("page", SAMPLES)
def test_the_samples_of_a_page_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in NEEDS.get(page, ()):
        pytest.importorskip(package)
    names = {"__name__": "sample", **GIVEN.get(page, lambda folder: {})(tmp_path)}
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cka.CKAWarning)  # so few examples
        for number, text in enumerate(SAMPLES[page], start=1):
            for named, small in INSTEAD.items():
                text = text.replace(named, small)
            exec(compile(text, f"{page}, sample {number}", "exec"), names)


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_registered", [])
    monkeypatch.setattr(registry, "_MEASURES", dict(registry._MEASURES))


def test_the_test_of_the_page_on_checks_goes_from_none_to_green(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_page=SAMPLES["howto/ci.md"][0])
    plugin = ("-p", "cka_plugin.pytest_plugin", "-p", "no:cacheprovider")
    pytester.runpytest(*plugin).assert_outcomes(failed=1)  # there is no baseline yet
    pytester.runpytest(*plugin, "--cka-update").assert_outcomes(passed=1)
    pytester.runpytest(*plugin).assert_outcomes(passed=1)


@pytest.mark.parametrize("page", [name for name in PAGES if name.startswith("howto/") and name != "howto/index.md"])
def test_a_how_to_page_is_short(page: str) -> None:
    assert len(PAGES[page].splitlines()) <= 65


def test_every_public_name_is_in_the_reference() -> None:
    reference = "".join(text for name, text in PAGES.items() if name.startswith("reference/"))
    listed = set(re.findall(r"^\.\. auto(?:function|class):: (?:cka_plugin\.)?(\w+)$", reference, flags=re.MULTILINE))
    assert set(cka.__all__) - {"__version__"} <= listed


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_empty_and_each_has_a_title(page: str) -> None:
    assert PAGES[page].startswith("# ")
    assert len(PAGES[page].split()) > 20


def test_commands_on_the_pages_have_the_options_shown() -> None:
    helps = {name: CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output for name in FILES}
    shown = [
        (page, *found)
        for page, text in PAGES.items()
        for found in re.findall(r"cka-plugin ([a-z]+)( [^\n`]*)?", text)
        if found[0] in helps
    ]
    assert shown
    for page, name, arguments in shown:
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", arguments.partition("#")[0]):
            assert option in helps[name], f"{page}: cka-plugin {name} has no {option}"


def test_the_workflow_builds_strictly_and_publishes_from_main_alone() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8"))
    commands = [step.get("run", "") for step in workflow["jobs"]["build"]["steps"]]
    assert any("sphinx -W" in command for command in commands)
    assert "refs/heads/main" in workflow["jobs"]["publish"]["if"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == cka.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
