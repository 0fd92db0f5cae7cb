"""Hugging Face transformers: layers under their common names, inputs, weights.

It may know what all adapters share, not CKA.
"""

from cka_plugin.adapters.transformers.adapter import TransformersAdapter

__all__ = ["TransformersAdapter"]
