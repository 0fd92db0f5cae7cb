"""Which modules of a torchvision model are its stem, stages, blocks, norm and head, as the common names have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cka_plugin.adapters.layer import Layer
from cka_plugin.adapters.naming import spread_depths


@dataclass(frozen=True)
class Layout:
    """Paths of the parts of a network.

    Attributes:
        stem: of the module whose output enters the first block; None in a plain network, which begins with a block.
        stages: for each stage its module (None where no module holds just the stage) and its blocks.
        norm: of the final norm.
        head: of the module that gives the logits.
        isotropic: whether all blocks are of one width; then there is one stage, which is none.
    """

    stem: str | None
    stages: Sequence[tuple[str | None, Sequence[str]]]
    norm: str | None = None
    head: str | None = None
    isotropic: bool = False

    def layers(self, granularity: str) -> list[Layer]:
        """The layers under their common names."""
        found: list[tuple[str, str | None, str]] = [("embed", self.stem, "embed")] if self.isotropic else []
        found += [] if self.isotropic else [("stem", self.stem, "stem")]
        for i, (stage, blocks) in enumerate(self.stages):
            if granularity == "stage" and not self.isotropic:
                found.append((f"stages.{i}", stage or blocks[-1], "block"))
            else:
                prefix = "" if self.isotropic else f"stages.{i}."
                found += [(f"{prefix}blocks.{j}", path, "block") for j, path in enumerate(blocks)]
        found += [("norm", self.norm, "norm"), ("head", self.head, "head")]
        return spread_depths([Layer(name, path, kind, 0.0) for name, path, kind in found if path is not None])


__all__ = ["Layout"]
