"""U-centring is undone exactly, for any kernel."""

from __future__ import annotations

import pytest
import torch

from cka_plugin.core.centring import recover_centered, u_center
from cka_plugin.core.kernels import gram
from cka_plugin.core.packing import pack, unpack


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_centred_gram_matrix_comes_back_from_its_vector_and_diagonal(kernel: str) -> None:
    x = torch.randn(20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    k, _ = gram(x, kernel)
    h = torch.eye(20, dtype=torch.float64) - 1 / 20
    a, diagonal = u_center(k)
    assert torch.allclose(recover_centered(unpack(pack(a)), diagonal), h @ k @ h, atol=1e-13)
