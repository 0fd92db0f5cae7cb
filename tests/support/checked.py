"""Examples, labels and disturbed networks for checks against a baseline."""

from __future__ import annotations

import copy

import torch

from tests.support.nets import ConvNet, images

X = images(256)
Y = torch.randint(0, 5, (256,), generator=torch.Generator().manual_seed(1))


def perturbed(net: ConvNet, path: str) -> ConvNet:
    """A copy of which one weight was moved far."""
    changed = copy.deepcopy(net)
    weight = changed.get_submodule(path).weight
    with torch.no_grad():
        weight += 3 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return changed
