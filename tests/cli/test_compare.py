"""`cka-plugin compare`: what it is asked for it does or says beforehand; what it has it shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import cka_plugin as cka
from tests.support.many_models import many_models

SMALL = ("--data", "sample:digits", "--max-examples", "64", "--batch-size", "16", "-q")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = cka.compare(
        "sample:narrow", "sample:vit", data="sample:digits", max_examples=64, batch_size=16, progress=False
    )
    return found.save(tmp_path_factory.mktemp("saved") / "both.safetensors")


def test_a_saved_comparison_opens_in_compare_beside_other_models(command, both: Path) -> None:
    code, out, _ = command("compare", both, "sample:wide", *SMALL, "--json")
    assert code == 0
    assert [model["name"] for model in json.loads(out)["models"]] == ["narrow", "vit", "wide"]


def test_of_three_models_every_printed_pair_is_named_and_each_preparation_is_said_once(command) -> None:
    code, out, _ = command("compare", "sample:narrow", "sample:vit", "sample:wide", *SMALL)
    assert code == 0
    assert "narrow and vit" in out
    assert "narrow and wide" in out
    assert out.count("Prepared for narrow, wide: ") == out.count("Prepared for vit: ") == 1


def test_errors_without_labels_are_refused_before_a_model_runs(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cka_plugin.sample.model", lambda name: pytest.fail("a model was built"))
    code, out, said = command("compare", "sample:narrow", "sample:vit", "--data", "sample:photos", "--errors")
    assert code == 2
    assert out == ""
    assert "--errors needs labels: give --labels, or data that have them; sample:photos has none" in said


def test_errors_that_cannot_be_computed_take_no_table_away(command, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "class Body(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__(); self.conv = torch.nn.Conv2d(3, 4, 3); self.act = torch.nn.ReLU()\n"
        "    def forward(self, x):\n"
        "        return self.act(self.conv(x))\n"
        "def make():\n"
        "    torch.manual_seed(0); return Body()\n"
    )
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=torch.randn(32, 3, 8, 8).numpy(), y=np.arange(32) % 4)
    arguments = ("compare", "python:own:make", "python:own:make", "--data", "x.npz", "--granularity", "module", "-q")
    code, out, said = command(*arguments, "--errors")
    assert code == 2
    assert "32 examples in 1 minibatch of 32" in out
    assert "need class scores" in said
    code, out, said = command(*arguments, "--errors", "--json")
    assert code == 2
    assert json.loads(out)["errors"] == []


def test_a_mapping_is_names_or_a_json_file(command, both: Path, tmp_path: Path) -> None:
    classes = {str(index): index for index in range(10)}
    file = tmp_path / "mapping.json"
    file.write_text(json.dumps({"narrow": classes, "vit": classes}))
    plain = json.loads(command("show", both, "--errors", "--json")[1])["errors"]
    mapped = json.loads(command("show", both, "--errors", "--mapping", file, "--json")[1])["errors"]
    assert mapped[0]["accuracy_a"] == plain[0]["accuracy_a"]
    code, _, said = command("show", both, "--errors", "--mapping", "nowhere.json")
    assert code == 2
    assert "--mapping nowhere.json: expected `names`, or a JSON file; there is no such file" in said


def test_checkpoint_and_model_kwargs_reach_the_builder(command, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("test_resnet", num_classes=7)
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    arguments = ("represent", "test_resnet", *SMALL, "--checkpoint", tmp_path / "own.safetensors")
    code, _, said = command(*arguments, "--num-classes", 7, "-o", tmp_path / "a.st")
    assert code == 0, said
    code, _, said = command(*arguments, "--model-kwargs", "num_classes=7", "-o", tmp_path / "b.st")
    assert code == 0, said
    a, b = cka.load(tmp_path / "a.st"), cka.load(tmp_path / "b.st")
    assert a.logits.shape == (64, 7)
    assert cka.Comparison([a, b.renamed("b")]).matrix(a.name, "b").diagonal() == pytest.approx(1.0)
    code, _, said = command(*arguments, "-o", tmp_path / "c.st")
    assert code == 2


def test_layers_and_part_choose_what_is_compared(command) -> None:
    code, out, _ = command("compare", "sample:narrow", *SMALL, "--layers", "stages.0.*,head", "--json")
    assert code == 0
    names = [layer["name"] for layer in json.loads(out)["models"][0]["layers"]]
    assert names == ["stages.0.blocks.0", "stages.0.blocks.1", "head"]
    code, out, _ = command("compare", "sample:narrow", *SMALL, "--part", "layer2", "--json")
    assert {layer["path"].split(".")[0] for layer in json.loads(out)["models"][0]["layers"]} == {"layer2"}


def test_what_four_minibatches_do_not_tell_is_inconclusive_in_the_table_and_in_json(command, both: Path) -> None:
    code, out, _ = command("compare", both)
    assert code == 0
    assert "?: inconclusive. Without intervals a best match is not told from the runner-up: 4 minibatches" in out
    code, out, _ = command("compare", both, "--json")
    (found,) = json.loads(out)["correspondence"]
    assert (found["a"], found["b"]) == ("narrow", "vit")
    assert {match["verdict"] for match in found["matches"]} == {"inconclusive"}


def test_errors_that_are_inconclusive_say_what_would_settle_it(command, both: Path) -> None:
    code, out, _ = command("compare", both, "--errors")
    assert code == 0
    assert "\ninconclusive: 64 examples show a true difference of " in out
    code, out, _ = command("compare", both, "--errors", "--json")
    (found,) = json.loads(out)["errors"]
    assert found["verdict"] == "inconclusive"
    assert found["certainty"]["needed"] > 64


def test_examples_placed_differently_are_shown_with_their_classes(command, both: Path) -> None:
    code, out, _ = command("show", both, "--examples")
    assert code == 0
    assert "How alike narrow and vit place each example" in out
    assert "Classes placed more differently than the rest, corrected for 10: " in out
    code, out, _ = command("compare", both, "--examples", "--json")
    (found,) = json.loads(out)["examples_placed"]
    assert found["names"] == ["narrow", "vit"]
    assert len(found["examples"]) == 64


def test_of_sketches_the_error_stands_beside_the_values(command) -> None:
    code, out, _ = command("compare", "sample:narrow", "sample:vit", *SMALL, "--sketch", "32")
    assert code == 0
    assert "s.e. of sketch" in out
    assert "CKA comes of sketches of 32 numbers a minibatch (standard error at most 0." in out
    code, out, error = command("compare", "sample:narrow", "sample:vit", *SMALL, "--sketch", "32", "--blocks")
    assert code == 2
    assert "needs whole Gram matrices" in error


def test_of_very_many_models_those_most_alike_are_shown_and_the_families(command, tmp_path) -> None:
    for model in many_models(60):
        model.save(tmp_path / f"{model.name}.safetensors")
    code, out, _ = command("compare", tmp_path, "--report", tmp_path / "page.html")
    assert code == 0
    lines = out.split("\n")
    assert lines[2].split() == ["most", "alike", "and", "mean", "CKA", "at", "equal", "depth"]
    first = lines[4].split()
    assert int(first[0][-2:]) % 8 == int(first[1][-2:]) % 8, "two of one family"
    assert "Models of one family are more alike than others by" in out
    assert "60 models; 128 examples" in out
    assert out.count("\n") < 60
    code, out, _ = command("compare", tmp_path, "--json")
    found = json.loads(out)
    assert (len(found["models"]), len(found["similarity"]), found["matrices"]) == (60, 60, [])
