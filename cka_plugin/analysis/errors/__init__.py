"""Errors of two models, of many and of groups, class by class and example by example.

It may know statistics and representations; nothing of Gram matrices.
"""

from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.errors.groups import compare_groups
from cka_plugin.analysis.errors.result import ErrorComparison

__all__ = ["ErrorComparison", "compare_errors", "compare_groups"]
