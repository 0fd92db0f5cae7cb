"""The noise of a machine: imitated without a trace, and never less than another order of adding up makes."""

from __future__ import annotations

import copy

import torch

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline, make_baseline
from cka_plugin.regression.noise import rounded_otherwise
from tests.support.checked import X
from tests.support.nets import ConvNet


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
