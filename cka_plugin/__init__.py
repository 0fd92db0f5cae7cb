"""Compare the representations of any networks, layer by layer, and say what the differences mean.

import cka_plugin as cka
comparison = cka.compare("resnet18", "vit_tiny_patch16_224", data="photos/")
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cka_plugin.ablating import ablate
    from cka_plugin.adapters import Layer, register_adapter
    from cka_plugin.analysis.ablation import Ablation
    from cka_plugin.analysis.blocks import BlockStructure, find_block_structure
    from cka_plugin.analysis.error_comparison import ErrorComparison
    from cka_plugin.analysis.errors import compare_errors
    from cka_plugin.analysis.groups import compare_groups
    from cka_plugin.analysis.probes import Probes
    from cka_plugin.baseline import Baseline, make_baseline
    from cka_plugin.compare import compare, load, represent
    from cka_plugin.comparison import Comparison
    from cka_plugin.levels import untrained
    from cka_plugin.models import layers
    from cka_plugin.probing import probe
    from cka_plugin.regression import CheckResult, check
    from cka_plugin.representation import Representation
    from cka_plugin.similarity import cka
    from cka_plugin.warnings import CKAWarning

__version__ = "0.1.0"

__all__ = [
    "Ablation",
    "Baseline",
    "BlockStructure",
    "CKAWarning",
    "CheckResult",
    "Comparison",
    "ErrorComparison",
    "Layer",
    "Probes",
    "Representation",
    "ablate",
    "check",
    "cka",
    "compare",
    "compare_errors",
    "compare_groups",
    "find_block_structure",
    "layers",
    "load",
    "make_baseline",
    "probe",
    "register_adapter",
    "represent",
    "untrained",
]

# Public names come from their modules when first used: every run of pytest loads this package, and none should wait for
# torch in vain.
_HOMES = {
    "Ablation": "analysis.ablation",
    "Baseline": "baseline",
    "BlockStructure": "analysis.blocks",
    "CKAWarning": "warnings",
    "CheckResult": "regression",
    "Comparison": "comparison",
    "ErrorComparison": "analysis.error_comparison",
    "Layer": "adapters",
    "Probes": "analysis.probes",
    "Representation": "representation",
    "ablate": "ablating",
    "check": "regression",
    "cka": "similarity",
    "compare": "compare",
    "compare_errors": "analysis.errors",
    "compare_groups": "analysis.groups",
    "find_block_structure": "analysis.blocks",
    "layers": "models",
    "load": "compare",
    "make_baseline": "baseline",
    "probe": "probing",
    "register_adapter": "adapters",
    "represent": "compare",
    "untrained": "levels",
}


class _Package(ModuleType):
    """This package: importing the module `cka_plugin.compare` must not put a module in the place of the function."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{self.__name__}.{_HOMES[name]}"), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (
            self.__name__,
        )  # a function that says `cka.represent` can be sent to a worker (Dask, Ray)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
