"""What the page says of one model: its layers, its block structure with the evidence, the examples that make it."""

from __future__ import annotations

from typing import Any

from cka_plugin.report.page.contents import Unknown
from cka_plugin.report.page.tables import table
from cka_plugin.report.plots.colour_scale import scale_of
from cka_plugin.report.stages import stage_starts
from cka_plugin.representation import Representation

DOMINANT = 12  # dominant examples shown of a block

_EVIDENCE = [
    ("first_layer", "from", "text"),
    ("last_layer", "to", "text"),
    ("verdict", "verdict", "text"),
    ("count", "layers", "whole"),
    ("mean_similarity", "mean CKA", "number", "of two different layers within"),
    ("contrast", "contrast", "number", "how much less a layer just outside resembles those inside"),
    ("first_component_share", "first component", "percent", "its share of the variance, mean over the run"),
    ("first_component_share_outside", "outside", "percent", "the same of the other layers"),
    ("first_component_cosine", "shared direction", "number", "mean squared cosine of first components of two layers"),
    ("similarity_without_first_component", "CKA without it", "number", "mean CKA once first components are removed"),
    ("energy_of_top_1_percent", "held by 1%", "percent", "of the component, by the 1% most dominant examples"),
]


class _Evidence:
    """A block as a row of the table of evidence."""

    def __init__(self, block: Any, shown: list[str]) -> None:
        self.__dict__.update(vars(block))
        self.first_layer, self.last_layer = shown[block.start], shown[block.stop - 1]
        self.count = len(block.layers)


def model_of(model: Representation, structure: Any, places: dict[Any, int]) -> dict[str, Any]:
    """What the page holds of a model.

    Args:
        model: its representation.
        structure: its `BlockStructure`, or why there is none.
        places: of the examples, by their ids.
    """
    shown = model.shown_layers
    result: dict[str, Any] = {
        "layers": [layer.name for layer in shown],
        "common": [layer.name for layer in model.layers],
        "paths": [layer.path for layer in model.layers],
        "kinds": [layer.kind for layer in model.layers],
        "depths": [round(layer.depth, 4) for layer in model.layers],
        "stages": stage_starts([layer.name for layer in model.layers]),
    }
    if isinstance(structure, Unknown):
        return result | {"blocks": structure}
    without = structure.matrix_without_first_component
    scale = scale_of([structure.matrix] if without is None else [structure.matrix, without])
    runs = [*structure.blocks, *structure.other_runs]
    return result | {
        "blocks": {
            "verdict": structure.verdict,
            "text": [structure.reason, *structure.warnings],
            "cka": structure.matrix,
            "scale": [scale.low, scale.high],
            "without": without,
            "share": structure.first_component_share,
            "batch_size": structure.batch_size,
            "runs": [(block.start, block.stop) for block in structure.blocks],
            "evidence": table("evidence", [_Evidence(block, result["layers"]) for block in runs], _EVIDENCE)
            if runs
            else None,
            "dominant": [
                [{"id": str(one), "place": places.get(one)} for one in block.dominant_examples[:DOMINANT]]
                for block in structure.blocks
            ],
        }
    }
