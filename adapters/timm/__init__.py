"""timm: layers under their common names, inputs, weights.

It may know what all adapters share, not CKA.
"""

from cka_plugin.adapters.timm.adapter import TimmAdapter

__all__ = ["TimmAdapter"]
