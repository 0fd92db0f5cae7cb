"""What was asked, as plain data: alike for what is alike, and only for that."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cka_plugin.data import ReadOptions, open_data
from cka_plugin.options import Options
from cka_plugin.zoo.asked import data_asked, options_asked


def asked(data: object, before: dict | None = None) -> dict:
    return data_asked(data, open_data(data), ReadOptions(), before)


def test_options_are_plain_and_tell_functions_by_their_code() -> None:
    first, same, other = (eval(code) for code in ("lambda x: x + 1", "lambda x: x + 1", "lambda x: x + 2"))
    told = [options_asked(Options(transforms=one, labels=np.arange(500))) for one in (first, same, other)]
    assert json.loads(json.dumps(told[0])) == told[0] == told[1] != told[2]
    assert options_asked(Options(device="cpu", progress=False)) == options_asked(Options())
    assert options_asked(Options(labels=torch.arange(5))) != options_asked(Options(labels=torch.arange(5) + 1))


def test_a_file_of_weights_or_labels_counts_by_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    options = Options(labels=str(tmp_path / "labels.txt"))
    before = options_asked(options)
    (tmp_path / "labels.txt").write_text("a\nc\n")
    assert options_asked(options) != before


def test_data_are_the_same_where_their_examples_and_labels_are() -> None:
    x, y = torch.randn(20, 3), torch.arange(20) % 2
    assert asked((x, y)) == asked((x.clone(), y.clone()))
    assert asked((x, y))["content"] != asked((x, 1 - y))["content"]
    assert asked((x, y))["content"] != asked((x + 1, y))["content"]


def test_a_folder_is_read_again_only_where_sizes_or_times_differ(tmp_path: Path) -> None:
    for place in range(5):
        Image.new("RGB", (8, 8), (place, 0, 0)).save(tmp_path / f"{place}.png")
    before = asked(tmp_path)
    assert asked(tmp_path, {**before, "content": "as it was"})["content"] == "as it was"
    os.utime(tmp_path / "0.png", (1, 1))
    touched = asked(tmp_path, before)
    assert (touched["content"], touched["times"] == before["times"]) == (before["content"], False)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "0.png")
    assert asked(tmp_path, before)["content"] != before["content"]
