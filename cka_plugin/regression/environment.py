"""The versions and the device that a baseline was made with, for the record."""

from __future__ import annotations

import platform
from typing import Any

import torch

from cka_plugin.engine.device import choose_device
from cka_plugin.version import __version__


def environment(device: Any = None) -> dict[str, str]:
    """Versions that may move a model's activations.

    Example:
        >>> sorted(environment())
        ['cka_plugin', 'device', 'machine', 'python', 'torch']
    """
    chosen = choose_device("auto") if device in (None, "auto") else device
    return {
        "cka_plugin": __version__,
        "device": str(chosen),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
