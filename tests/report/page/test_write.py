"""The file of a page: what may run in it, that nothing is loaded, that names are text, and what it holds."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.comparison import Comparison
from tests.support.pages import held, net, small


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return small()


@pytest.fixture(scope="module")
def text(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> str:
    return comparison.report(tmp_path_factory.mktemp("page") / "page.html").read_text(encoding="utf-8")


def test_the_policy_lets_this_style_and_this_script_run_and_nothing_be_loaded(text: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag, source in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy


def test_nothing_in_the_page_points_outside_or_makes_markup_of_text(text: str) -> None:
    without_namespace = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|@import|url\(|\beval\(|new Function", without_namespace)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write", text)
    assert not re.search(r"<[^>]+\sstyle=", text)


def test_the_figures_in_the_page_are_those_of_the_comparison(comparison: Comparison, text: str) -> None:
    pair = held(text, "pair-0-1")
    low, high = comparison.interval("a", "b")
    for name, wanted in (("cka", comparison.matrix("a", "b")), ("low", low), ("high", high)):
        assert np.abs(np.array(pair[name], dtype=float) - wanted).max() < 1.01e-4
        assert [f"{x:.3f}" for x in np.ravel(pair[name])] == [f"{x:.3f}" for x in wanted.ravel()]
    rows = {column["label"]: column["values"] for column in pair["errors"]["classes"]["columns"]}
    assert rows["a"] == [row.accuracy_a for row in comparison.errors("a", "b").classes]
    assert held(text, "model-0")["layers"] == [layer.name for layer in comparison["a"].shown_layers]


def test_tables_call_layers_what_the_pictures_call_them(comparison: Comparison, text: str) -> None:
    names = [layer.name for layer in comparison["a"].shown_layers]
    assert names != comparison["a"].layer_names  # the user's own modules go by their paths
    table = held(text, "pair-0-1")["correspondence"]["table"]["columns"]
    assert table[0]["values"] == names
    assert set(table[2]["values"]) <= {layer.name for layer in comparison["b"].shown_layers}
    levels = held(text, "pair-0-1")["levels"]
    assert levels["table"]["columns"][0]["values"] == names
    assert levels["cka"] == pytest.approx([row.cka for row in comparison.levels("a", "b").layers])


def test_the_first_screen_says_what_was_found_with_its_numbers(comparison: Comparison, text: str) -> None:
    errors = comparison.errors("a", "b")
    assert f"a and b have a mean CKA of {comparison.models()[0, 1]:.3f} between layers at equal depth" in text
    assert f"a is right on {errors.accuracy_a:.1%} of 120 examples, b on {errors.accuracy_b:.1%}" in text


def test_names_are_text_wherever_they_come_from(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    escaped = small((evil, "b\x1b[31m"), n=48).report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert evil not in escaped
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in escaped
    assert "\x1b" not in escaped
    assert held(escaped, "index")["names"] == [evil, "b\\x1b[31m"]


def test_examples_are_shown_where_the_data_are_at_hand_and_left_out_where_that_is_asked(tmp_path: Path) -> None:
    rows = torch.randn(96, 8)
    texts = [f"text number {i} <b>" for i in range(96)]

    def forward(model: nn.Module, batch: list[str]) -> torch.Tensor:
        return model(torch.stack([rows[int(text.split()[2])] for text in batch]))

    comparison = small(data=texts, forward=forward)
    shown = held(comparison.report(tmp_path / "page.html").read_text(encoding="utf-8"), "pictures")
    ids = comparison["a"].example_ids
    assert shown
    assert all(picture["text"] == texts[ids[int(place)]] for place, picture in shown.items())
    private = comparison.report(tmp_path / "private.html", examples=False).read_text(encoding="utf-8")
    assert held(private, "pictures") == {}
    assert "text number" not in private


def test_a_comparison_from_a_file_names_examples_by_their_ids_until_it_is_given_the_data(tmp_path: Path) -> None:
    images = torch.rand(96, 1, 8, 8)
    nets = {name: nn.Sequential(nn.Flatten(), nn.Linear(64, 5)) for name in "ab"}
    cka.compare(nets, data=images, batch_size=12, granularity="module", progress=False).save(tmp_path / "c.safetensors")
    loaded = cka.load(tmp_path / "c.safetensors")
    without = loaded.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert held(without, "pictures") == {}
    assert "the data are not at hand" in without
    given = held(loaded.report(tmp_path / "page.html", data=images).read_text(encoding="utf-8"), "pictures")
    assert given
    assert all(picture["image"].startswith("data:image/png;base64,") for picture in given.values())
    others = loaded.report(tmp_path / "page.html", data=torch.rand(96, 1, 8, 8)).read_text(encoding="utf-8")
    assert held(others, "pictures") == {}
    assert "the data gave other content for them" in others


def test_three_models_have_every_pair(tmp_path: Path) -> None:
    text = small(("a", "b", "c")).report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "3 models, 3 pairs: mean CKA" in text
    for pair in ("0-0", "0-1", "0-2", "1-1", "1-2", "2-2"):
        assert len(held(text, f"pair-{pair}")["cka"]) == 5


def test_details_of_many_pairs_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    text = small(n=96).report(tmp_path / "page.html", details=False).read_text(encoding="utf-8")
    pair = held(text, "pair-0-1")
    assert "details=True" in pair["examples"]["reason"]
    assert "calibrated" not in pair


def test_without_labels_the_page_says_so_and_compares_predictions(tmp_path: Path) -> None:
    text = small(data=torch.randn(96, 8)).report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Without labels it is not known who is right" in text
    assert "labels" in held(text, "pair-0-1")["errors"]["reason"]


def test_a_dead_layer_is_named_and_has_no_figures(tmp_path: Path) -> None:
    dead = net(0)
    nn.init.zeros_(dead[2].weight)
    with pytest.warns(cka.CKAWarning, match="constant"):
        comparison = cka.compare(
            {"a": dead, "b": net(1)}, data=torch.randn(96, 8), batch_size=12, granularity="module", progress=False
        )
    text = comparison.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert held(text, "pair-0-1")["cka"][2] == [None] * 5
    assert "a, layer" in text
