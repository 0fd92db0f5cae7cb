"""`check`: what passes, what fails, which layer is named, and what cannot be judged."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline, make_baseline
from cka_plugin.regression.noise import rounded_otherwise
from cka_plugin.representation import Representation
from tests.support.nets import ConvNet, images
from tests.support.planted import planted, smooth_drift
from tests.support.reference import minibatch_cka

X = images(256)
Y = torch.randint(0, 5, (256,), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net() -> ConvNet:
    return ConvNet().eval()


@pytest.fixture(scope="module")
def baseline(net: ConvNet) -> Baseline:
    return make_baseline(net, X, Y, name="net", progress=False)


def perturbed(net: ConvNet, path: str) -> ConvNet:
    changed = copy.deepcopy(net)
    weight = changed.get_submodule(path).weight
    with torch.no_grad():
        weight += 3 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return changed


def test_an_unchanged_model_passes_at_0_9999(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(net, baseline, X, min_cka=0.9999)
    assert result.passed
    assert result.failures == []
    assert [row.name for row in result.layers] == baseline.representation.layer_names
    assert all(abs(row.cka - 1) < 1e-6 and row.passed and not row.moved for row in result.layers)
    assert result.first_moved is None
    assert result.churn == 0


@pytest.mark.parametrize(("path", "layer"), [("stem", "stem"), ("blocks.1.conv1", "blocks.1"), ("head", "head")])
def test_the_perturbed_layer_is_the_first_failure(net: ConvNet, baseline: Baseline, path: str, layer: str) -> None:
    result = cka.check(perturbed(net, path), baseline, X)
    assert not result.passed
    assert result.failures[0].startswith(f"layer {layer}")
    assert result.first_moved is not None
    assert result.first_moved.name == layer
    before = [row for row in result.layers if row.depth < result.first_moved.depth]
    assert all(row.passed for row in before)


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


def test_the_worst_layer_stands_first_in_the_table(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(perturbed(net, "blocks.1.conv1"), baseline, X)
    worst = min(result.layers, key=lambda row: row.cka - row.threshold)
    assert result.worst[0] == worst
    table = str(result).split("threshold  verdict\n")[1]
    assert table.startswith(worst.name)
    assert result.to_markdown().split("|---|\n")[1].startswith(f"| {worst.name} |")


def test_a_table_of_thresholds(net: ConvNet, baseline: Baseline) -> None:
    changed = perturbed(net, "blocks.1.conv1")
    table = {"blocks.*": 0.1, "kind:head": 0.2, "default": 0.999}
    result = cka.check(changed, baseline, X, table, max_churn=None, max_accuracy_drop=None, max_class_drop=None)
    assert result.passed
    assert {row.name: row.threshold for row in result.layers if row.kind in ("block", "head")} == {
        "blocks.0": 0.1,
        "blocks.1": 0.1,
        "blocks.2": 0.1,
        "head": 0.2,
    }
    assert not cka.check(changed, baseline, X, {"blocks.1": 0.9999, "default": 0}).passed


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"block.1": 0.9}, "fits no layer: did you mean 'blocks.1'"),
        ({"blocks.1": "high"}, "expected a lowest CKA"),
        (1.5, "expected a lowest CKA"),
        (True, "expected a lowest CKA"),
        (float("nan"), "expected a lowest CKA"),
    ],
)
def test_thresholds_that_mean_nothing_are_errors(net: ConvNet, baseline: Baseline, table: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cka.check(net, baseline, X, table)  # type: ignore[arg-type]


def test_a_threshold_within_the_noise_is_an_error_not_a_coin_flip(net: ConvNet, baseline: Baseline) -> None:
    with pytest.raises(ValueError, match="within the noise of the baseline"):
        cka.check(net, baseline, X, min_cka=1.0)
    noisy = Baseline(baseline.representation, noise=dict.fromkeys(baseline.representation.layer_names, 0.01))
    with pytest.raises(ValueError, match=r"may give 0\.960; give at most 0\.96"):
        cka.check(net, noisy, X, min_cka=0.99)


def test_the_noise_covers_another_order_of_adding_up(net: ConvNet, baseline: Baseline) -> None:
    assert set(baseline.noise) == set(baseline.representation.layer_names)
    threads = torch.get_num_threads()
    for count, memory_format in [(1, torch.channels_last), (2, torch.contiguous_format), (4, torch.channels_last)]:
        try:
            torch.set_num_threads(count)
            result = cka.check(copy.deepcopy(net).to(memory_format=memory_format), baseline, X, min_cka=0.99999)
        finally:
            torch.set_num_threads(threads)
        assert result.passed
        assert all(1 - row.cka < row.floor for row in result.layers)


def test_the_noise_of_half_precision_is_larger_and_the_default_threshold_is_above_it(net: ConvNet) -> None:
    half = copy.deepcopy(net).bfloat16()
    made = make_baseline(half, X.bfloat16(), progress=False)
    assert 1e-6 < max(made.floor(name) for name in made.noise) < 0.01
    assert cka.check(half, made, X.bfloat16()).passed


def test_moving_the_last_bits_leaves_no_trace(net: ConvNet) -> None:
    state = torch.get_rng_state()
    before = net(X)
    with rounded_otherwise(net):
        moved = net(X)
    assert 0 < (moved - before).abs().max() < 1e-4
    assert torch.equal(net(X), before)
    assert torch.equal(torch.get_rng_state(), state)


# Predictions


def test_a_permuted_head_is_invisible_to_cka_and_caught_by_the_predictions(net: ConvNet, baseline: Baseline) -> None:
    permuted = copy.deepcopy(net)
    with torch.no_grad():
        permuted.head.weight[:] = permuted.head.weight[[1, 2, 3, 4, 0]]
        permuted.head.bias[:] = permuted.head.bias[[1, 2, 3, 4, 0]]
    result = cka.check(permuted, baseline, X)
    assert all(row.passed for row in result.layers)
    assert result.churn == 1
    assert any("of predictions changed" in sentence for sentence in result.failures)
    assert "classes may have another order" in result.meaning


def test_a_drop_of_accuracy_and_of_classes(net: ConvNet) -> None:
    with torch.no_grad():
        truth = net(X).argmax(1)
    made = make_baseline(net, X, truth, progress=False)
    worse = copy.deepcopy(net)
    common = int(truth.bincount().argmax())
    with torch.no_grad():
        worse.head.bias[common] -= 1.0
    result = cka.check(worse, made, X)
    assert all(row.passed for row in result.layers)
    assert result.errors is not None
    assert result.errors.accuracy_a == 1
    assert any(sentence.startswith("accuracy fell from 100.0% to") for sentence in result.failures)
    assert any(sentence.startswith("classes whose accuracy fell") for sentence in result.failures)
    off = cka.check(worse, made, X, max_accuracy_drop=None, max_class_drop=None, max_churn=None)
    assert off.passed


def test_labels_of_another_coding_are_named(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(net, baseline, X, labels=(Y + 1) % 5)
    assert not result.passed
    assert "the labels of 256 of 256 examples are not those of the baseline" in result.failures[0]


def test_a_head_with_other_classes_is_named(net: ConvNet, baseline: Baseline) -> None:
    wide = copy.deepcopy(net)
    wide.head = nn.Linear(6, 7)
    assert "the head has 7 classes, in the baseline 5" in cka.check(wide, baseline, X).failures


# Block structure


class Replay(nn.Module):
    """A network whose layers return what was made for the example whose number comes in."""

    class Layer(nn.Module):
        def __init__(self, rows: np.ndarray) -> None:
            super().__init__()
            self.rows = nn.Parameter(torch.from_numpy(rows).float(), requires_grad=False)

        def forward(self, number: torch.Tensor) -> torch.Tensor:
            return self.rows[number[:, 0].long()]

    def __init__(self, layers: list[np.ndarray]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(map(self.Layer, layers))

    def forward(self, number: torch.Tensor) -> torch.Tensor:
        return [block(number) for block in self.blocks][-1]


def test_a_new_block_structure_fails_and_says_where() -> None:
    without = smooth_drift(np.random.default_rng(0), layers=16, examples=256)
    with_one = planted(np.random.default_rng(0), layers=16, examples=256)
    numbers = torch.arange(256.0)[:, None]
    off = {"min_cka": -1.0, "max_churn": None}
    made = make_baseline(Replay(without.layers), numbers, progress=False)
    result = cka.check(Replay(with_one.layers), made, numbers, **off)
    assert len(result.failures) == 1
    assert result.failures[0].startswith("a block structure that the baseline does not have, blocks.")
    assert cka.check(Replay(with_one.layers), made, numbers, block_structure=False, **off).passed
    known = make_baseline(Replay(with_one.layers), numbers, progress=False)
    assert cka.check(Replay(with_one.layers), known, numbers, **off).passed
    assert cka.check(Replay(without.layers), known, numbers, **off).passed  # one that went is no failure


# Layers that die, vanish or appear


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


def test_a_layer_that_was_dead_before_is_a_note(net: ConvNet) -> None:
    dead = copy.deepcopy(net)
    with torch.no_grad():
        dead.head.weight.zero_()
    with pytest.warns(cka.CKAWarning, match="CKA is NaN"):
        made = make_baseline(dead, X, progress=False)
    result = cka.check(dead, made, X)
    assert result.passed
    assert any("in the baseline already, not judged: head" in note for note in result.notes)


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


# Data


def test_other_data_are_an_error_that_says_so(net: ConvNet, baseline: Baseline) -> None:
    with pytest.raises(ValueError, match="the data are not those of .*content of 256 of 256 examples"):
        cka.check(net, baseline, images(256, seed=9))
    with pytest.raises(ValueError, match="lacks 156 of the 256 examples"):
        cka.check(net, baseline, X[:100])
    with pytest.raises(ValueError, match="data is missing"):
        cka.check(net, baseline)
    assert not cka.check(net, baseline, images(256, seed=9), match="ids").passed


def test_a_loader_that_shuffles_is_an_error_that_says_so(net: ConvNet) -> None:
    ordered = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=50)
    made = make_baseline(net, ordered, progress=False)
    assert made.representation.batch_sizes == [32] * 8
    assert cka.check(net, made, ordered).passed
    turned = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X.flip(0), Y.flip(0)), batch_size=50)
    with pytest.raises(ValueError, match="in another order"):
        cka.check(net, made, turned)


def test_data_that_change_between_two_readings_make_no_baseline(net: ConvNet) -> None:
    class Augmented(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, i: int) -> torch.Tensor:
            return X[i] + torch.randn(1)

    with pytest.raises(ValueError, match="other examples when read a second time"):
        make_baseline(net, Augmented(), progress=False)
    with pytest.raises(ValueError, match="read only once"):
        make_baseline(net, (X[i : i + 32] for i in range(0, 256, 32)), progress=False)


def test_more_data_than_the_baseline_needs_are_welcome(net: ConvNet) -> None:
    ids = make_baseline(net, X, max_examples=128, progress=False)
    assert ids.representation.n_examples == 128
    assert cka.check(net, ids, X, min_cka=0.9999).passed


# Files


def test_a_baseline_comes_back_from_its_file(net: ConvNet, baseline: Baseline, tmp_path: Path) -> None:
    loaded = Baseline.load(baseline.save(tmp_path / "net.safetensors"))
    assert loaded.noise == baseline.noise
    assert loaded.environment == baseline.environment
    assert isinstance(cka.load(tmp_path / "net.safetensors"), Representation)
    assert cka.check(net, tmp_path / "net.safetensors", X, 0.9999).passed
    assert cka.check(tmp_path / "net.safetensors", baseline, min_cka=0.9999).passed


def test_any_saved_representation_is_a_baseline(net: ConvNet, tmp_path: Path) -> None:
    path = cka.represent(net, X, name="net", progress=False).save(tmp_path / "net.safetensors")
    result = cka.check(net, path, X)
    assert result.passed
    assert result.n_minibatches == 4
    assert any("Intervals need at least 8 minibatches" in note for note in result.notes)
    assert all(math.isnan(row.low) for row in result.layers)


@pytest.mark.parametrize("kept", ["tensor", "mapping", "images", "texts"])
def test_kept_examples_make_data_needless(kept: str, net: ConvNet, tmp_path: Path) -> None:
    model: nn.Module = net
    options: dict = {}
    data: object = X
    if kept == "mapping":
        data = {"x": X}
    elif kept == "images":
        rng = np.random.default_rng(0)
        data = list(rng.integers(0, 255, (64, 8, 8, 3), dtype=np.uint8))
        options = {"transforms": lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255}
    elif kept == "texts":
        words = ["cat", "dög", "sun", "moon", "tree"]
        data = [f"{words[i % 5]} and {words[i % 3]} number {i}" for i in range(64)]
        options = {"transforms": lambda text: torch.tensor([float(ord(c)) for c in text.ljust(40)[:40]])}
        model = nn.Sequential(nn.Linear(40, 16), nn.ReLU(), nn.Linear(16, 4))
    made = make_baseline(model, data, keep_examples=True, progress=False, **options)
    path = made.save(tmp_path / "kept.safetensors")
    assert cka.check(model, path, min_cka=0.9999, **options).passed
    assert cka.check(model, path, data, min_cka=0.9999, **options).passed


def test_half_precision_halves_the_file_and_states_its_loss(net: ConvNet, baseline: Baseline, tmp_path: Path) -> None:
    half = make_baseline(net, X, Y, float16=True, progress=False)
    assert 0 < half.storage_loss < 2e-5
    whole = baseline.save(tmp_path / "whole.safetensors").stat().st_size
    assert half.save(tmp_path / "half.safetensors").stat().st_size < 0.6 * whole
    result = cka.check(net, tmp_path / "half.safetensors", X, min_cka=0.999)
    assert result.passed
    assert max(1 - row.cka for row in result.layers) == pytest.approx(half.storage_loss, abs=1e-6)
    assert cka.check(perturbed(net, "stem"), tmp_path / "half.safetensors", X).failures[0].startswith("layer stem")


def test_a_resnet50_baseline_of_256_examples_is_at_most_2_mib(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("resnet50", pretrained=False).eval()
    data = torch.randn(256, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole, half = (make_baseline(model, data, measure_noise=False, float16=f, progress=False) for f in (False, True))
    assert whole.representation.logits is not None
    assert half.representation.logits is not None
    assert whole.representation.logits.shape == (256, 1000)
    assert len(whole.representation.layers) == 18
    assert whole.save(tmp_path / "whole.safetensors").stat().st_size <= 2 * 2**20
    assert half.save(tmp_path / "half.safetensors").stat().st_size <= 2**20
    assert half.storage_loss < 2e-5
    assert np.array_equal(half.representation.logits.argmax(1), whole.representation.logits.argmax(1))


@pytest.mark.parametrize("damage", ["truncated", "foreign", "text"])
def test_a_damaged_baseline_is_an_error_with_its_name(
    net: ConvNet, baseline: Baseline, tmp_path: Path, damage: str
) -> None:
    path = baseline.save(tmp_path / "damaged.safetensors")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "foreign":
        from safetensors.torch import save_file

        save_file({"weight": torch.zeros(3)}, path)
    else:
        path.write_text("no safetensors file")
    with pytest.raises(ValueError, match=r"damaged\.safetensors"):
        cka.check(net, path, X)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        cka.check(net, tmp_path / "nowhere.safetensors", X)


def test_a_result_is_plain_data(net: ConvNet, baseline: Baseline) -> None:
    plain = cka.check(perturbed(net, "stem"), baseline, X).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["passed"] is False
    assert set(plain["layers"][0]) >= {"name", "cka", "low", "high", "threshold", "passed"}
    assert plain["first_moved"] == "stem"


def test_a_model_of_another_preparation_gets_a_note(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", pretrained=False).eval()
    rng = np.random.default_rng(0)
    data = list(rng.integers(0, 255, (40, 16, 16, 3), dtype=np.uint8))
    made = make_baseline(model, data, progress=False)
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": (0.1, 0.9, 0.4), "std": (0.1, 0.5, 0.9)}
    result = cka.check(model, made, data)
    assert any("prepared as" in note for note in result.notes)
