"""The activation in whatever a module returns."""

from __future__ import annotations

import torch

from cka_plugin.adapters.base import first_tensor


def test_the_activation_is_found_in_whatever_is_returned() -> None:
    x = torch.ones(4, 3)
    wanted = [x, (None, x), [torch.ones(4, dtype=torch.int64), x], {"a": {"b": x}}]
    assert all(first_tensor(output) is x for output in wanted)
    assert first_tensor(torch.ones(2, dtype=torch.bool)) is None
    assert first_tensor((torch.ones(3, 3), x), n=4) is x  # attention maps and states do not have one row an example
    quantised = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
    assert torch.equal(first_tensor(quantised), quantised.dequantize())
