"""How many Gram matrices are decomposed: what a spectral measure should do once a layer, not once a pair."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """Within it, one entry a call of `torch.linalg.eigh`: how many matrices it decomposed."""
    calls: list[int] = []
    eigh = torch.linalg.eigh

    def counting(matrices: torch.Tensor, *rest: Any, **options: Any) -> Any:
        calls.append(matrices[..., 0, 0].numel())
        return eigh(matrices, *rest, **options)

    with patch.object(torch.linalg, "eigh", counting):
        yield calls
