"""Networks of no known framework, and what is read of them."""

from __future__ import annotations

from torch import Tensor, nn

from cka_plugin.adapters import adapter_of, layers


def named(model: nn.Module, granularity: str = "block") -> dict[str, str]:
    """Path by common name."""
    return {layer.name: layer.path for layer in layers(model, granularity)}


def describe(model: nn.Module) -> str:
    return adapter_of(model).describe(model)


def block(width: int = 6) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


class Block(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(self.norm(x)).relu())


class Chain(nn.Module):
    """Calls its children in the order in which they are given."""

    def __init__(self, **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            for module in child if isinstance(child, nn.ModuleList) else [child]:
                x = module(x)
        return x
