"""Rows of a check: CKA and its interval, layers matched by name or path, dead, missing and new ones."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline, make_baseline
from tests.support.checked import X, perturbed
from tests.support.nets import ConvNet, images
from tests.support.reference import minibatch_cka


def test_the_rows_are_cka_and_its_interval(net: ConvNet, baseline: Baseline) -> None:
    changed = perturbed(net, "blocks.0.conv1")
    result = cka.check(changed, baseline, X)
    other = cka.represent(changed, X, like=baseline.representation, name="changed", progress=False)
    comparison = cka.Comparison([baseline.representation, other])
    low, high = comparison.interval("net", "changed")
    for i, row in enumerate(result.layers):
        assert row.cka == pytest.approx(comparison.matrix("net", "changed")[i, i], abs=1e-12)
        assert (row.low, row.high) == pytest.approx((low[i, i], high[i, i]), abs=1e-12)


def test_a_row_agrees_with_an_independent_reference(net: ConvNet, baseline: Baseline) -> None:
    changed = perturbed(net, "head")
    with torch.no_grad():
        a, b = net(X).double().numpy(), changed(X).double().numpy()
    order = [[baseline.representation.example_ids[p] for p in part] for part in baseline.representation.positions]
    expected = minibatch_cka([a[part] for part in order], [b[part] for part in order])
    row = cka.check(changed, baseline, X).layers[-1]
    assert row.name == "head"
    assert row.cka == pytest.approx(expected, abs=1e-6)


def test_a_dead_layer_fails_and_is_named(net: ConvNet, baseline: Baseline) -> None:
    dead = copy.deepcopy(net)
    with torch.no_grad():
        dead.blocks[1].bn2.weight.zero_()
        dead.blocks[1].bn2.bias.fill_(-1e6)
    result = cka.check(dead, baseline, X)
    assert result.failures[0].startswith("layer blocks.1: no similarity, it is constant")
    assert math.isnan(result.layers[2].cka)
    assert "Look at blocks.1 first" in result.meaning
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["layers"][2]["cka"] is None


def test_nan_fails_and_is_named(net: ConvNet, baseline: Baseline) -> None:
    broken = copy.deepcopy(net)
    with torch.no_grad():
        broken.blocks[2].bn2.weight[0] = float("nan")
    result = cka.check(broken, baseline, X)
    assert result.failures[0].startswith("layer blocks.2: no similarity, its activations are not finite")


def test_layers_that_are_missing_fail_and_new_ones_are_noted() -> None:
    three, four = ConvNet(blocks=3).eval(), ConvNet(blocks=4).eval()
    with_three = make_baseline(three, X, progress=False)
    with_four = make_baseline(four, X, progress=False)
    fewer = cka.check(three, with_four, X)
    assert any("does not have: blocks.3" in sentence for sentence in fewer.failures)
    more = cka.check(four, with_three, X, min_cka=0, max_churn=None)
    assert more.passed
    assert any("not judged: blocks.3" in note for note in more.notes)


def test_no_layer_in_common_is_an_error(baseline: Baseline) -> None:
    layers = [
        cka.Layer(f"other.{i}", f"other.{i}", "module", l.depth) for i, l in enumerate(baseline.representation.layers)
    ]
    renamed = replace(baseline.representation, layers=layers)
    with pytest.raises(ValueError, match="no layer in common"):
        cka.check(renamed, baseline)


def test_wrapped_models_find_their_layers(net: ConvNet, baseline: Baseline) -> None:
    for wrapped in (nn.DataParallel(net), torch.optim.swa_utils.AveragedModel(net), torch.compile(net)):
        assert cka.check(wrapped, baseline, X, min_cka=0.9999).passed


def test_a_timm_network_ported_to_hugging_face_finds_its_baseline() -> None:
    hf = pytest.importorskip("transformers")
    pytest.importorskip("timm")
    pytest.importorskip("torchvision")
    from tests.adapters.test_frameworks_agree import VIT, timm_vit, vit_weights

    theirs, data = timm_vit().eval(), images(64, size=32)
    ours = hf.ViTForImageClassification(hf.ViTConfig(**VIT)).eval()
    ours.load_state_dict(vit_weights(theirs.state_dict(), ours.state_dict()))
    made = make_baseline(theirs, data, name="timm", progress=False)
    result = cka.check(ours, made, data, min_cka=0.9999)
    assert result.passed
    assert [row.name for row in result.layers] == made.representation.layer_names
    assert result.layers[1].path != made.representation.layers[1].path


def test_quantised_networks_find_their_layers(net: ConvNet) -> None:
    mlp = nn.Sequential(nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)).eval()
    data = X.flatten(1)
    made = make_baseline(mlp, data, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = [torch.ao.quantization.quantize_dynamic(copy.deepcopy(mlp), {nn.Linear}, dtype=torch.qint8)]
    if importlib.util.find_spec("torchao") is not None:
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantised.append(copy.deepcopy(mlp))
        quantize_(quantised[-1], Int8DynamicActivationInt8WeightConfig())
    for model in quantised:
        result = cka.check(model, made, data, max_churn=0.1)
        assert result.passed
        assert len(result.layers) == len(made.representation.layers)
        assert all(row.moved and row.cka > 0.99 for row in result.layers)


def test_an_exported_network_finds_its_layers_by_the_names_of_its_outputs(net: ConvNet, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from cka_plugin.adapters.onnx import OnnxModel

    made = make_baseline(net, X, progress=False)
    inside = {f"blocks.{i}": f"/blocks/blocks.{i}/act2/Relu_output_0" for i in range(3)}
    outputs = {"stem": "/stem/Conv_output_0", **inside, "head": "logits"}
    for number, model in enumerate((net, perturbed(net, "blocks.1.conv1"))):
        path = tmp_path / f"{number}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model, (X[:4],), path, dynamo=False, output_names=["logits"], input_names=["x"], dynamic_axes={"x": [0]}
            )
        result = cka.check(OnnxModel(path, outputs), made, X, min_cka=0.9999)
        assert [row.name for row in result.layers] == made.representation.layer_names
        assert result.passed is (number == 0)
        assert (result.first_moved.name if result.first_moved else None) == [None, "blocks.1"][number]
    alone = cka.check(OnnxModel(tmp_path / "0.onnx"), made, X)
    assert [row.name for row in alone.layers if row.passed] == ["head"]
    assert alone.failures[0].startswith("layers of the baseline that OnnxModel does not have: stem, blocks.0")
    with pytest.raises(ValueError, match=r"0\.onnx computes no value 'nowhere': it has /"):
        OnnxModel(tmp_path / "0.onnx", {"stem": "nowhere"})
    with pytest.raises(FileNotFoundError, match=r"no such file: gone\.onnx"):
        OnnxModel("gone.onnx")


@pytest.mark.parametrize("float16", [False, True])
def test_inputs_of_another_scale_are_seen_where_cka_does_not_see_them(float16: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    x = torch.randn(256, 6)
    baseline = make_baseline(net, x, granularity="module", float16=float16, progress=False)
    same = cka.check(net, baseline, x)
    assert same.passed
    assert same.meaning == ""
    made = cka.represent(net, 3 * x, like=baseline.representation, granularity="module", progress=False)
    result = cka.check(made, baseline, match="ids", min_cka=0.999)
    assert result.layers[0].cka == pytest.approx(1.0, abs=1e-5)
    assert result.meaning.startswith("0 is 3 times what it was, which CKA does not see")
    assert "Look at the inputs first" in result.meaning
