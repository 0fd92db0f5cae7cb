"""Which examples two models place differently, and whether they err differently on those."""

from cka_plugin.analysis.examples.compare import compare_examples
from cka_plugin.analysis.examples.result import ExampleComparison

__all__ = ["ExampleComparison", "compare_examples"]
