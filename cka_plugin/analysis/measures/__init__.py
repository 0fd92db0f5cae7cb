"""Similarity by other measures than CKA: a second opinion, from the same centred Gram matrices.

A measure is a function of the centred Gram matrices of two models on a minibatch; `registry` lists those there are and
takes one's own. It may know representations; no model is run.
"""

from cka_plugin.analysis.measures.arrays import similarity
from cka_plugin.analysis.measures.registry import register_measure

__all__ = ["register_measure", "similarity"]
