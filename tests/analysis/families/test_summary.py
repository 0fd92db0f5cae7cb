"""The summary of models: what each row says, factors of one's own, and figures held against one another."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import cka_plugin as cka
from tests.support import ROOT


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    torch.manual_seed(0)
    nets = {}
    for width in (8, 16, 32):
        blocks = [nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(3)]
        nets[f"w{width}"] = nn.Sequential(nn.Linear(6, width), *blocks, nn.Linear(width, 3))
    return cka.compare(nets, data=torch.randn(128, 6), labels=torch.arange(128) % 3, batch_size=32, progress=False)


def test_one_row_a_model_with_what_it_is_and_what_was_measured(comparison: cka.Comparison) -> None:
    rows = comparison.summary().models
    assert [row.name for row in rows] == comparison.names
    assert [row.parameters for row in rows] == [7 * w + 3 * (w * w + w) + 3 * w + 3 for w in (8, 16, 32)]
    for row in rows:
        assert row.family == "Sequential"
        assert row.layers == len(comparison.layers(row.name))
        assert row.accuracy == comparison[row.name].accuracy
        assert row.block_verdict == comparison.block_structure(row.name).verdict
        assert row.neighbours == pytest.approx(comparison.matrix(row.name).diagonal(1).mean())
        assert 0 < row.dimension < 32


def test_factors_are_columns_and_can_be_related(comparison: cka.Comparison) -> None:
    summary = comparison.summary({"w8": {"width": 8}, "w16": {"width": 16}, "w32": {"width": 32}})
    assert summary.to_frame()["width"].tolist() == [8, 16, 32]
    found = summary.relate("width", "parameters")
    assert found.correlation == pytest.approx(1.0)
    assert found.verdict == "inconclusive"  # three models show nothing
    assert "width" in repr(summary)


def test_what_is_no_figure_is_refused(comparison: cka.Comparison) -> None:
    with pytest.raises(ValueError, match="'colour' is no figure of the summary: it has layers, parameters"):
        comparison.summary().relate("colour", "layers")
    with pytest.raises(ValueError, match="factors of 'w64'"):
        comparison.summary({"w64": {"width": 64}})
    with pytest.raises(ValueError, match="expected numbers"):
        comparison.summary({"w8": {"kind": "narrow"}}).relate("kind", "layers")


def test_a_file_without_a_record_of_its_model_has_no_family(comparison: cka.Comparison) -> None:
    old = comparison["w8"]
    options = {key: value for key, value in old.options.items() if key != "model"}
    row = cka.Comparison([type(old)(**{**vars(old), "options": options})]).summary().models[0]
    assert (row.family, row.parameters) == (None, None)
    assert math.isnan(row.features)
    assert row.layers == len(old.layers)


def test_the_widest_layer_is_recorded_with_what_its_gram_matrix_is_made_of() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3))
    x = torch.randn(64, 3, 6, 6)
    widths = {}
    for pooling in ("flatten", "mean"):
        model = cka.represent(net, x, granularity="module", layers=["0", "1", "3"], pooling=pooling, progress=False)
        widths[pooling] = cka.Comparison([model]).summary().models[0].features
    assert widths == {"flatten": 8 * 36, "mean": 8}


def test_a_file_of_an_earlier_version_has_no_width_and_says_why(comparison: cka.Comparison) -> None:
    old = comparison["w8"]
    about = {key: value for key, value in old.options["model"].items() if key != "features"}
    summary = cka.Comparison([replace(old, options={**old.options, "model": about}), comparison["w32"]]).summary()
    assert math.isnan(summary.models[0].features)
    assert summary.models[1].features == 32
    assert "an earlier version" in summary.reasons["features"]
    assert "parameters" not in summary.reasons
    assert "(features: not recorded of w8, which an earlier version represented: represent again)" in repr(summary)
    assert math.isnan(summary.to_frame()["features"][0])
    plain = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert plain["models"][0]["features"] is None
    assert "features" in plain["reasons"]
    assert summary.relate("features", "layers").n == 1


def test_shards_of_unlike_width_are_parts_of_one_run(comparison: cka.Comparison) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(64, 6)
    parts = [cka.represent({"net": net}, x, batch_size=16, shard=(i, 2), progress=False) for i in (0, 1)]
    assert parts[0].options["model"]["features"] == 8
    about = parts[1].options["model"]
    wide = replace(parts[1], options=parts[1].options | {"model": about | {"features": 12}})
    assert cka.Representation.merge([parts[0], wide]).options["model"]["features"] == 12
    known = {key: value for key, value in about.items() if key != "features"}
    unknown = replace(parts[1], options=parts[1].options | {"model": known})
    assert cka.Representation.merge([parts[0], unknown]).options["model"]["features"] == 8


def test_a_file_saved_by_the_first_version_is_summarised() -> None:
    summary = cka.load(ROOT / "tests" / "representation" / "version_1" / "comparison.safetensors").summary()
    assert [math.isnan(row.features) for row in summary.models] == [True, True]
    assert summary.reasons["features"] == "not recorded of a, b, which an earlier version represented: represent again"
