"""Models of transformers without values, and the layers that are read of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

hf = pytest.importorskip("transformers")


def on_meta(class_name: str, **settings: object) -> nn.Module:
    """A model without weights."""
    cls = getattr(hf, class_name)
    with torch.device("meta"):
        return cls(cls.config_class(**settings)).eval()
