"""Models of transformers and timm inside wrappers: looked through, run as they are, left where and as they are."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import cka_plugin as cka

hf = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 64}
NAMES = ["embed", "blocks.0", "blocks.1", "blocks.2", "head"]


@pytest.fixture
def bert() -> nn.Module:
    torch.manual_seed(0)
    return hf.BertForSequenceClassification(hf.BertConfig(**SMALL)).eval()


def tokens() -> DataLoader:
    ids = torch.randint(0, 64, (12, 7), generator=torch.Generator().manual_seed(0))
    return DataLoader([{"input_ids": row, "attention_mask": torch.ones(7).long()} for row in ids], batch_size=6)


def diagonal(one: nn.Module, other: nn.Module) -> np.ndarray:
    comparison = cka.compare({"a": one, "b": other}, data=tokens(), progress=False)
    assert [layer.name for layer in comparison.layers("b")] == NAMES
    return np.diag(comparison.matrix("a", "b"))


def test_a_lora_adapter_is_looked_through_and_takes_part(bert: nn.Module) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["value"], r=2, init_lora_weights=False)
    tuned = peft.get_peft_model(copy.deepcopy(bert), config)
    for name, parameter in tuned.named_parameters():
        if "lora" in name:
            nn.init.normal_(parameter)
    found = diagonal(bert, tuned)
    assert found[0] == pytest.approx(1, abs=1e-5)
    assert (found[1:] < 0.99).all()
    assert all(tuned.get_submodule(layer.path) for layer in cka.layers(tuned))


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile], ids=["DataParallel", "torch.compile"])
def test_a_wrapper_changes_no_number(bert: nn.Module, wrap: type) -> None:
    np.testing.assert_allclose(diagonal(bert, wrap(bert)), 1, atol=1e-5)


def test_dynamically_quantised_layers_keep_their_names_and_are_left_quantised(bert: nn.Module) -> None:
    quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(bert), {nn.Linear}, dtype=torch.qint8)
    before = {name: type(module) for name, module in quantised.named_modules()}
    found = diagonal(bert, quantised)
    assert found[0] == pytest.approx(1, abs=1e-5)
    assert (found > 0.9).all()
    assert {name: type(module) for name, module in quantised.named_modules()} == before


def test_a_model_that_accelerate_has_dispatched_keeps_its_map_and_its_hooks(bert: nn.Module) -> None:
    accelerate = pytest.importorskip("accelerate")
    spread = accelerate.dispatch_model(copy.deepcopy(bert), device_map={"": "cpu"}, force_hooks=True)
    mapped = dict(spread.hf_device_map)
    np.testing.assert_allclose(diagonal(bert, spread), 1, atol=1e-5)
    assert spread.hf_device_map == mapped
    assert hasattr(spread, "_hf_hook")


def test_a_traced_network_compares_with_what_it_was_traced_from() -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet").eval()
    traced = torch.fx.symbolic_trace(network)
    images = torch.randn(12, 3, 64, 64)
    comparison = cka.compare({"a": network, "b": traced}, data=images, batch_size=6, progress=False)
    last = comparison.matrix("a", "b")[-1, -1]
    assert last == pytest.approx(1, abs=1e-5)


def test_a_vit_given_another_size_says_so_and_resizes_where_timm_can() -> None:
    images = torch.randn(8, 3, 96, 96)
    with pytest.raises((ValueError, RuntimeError, AssertionError), match=r"96.*64|64.*96"):
        cka.represent(
            timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64), images, batch_size=4, progress=False
        )
    flexible = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64, dynamic_img_size=True)
    found = cka.represent(flexible, images, batch_size=4, progress=False)
    assert found.layers[-1].name == "head"
