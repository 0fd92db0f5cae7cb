"""The numbers: Gram matrices, centring, packed vectors, CKA and its uncertainty.

It knows tensors only: no models, no data, no files.
"""

from cka_plugin.core.centring import MIN_EXAMPLES, recover_centered, u_center
from cka_plugin.core.kernels import KERNELS, as_rows, careful_similarities, gram, products_in_doubt, similarities
from cka_plugin.core.packing import GramPacker, examples_of, pack, pairs_of, unpack
from cka_plugin.core.projections import LEAST_SIZE, Projection, values_kept
from cka_plugin.core.similarity import DEGENERATE, ESTIMATORS, check_estimator, cka
from cka_plugin.core.sums import MIN_MINIBATCHES, Floats, Sums, inner_products, self_products

__all__ = [
    "DEGENERATE",
    "ESTIMATORS",
    "KERNELS",
    "LEAST_SIZE",
    "MIN_EXAMPLES",
    "MIN_MINIBATCHES",
    "Floats",
    "GramPacker",
    "Projection",
    "Sums",
    "as_rows",
    "careful_similarities",
    "check_estimator",
    "cka",
    "examples_of",
    "gram",
    "inner_products",
    "pack",
    "pairs_of",
    "products_in_doubt",
    "recover_centered",
    "self_products",
    "similarities",
    "u_center",
    "unpack",
    "values_kept",
]
