"""Where a model runs."""

from __future__ import annotations

import torch

from cka_plugin.engine.ranks import local_device


def choose_device(device: str) -> torch.device:
    """`auto`: cuda, mps or cpu, the first there is; else the device itself.

    Raises:
        ValueError: no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            number = local_device()
            return torch.device("cuda") if number is None else torch.device("cuda", number)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {device!r} cannot be used: {error}") from error
    return chosen
