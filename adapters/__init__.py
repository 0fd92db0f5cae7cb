"""The common interface to models of any framework: which layers they have, how raw examples become their inputs.

It knows frameworks, and nothing of CKA; each framework is imported only when a model of its own appears.
"""

from cka_plugin.adapters.base import Adapter, Layer, Preparation, spread_depths, tower, unwrap
from cka_plugin.adapters.registry import adapter_of, adapters, layers, load_model, register_adapter, resolve

__all__ = [
    "Adapter",
    "Layer",
    "Preparation",
    "adapter_of",
    "adapters",
    "layers",
    "load_model",
    "register_adapter",
    "resolve",
    "spread_depths",
    "tower",
    "unwrap",
]
