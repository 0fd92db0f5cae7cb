"""Convolution weights reordered once, where maps are so small that reordering them at every call costs much.

oneDNN, which runs the convolutions of a CPU, wants weights in an order of its own and makes it at every call. The
kernels are the same as with the weights as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LEAST_WEIGHTS = 1 << 16  # of one convolution
FEWEST_POSITIONS = 1024  # output pixels of a minibatch; from here on the gain is small and not worth a copy


@contextlib.contextmanager
def weights_packed(model: nn.Module) -> Iterator[None]:
    """Within it, large 2-d float32 convolutions on small maps run on a reordered copy of their weights.

    The weights themselves stay as they are; where they are others for a while (zeros), those are used. Nothing happens
    where this PyTorch has no oneDNN.

    Example:
        >>> convolution = nn.Conv2d(256, 256, 3, padding=1).eval()
        >>> x = torch.randn(2, 256, 4, 4).to(memory_format=torch.channels_last)
        >>> with torch.inference_mode(), weights_packed(convolution):
        ...     y = convolution(x)
        >>> torch.allclose(y, convolution(x), atol=1e-5)
        True
    """
    chosen = [module for module in model.modules() if _can_be_packed(module)] if _available() else []
    for module in chosen:
        vars(module)["_conv_forward"] = _Packed(module)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for module in chosen:
            del vars(module)["_conv_forward"]


class _Packed:
    """What `nn.Conv2d._conv_forward` does; whether on packed weights is decided by the first input."""

    def __init__(self, module: nn.Conv2d) -> None:
        self._module = module
        self._weight: Tensor | None = None
        self._decided = False
        self._packed = (0, 0)  # the state of the weights that were reordered

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        module = self._module
        fits = x.ndim == 4 and x.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)
        if not fits or torch.is_autocast_enabled("cpu"):
            return nn.Conv2d._conv_forward(module, x, weight, bias)
        if self._weight is not None and _state(weight) != self._packed:
            return nn.Conv2d._conv_forward(module, x, weight, bias)  # they are others for now
        if not self._decided:
            self._decided = True
            self._packed = _state(weight)
            if x.shape[1] == module.in_channels and 0 < self._positions(x) < FEWEST_POSITIONS:
                self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._geometry(), list(x.shape))
        if self._weight is None:
            return nn.Conv2d._conv_forward(module, x, weight, bias)
        return torch.ops.mkldnn._convolution_pointwise(x, self._weight, bias, *self._geometry(), "none", [], "")

    def _positions(self, x: Tensor) -> int:
        """Output pixels of the minibatch; not positive where the image is smaller than the kernel."""
        module = self._module
        assert not isinstance(module.padding, str)
        geometry = zip(x.shape[2:], module.kernel_size, module.stride, module.padding, module.dilation, strict=True)
        height, width = ((size + 2 * pad - gap * (k - 1) - 1) // step + 1 for size, k, step, pad, gap in geometry)
        return len(x) * height * width if min(height, width) > 0 else 0

    def _geometry(self) -> tuple[object, object, object, int]:
        module = self._module
        return module.padding, module.stride, module.dilation, module.groups


def _state(weight: Tensor) -> tuple[int, int]:
    """Where a weight lies and how often it was written: weights of another state are other weights."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _available() -> bool:
    names = ("_reorder_convolution_weight", "_convolution_pointwise")  # what torch.compile uses
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


def _can_be_packed(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d) or "_conv_forward" in vars(module):
        return False
    kind, weight = type(module), module._parameters.get("weight")
    plain = kind.forward is nn.Conv2d.forward and kind._conv_forward is nn.Conv2d._conv_forward
    fixed = type(weight) is nn.Parameter and weight.dtype == torch.float32 and weight.device.type == "cpu"
    zeros = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return plain and fixed and zeros and weight is not None and weight.numel() >= LEAST_WEIGHTS
