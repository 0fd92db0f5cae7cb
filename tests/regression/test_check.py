"""`check`: what passes, what fails, which layer is named, and what cannot be judged."""

from __future__ import annotations

import pytest
import torch

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline, make_baseline
from tests.support.checked import X, Y, perturbed
from tests.support.nets import ConvNet, images


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
