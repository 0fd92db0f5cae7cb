"""Any module: layers under their common names, inputs, weights.

It may know what all adapters share, not CKA.
"""

from cka_plugin.adapters.generic.adapter import GenericAdapter

__all__ = ["GenericAdapter"]
