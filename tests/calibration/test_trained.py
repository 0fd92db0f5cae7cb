"""The detector on trained networks that were labelled by eye, from what is kept of them."""

from __future__ import annotations

import pytest

from cka_plugin.analysis.blocks.detector import BlockStructure
from tests.calibration.trained.judged import Label, judged, outcome, table
from tests.calibration.trained.kept import KEPT


@pytest.fixture(scope="module")
def found() -> list[tuple[Label, BlockStructure]]:
    return judged()


def test_at_least_24_trained_networks_are_kept_with_label_and_figure(
    found: list[tuple[Label, BlockStructure]],
) -> None:
    assert len(found) >= 24
    kinds = {label.name.split("-")[0] for label, _ in found}
    assert kinds == {"residual", "plain", "mlp"}
    for label, _ in found:
        figure = KEPT.parent / "figures" / f"{label.name}.png"
        assert figure.stat().st_size < 60_000
        assert label.label in ("block", "unclear", "none")


def test_no_network_without_a_square_is_called_strong(found: list[tuple[Label, BlockStructure]]) -> None:
    assert [label.name for label, structure in found if label.label == "none" and structure.verdict == "strong"] == []


def test_most_blocks_seen_by_eye_are_strong_and_at_their_place(found: list[tuple[Label, BlockStructure]]) -> None:
    blocks = [(label, structure) for label, structure in found if label.label == "block"]
    hits = [label.name for label, structure in blocks if outcome(label, structure) == "hit"]
    assert len(hits) >= 0.7 * len(blocks), table(found)
    strong = [structure for _, structure in blocks if structure.verdict == "strong"]
    assert all(block.components_to_dissolve in (1, 2, 3) for structure in strong for block in structure.blocks)


def test_a_weak_block_says_what_it_lacks_and_a_run_seen_is_described(
    found: list[tuple[Label, BlockStructure]],
) -> None:
    for label, structure in found:
        if structure.verdict == "weak":
            assert all(block.missing for block in structure.blocks), label.name
        if structure.verdict == "none" and structure.other_runs:
            (run,) = structure.other_runs
            assert (run.verdict, run.missing) == ("none", ["contrast"])
            assert run.layers[0] in structure.reason or structure.reason.startswith("All layers"), label.name
