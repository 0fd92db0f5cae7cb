"""Which modules of a network are its stem, stages, blocks, norm and head, and so its layers under the common names."""

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
        isotropic: whether all blocks keep one width and resolution; then there is one stage, which is none.
        said_by: what the blocks were read from.

    Example:
        >>> net = Layout("conv1", [("layer1", ["layer1.0"]), (None, ["last.0", "last.1"])], head="fc")
        >>> [layer.name for layer in net.layers("block")]
        ['stem', 'stages.0.blocks.0', 'stages.1.blocks.0', 'stages.1.blocks.1', 'head']
        >>> [layer.path for layer in net.layers("stage")]
        ['conv1', 'layer1', 'last.1', 'fc']
    """

    stem: str | None
    stages: Sequence[tuple[str | None, Sequence[str]]]
    norm: str | None = None
    head: str | None = None
    isotropic: bool = False
    said_by: str = ""

    def layers(self, granularity: str) -> list[Layer]:
        """The layers under their common names, at `stage` or `block` granularity."""
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
