"""Packed vectors: undone by unpacking, and in the order asked for, of whatever groups they were packed."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cka_plugin.core.centring import u_center
from cka_plugin.core.kernels import gram
from cka_plugin.core.packing import GramPacker, examples_of, pack, pairs_of, unpack

CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 40))
def test_packing_is_undone_by_unpacking(n: int) -> None:
    a, _ = u_center(gram(torch.randn(n, 5))[0])
    assert pack(a).shape == (pairs_of(n),)
    assert examples_of(pairs_of(n)) == n
    assert torch.allclose(unpack(pack(a)), a, atol=1e-6)


def test_matrices_packed_in_groups_come_out_in_the_order_asked_for(monkeypatch) -> None:
    monkeypatch.setattr("cka_plugin.core.packing._GROUP_BYTES", 2 * 6 * 6 * 4)
    grams = [torch.diag(torch.arange(1.0, 7.0)) * 2.0**i for i in range(5)]
    packer, alone = GramPacker(CPU), []
    for k in grams:
        packer.add(k.clone(), torch.tensor(0))
        one = GramPacker(CPU)
        one.add(k.clone(), torch.tensor(0))
        alone.append(one.finish())
    vectors, diagonals, exponents = packer.finish([3, 0, 4, 1, 2])
    for row, place in enumerate([3, 0, 4, 1, 2]):
        assert torch.equal(vectors[row], alone[place][0][0])
        assert torch.equal(diagonals[row], alone[place][1][0])
        assert exponents[row] == alone[place][2][0]
    assert exponents.tolist() == [5, 2, 6, 3, 4]
