"""Products of centred features: right whatever the slices, threads, offset and precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cka_plugin.core import products
from cka_plugin.core.products import centred_products, largest_deviation
from tests.support import reference


def expected(x: torch.Tensor) -> torch.Tensor:
    centred = (x.double() - x.double().mean(0)).numpy()
    return torch.from_numpy(reference.linear(centred))


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n", [4, 63, 64, 127, 128, 129, 200, 256, 300])
@pytest.mark.parametrize("d", [1, 63, 500, 1000, 5003])
def test_every_feature_and_pair_counts_once(n: int, d: int, three_threads: None) -> None:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(n + d)) + 2
    found = centred_products(x)
    assert (found - found.T).abs().max() < 1e-6 * found.abs().max()
    assert (found - expected(x)).abs().max() < 2e-6 * expected(x).abs().max()


@settings(max_examples=60, deadline=None)
@given(d=st.integers(1, 20_000), lanes=st.integers(1, 64), width=st.integers(1, 3000))
def test_slices_cover_every_feature_once(d: int, lanes: int, width: int) -> None:
    end = 0
    for start, across, each in products._slices(d, lanes, width):
        assert start == end
        assert 1 <= across <= lanes
        assert 1 <= each <= width
        end = start + across * each
    assert end == d


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_half_precision_is_multiplied_in_single_and_double_in_double(dtype: torch.dtype) -> None:
    x = torch.randn(20, 700).to(dtype)
    found = centred_products(x)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.allclose(found.double(), expected(x), rtol=1e-5, atol=1e-3)


def test_the_careful_way_gives_exact_zeros_for_constant_features() -> None:
    x = torch.full((7, 500), 1e30)
    x[:, 0] += torch.arange(7) * 1e28
    factor = torch.tensor(2.0**-96, dtype=torch.float64)
    alone = centred_products(x[:, :1].contiguous(), factor)
    assert torch.allclose(centred_products(x, factor), alone)
    assert alone.abs().max() > 0


def test_a_view_whose_rows_lie_apart_is_read_as_it_is() -> None:
    whole = torch.randn(130, 900)
    assert torch.allclose(centred_products(whole[:, 100:700]).double(), expected(whole[:, 100:700]), atol=2e-3)
    assert torch.allclose(centred_products(whole.T[100:230]).double(), expected(whole.T[100:230]), atol=2e-3)


def test_the_largest_deviation_is_found_in_any_slice() -> None:
    x = torch.zeros(4, 600_000)
    x[2, 599_999] = -3.0
    assert largest_deviation(x).item() == 3.0


@pytest.mark.parametrize("n", [4, 64, 200])
@pytest.mark.parametrize("d", [1, 500, 70_000])
def test_the_parts_that_other_devices_work_on_add_up_to_the_same(monkeypatch, n: int, d: int) -> None:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(n + d)) + 2
    meta = x.to("meta")
    lanes, width = products._lanes_and_width(meta)
    assert centred_products(meta).shape == (n, n)
    monkeypatch.setattr(products, "_lanes_and_width", lambda x: (lanes, width))
    found = centred_products(x)
    assert (found - expected(x)).abs().max() < 2e-6 * expected(x).abs().max()


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_are_made_in_full_precision_and_the_setting_is_left_as_it_was(kind: str, precision: str) -> None:
    setting = torch.backends.cuda.matmul if kind == "cuda" else torch.backends.mkldnn.matmul
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        asked = setting.fp32_precision
        with products.full_float32_products(torch.device(kind)):
            assert setting.fp32_precision in ("ieee", "none")
        assert setting.fp32_precision == asked
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_what_was_allowed_by_the_newer_setting_is_no_error() -> None:
    setting = torch.backends.cuda.matmul
    before = setting.fp32_precision
    setting.fp32_precision = "tf32"  # from then on torch raises where `allow_tf32` is read
    try:
        with products.full_float32_products(torch.device("cuda")):
            assert setting.fp32_precision == "ieee"
        assert setting.fp32_precision == "tf32"
    finally:
        setting.fp32_precision = before
