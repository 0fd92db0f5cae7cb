"""layers 1.0, a small library of its own that this repository keeps a copy of: what Transformers are made of."""

from functools import partial

from torch import nn

GELU = nn.GELU
LayerNorm = partial(nn.LayerNorm, eps=1e-6)
