"""What modules return: every kind of tensor, wherever it is held, as numbers that a Gram matrix can be made of."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from cka_plugin.capture.outputs import tensors


@dataclass
class Output:
    loss: Tensor
    hidden: Tensor


def test_all_floating_tensors_come_in_order_and_nothing_else() -> None:
    a, b, c = torch.ones(2, 3), torch.zeros(2), torch.ones(2, 1)
    output = (
        None,
        {"a": a, "ids": torch.arange(2)},
        [Output(torch.tensor(0.5), b)],
        torch.ones(2, dtype=torch.bool),
        c,
    )
    assert [found.x.data_ptr() for found in tensors(output)] == [x.data_ptr() for x in (a, b, c)]


def test_the_gram_matrix_of_complex_rows_is_the_real_part_of_the_complex_one() -> None:
    z = torch.randn(5, 3, dtype=torch.complex64)
    (found,) = tensors(z)
    rows = found.x.flatten(1)
    assert found.complex
    assert torch.allclose(rows @ rows.T, (z @ z.conj().T).real, atol=1e-5)
    (conjugate,) = tensors(z.conj())
    assert torch.equal(conjugate.x[..., 1], -found.x[..., 1])


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_sparse_tensors_come_dense(layout: str) -> None:
    x = torch.eye(4)[:, :3]
    (found,) = tensors(x.to_sparse() if layout == "coo" else x.to_sparse_csr())
    assert torch.equal(found.x, x)


@pytest.mark.parametrize("enforced", [True, False])
def test_packed_sequences_come_by_example_with_zeros_after_their_end(enforced: bool) -> None:
    x = torch.randn(4, 5, 2)
    lengths = torch.tensor([5, 3, 3, 1]) if enforced else torch.tensor([1, 3, 5, 3])
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=enforced)
    first, second = tensors((packed, torch.zeros(1)))
    assert first.lengths is not None
    assert first.lengths.tolist() == lengths.tolist()
    kept = torch.arange(5) < lengths[:, None]
    assert torch.equal(first.x, x * kept[..., None])
    assert second.lengths is None


def test_nested_tensors_come_padded() -> None:
    rows = [torch.ones(3, 2), torch.ones(1, 2)]
    (found,) = tensors(torch.nested.nested_tensor(rows))
    assert found.x.sum((1, 2)).tolist() == [6.0, 2.0]
    assert found.lengths is not None
    assert found.lengths.tolist() == [3, 1]
