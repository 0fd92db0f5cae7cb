"""torchvision: layers under their common names, inputs, weights.

It may know what all adapters share, not CKA.
"""

from cka_plugin.adapters.torchvision.adapter import TorchvisionAdapter

__all__ = ["TorchvisionAdapter"]
