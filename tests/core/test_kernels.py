"""Gram matrices: right at any scale, beside references in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cka_plugin.core.kernels import gram
from tests.support import reference


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_the_gram_matrix_keeps_its_digits_at_any_scale(scale: float) -> None:
    x = torch.randn(16, 50, generator=torch.Generator().manual_seed(0))
    k, exponent = gram(x * scale)
    expected = torch.from_numpy(reference.linear((x * scale).numpy() - (x * scale).numpy().mean(0, dtype=np.float64)))
    got = k.double() * 2.0 ** exponent.double()
    assert torch.allclose(got, expected, rtol=0, atol=3e-6 * float(expected.abs().max()))
    assert 0.25 <= float(k.diagonal().mean()) <= 1.0
