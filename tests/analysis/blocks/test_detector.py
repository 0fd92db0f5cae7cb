"""Block structure: planted runs are found and explained, and nothing else is called strong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cka_plugin.analysis.blocks.detector import BlockStructure, block_structure, find_block_structure
from cka_plugin.analysis.components.dominance import cka_without_dominant_examples
from cka_plugin.analysis.components.first_component import FirstComponent, first_component
from cka_plugin.analysis.grams import cka_sums
from tests.support.planted import (
    CONTROLS,
    MadeNetwork,
    activations,
    add_component,
    blurred_images,
    fresh,
    planted,
    random_run,
    residual_network,
)


def places(structure: BlockStructure) -> list[tuple[int, int]]:
    return [(block.start, block.stop) for block in structure.blocks]


def assert_found(structure: BlockStructure, made: MadeNetwork) -> None:
    assert structure.verdict == "strong", f"{made.runs}: {structure}"
    assert len(structure.blocks) == len(made.runs), f"{made.runs}: {structure}"
    for start, stop in made.runs:
        assert any(abs(start - a) <= 1 and abs(stop - b) <= 1 for a, b in places(structure)), (
            f"{made.runs}: {structure}"
        )


@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
@pytest.mark.parametrize("layers", [8, 14, 24])
def test_planted_runs_are_found_within_one_layer_at_many_depths_and_lengths(layers: int, share: float) -> None:
    rng = np.random.default_rng([layers, int(100 * share)])
    for _ in range(4):
        made = planted(rng, layers, [random_run(rng, layers)], examples=256, width=64, share=share, keep=0.7)
        assert_found(block_structure(made.represent()), made)


def test_runs_at_either_end_and_of_the_shortest_length_are_found() -> None:
    rng = np.random.default_rng(0)
    for run in [(0, 4), (16, 20), (8, 11), (0, 3), (1, 20), (0, 19)]:
        made = planted(rng, 20, [run], examples=256, width=64, share=0.7, keep=0.6)
        assert_found(block_structure(made.represent()), made)


def test_a_run_that_sets_in_gradually_is_found() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        made = planted(rng, 16, [random_run(rng, 16)], examples=256, width=64, share=0.7, keep=0.65, soft=True)
        assert_found(block_structure(made.represent()), made)


def test_the_examples_that_carry_a_block_are_named_first() -> None:
    """12 dominant examples of 512: at least 10 of them are among the first 12."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        made = planted(rng, 12, [random_run(rng, 12)], width=64, share=rng.uniform(0.5, 0.9), dominant=12, keep=0.65)
        structure = block_structure(made.represent())
        assert_found(structure, made)
        block = structure.blocks[0]
        assert sorted(block.dominant_examples) == sorted(f"example-{i}" for i in range(512))
        true = {f"example-{i}" for i in made.dominant}
        assert len(true & set(block.dominant_examples[:12])) >= 10
        assert block.energy_of_top_10_percent > 0.7
        assert block.energy_of_top_1_percent < block.energy_of_top_10_percent


def test_a_block_of_all_examples_is_held_by_no_few() -> None:
    made = planted(np.random.default_rng(2), 12, [(3, 9)], examples=256, width=64, share=0.8, keep=0.6)
    block = block_structure(made.represent()).blocks[0]
    assert block.energy_of_top_1_percent < 0.1
    assert block.energy_of_top_10_percent < 0.6


def test_several_blocks_of_one_network_are_found_the_largest_first() -> None:
    for seed in range(3):
        made = planted(np.random.default_rng(seed), 30, [(2, 9), (12, 17), (18, 28)], 256, 64, 0.7, keep=0.6)
        structure = block_structure(made.represent())
        assert_found(structure, made)
        assert [len(block) for block in structure.blocks] == sorted((len(b) for b in structure.blocks), reverse=True)
        assert "; 2 more" in structure.reason


def test_a_block_reaches_across_a_stage_boundary() -> None:
    """Where the width changes, and the layers' scale with it."""
    made = planted(np.random.default_rng(3), 16, [(5, 13)], examples=256, width=48, share=0.7, keep=0.6)
    made.layers[8:] = [1e3 * np.c_[x, np.zeros((256, 48))] for x in made.layers[8:]]
    representation = made.represent()
    for i, layer in enumerate(representation.layers):
        layer.name = f"stages.{i // 8}.blocks.{i % 8}"
    structure = block_structure(representation)
    assert_found(structure, made)
    assert structure.blocks[0].layers[0] == "stages.0.blocks.5"
    assert structure.blocks[0].layers[-1] == "stages.1.blocks.4"


def test_the_evidence_of_a_strong_block_is_reported() -> None:
    made = planted(np.random.default_rng(4), 20, [(6, 16)], examples=512, width=96, share=0.7, keep=0.6)
    structure = block_structure(made.represent())
    block = structure.blocks[0]
    assert block.layers == [f"blocks.{i}" for i in range(6, 16)]
    assert block.first_component_share == pytest.approx(0.7, abs=0.05)
    assert block.first_component_share_outside < 0.2
    assert block.first_component_cosine > 0.95
    assert block.similarity > 0.9
    assert block.contrast > 0.7
    assert block.similarity_without_first_component < 0.3 < block.mean_similarity
    np.testing.assert_allclose(structure.matrix, cka_sums(made.represent()).cka())
    assert structure.first_component_share.shape == (20,)
    assert structure.first_component_cosine.shape == structure.matrix_without_first_component.shape == (20, 20)


@pytest.mark.parametrize("kind", CONTROLS)
def test_no_control_is_called_strong(kind: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng([seed, len(kind)])
        made = CONTROLS[kind](rng, layers=int(rng.choice([8, 12, 20])), examples=256)
        structure = block_structure(made.represent())
        assert structure.verdict != "strong", f"seed {seed}: {structure}"
        if kind in ("smooth_drift", "dominated_drift", "short_run", "identical_layers"):
            assert structure.verdict == "none", f"seed {seed}: {structure}"


@pytest.mark.parametrize(
    ("kind", "doubt"),
    [
        ("sharp_plateau", "holds only"),
        ("rotated_copies", "without the first component mean CKA is still 1.00"),
        ("rotated_copies_with_component", "without the first component mean CKA is still 1.00"),
    ],
)
def test_a_plateau_is_weak_and_the_reason_says_why(kind: str, doubt: str) -> None:
    structure = block_structure(CONTROLS[kind](np.random.default_rng(5), examples=256).represent())
    assert structure.verdict == "weak"
    assert "are alike" in structure.reason
    assert doubt in structure.reason


def test_high_similarity_alone_is_never_strong() -> None:
    matrix = np.full((12, 12), 0.1)
    matrix[4:10, 4:10] = 0.99
    np.fill_diagonal(matrix, 1)
    structure = find_block_structure(matrix)
    assert structure.verdict == "weak"
    assert places(structure) == [(4, 10)]
    assert structure.first_component_share is None
    assert "not known" in structure.reason


def evidence(layers: int, share: float = 0.8, cosine: float = 0.95, remaining: float = 0.1) -> FirstComponent:
    return FirstComponent(np.full(layers, share), np.full((layers,) * 2, cosine), np.full((layers,) * 2, remaining))


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        (evidence(12), "strong"),
        (evidence(12, share=0.19), "weak"),
        (evidence(12, cosine=0.69), "weak"),
        (evidence(12, remaining=0.48), "weak"),
        (evidence(12, remaining=0.44), "strong"),
        (evidence(12, remaining=math.nan), "strong"),  # nothing remains: the layers are their first component
        (evidence(12, share=math.nan), "weak"),
    ],
)
def test_each_part_of_the_cause_is_needed(known: FirstComponent, verdict: str) -> None:
    matrix = np.full((12, 12), 0.1)
    matrix[4:10, 4:10] = 0.92
    np.fill_diagonal(matrix, 1)
    assert find_block_structure(matrix, known).verdict == verdict


def test_a_strong_block_is_kept_rather_than_a_wider_plateau_and_plateaus_elsewhere_are_told_apart() -> None:
    matrix = np.full((30, 30), 0.1)
    matrix[2:14, 2:14] = matrix[20:27, 20:27] = 0.9
    np.fill_diagonal(matrix, 1)
    known = evidence(30)
    known.matrix_without[20:27, 20:27] = 0.9
    structure = find_block_structure(matrix, known)
    assert (structure.verdict, places(structure)) == ("strong", [(2, 14)])
    assert [(block.start, block.stop, block.verdict) for block in structure.other_runs] == [(20, 27, "weak")]


def test_a_network_alike_throughout_is_at_most_weak() -> None:
    """There is nothing that a run of all layers is set off from."""
    made = planted(np.random.default_rng(6), 12, [(0, 12)], examples=256, width=64, share=0.8, keep=0.6)
    structure = block_structure(made.represent())
    assert (structure.verdict, places(structure)) == ("weak", [(0, 12)])
    assert "whole network" in structure.reason
    assert math.isnan(structure.blocks[0].contrast)
    alone = find_block_structure(np.full((12, 12), 0.95))
    assert alone.verdict == "none"
    assert alone.reason.startswith("All layers are alike (CKA of 0.95")


@pytest.mark.parametrize(("layers", "run"), [(8, (2, 6)), (60, (20, 41)), (400, (150, 260))])
def test_8_to_400_layers(layers: int, run: tuple[int, int]) -> None:
    made = planted(np.random.default_rng(7), layers, [run], examples=64, width=48, share=0.8, keep=0.6)
    structure = block_structure(made.represent(batch_size=32))
    assert_found(structure, made)


@pytest.mark.parametrize(("minibatches", "size"), [(1, 64), (2, 40), (100, 16)])
def test_1_to_100_minibatches(minibatches: int, size: int) -> None:
    made = planted(np.random.default_rng(8), 12, [(4, 9)], examples=1600, width=32, share=0.8, keep=0.6)
    assert_found(block_structure(made.represent(size, minibatches)), made)


def test_several_passes_are_taken_together() -> None:
    made = planted(np.random.default_rng(9), 12, [(4, 9)], examples=96, width=32, share=0.8, dominant=12, keep=0.6)
    structure = block_structure(made.represent(32, passes=3))
    assert_found(structure, made)
    true = {f"example-{i}" for i in made.dominant}
    assert len(true & set(structure.blocks[0].dominant_examples[:12])) >= 10


def test_dead_and_nan_layers_inside_a_run_are_passed_over() -> None:
    made = planted(np.random.default_rng(10), 16, [(5, 13)], examples=256, width=64, share=0.8, keep=0.6)
    representation = made.represent()
    for vectors, diagonals in zip(representation.vectors, representation.diagonals, strict=True):
        vectors[8] = diagonals[8] = np.nan
        vectors[0] = diagonals[0] = 0
    structure = block_structure(representation)
    assert_found(structure, made)
    assert np.isnan(structure.matrix[8]).all()
    assert math.isfinite(structure.blocks[0].first_component_cosine)
    assert len(structure.blocks[0].dominant_examples) == 256


def test_a_network_of_dead_layers_has_no_block() -> None:
    structure = find_block_structure(np.full((9, 9), np.nan), evidence(9))
    assert structure.verdict == "none"
    assert "Only 0 layers" in structure.reason


def test_a_warning_says_where_most_minibatches_hold_fewer_than_two_dominant_examples() -> None:
    rng = np.random.default_rng(11)
    scores = np.zeros(512)
    scores[::64] = 1  # one in each minibatch
    layers = [add_component(rng, fresh(rng, 512, 64), scores, 0.8) for _ in range(8)]
    structure = block_structure(MadeNetwork(layers).represent(64))
    assert structure.verdict == "none"
    assert len(structure.warnings) == 2
    assert "8 of 512 examples" in structure.warnings[0]
    assert "100% of minibatches" in structure.warnings[0]
    assert "intervals of CKA are too narrow" in structure.warnings[1]
    assert all(warning in repr(structure) for warning in structure.warnings)
    plenty = planted(rng, 8, [(2, 6)], width=64, share=0.8, dominant=40, keep=0.6)
    assert block_structure(plenty.represent(64)).warnings == []
    spread = planted(rng, 8, [(2, 6)], width=64, share=0.8, keep=0.6)
    assert block_structure(spread.represent(64)).warnings == []


def test_a_block_is_gone_without_its_dominant_examples() -> None:
    made = planted(np.random.default_rng(12), 12, [(3, 9)], width=64, share=0.8, dominant=12, keep=0.6)
    representation = made.represent()
    block = block_structure(representation).blocks[0]
    order = [representation.example_ids.index(name) for name in block.dominant_examples]
    matrices = {r.fraction: r.matrix for r in cka_without_dominant_examples(representation, order)}
    inside = np.ix_(range(3, 9), range(3, 9))
    assert list(matrices) == [0.01, 0.05, 0.10]
    assert matrices[0.01][inside].min() > 0.7  # 6 of the 12 are still there
    for fraction in (0.05, 0.10):
        assert find_block_structure(matrices[fraction]).verdict == "none"
        assert matrices[fraction][inside][0, -1] < 0.2


def test_wrong_input_is_refused_with_what_was_expected() -> None:
    good = np.eye(5)
    with pytest.raises(ValueError, match=r"matrix of shape \(3, 4\)"):
        find_block_structure(np.ones((3, 4)))
    with pytest.raises(ValueError, match="not symmetric"):
        find_block_structure(good + np.triu(np.ones((5, 5)), 1))
    with pytest.raises(ValueError, match="4 layer names for a matrix of 5"):
        find_block_structure(good, layers=list("abcd"))
    with pytest.raises(ValueError, match="expected 5 layers"):
        find_block_structure(good, evidence(6))


def test_evidence_comes_from_any_gram_vectors() -> None:
    made = planted(np.random.default_rng(15), 10, [(3, 8)], examples=128, width=48, share=0.8, keep=0.6)
    representation = made.represent(32)
    known = first_component(representation)
    assert known.example_id(7) == 7
    assert known.dominance is not None
    assert known.dominance.shape == (10, 128)
    bare = replace(known, dominance=None)
    structure = find_block_structure(cka_sums(representation).cka(), bare)
    assert structure.verdict == "strong"
    assert structure.blocks[0].dominant_examples == []
    assert math.isnan(structure.blocks[0].energy_of_top_1_percent)


def test_a_real_representation_gives_the_same_as_its_activations() -> None:
    import cka_plugin as cka

    rng = np.random.default_rng(16)
    network, images = residual_network(rng, 8, width=4), blurred_images(rng, 96)
    comparison = cka.compare({"net": network}, data=images, batch_size=32, progress=False)
    structure = comparison.block_structure("net")
    assert structure.layers == [layer.name for layer in comparison.layers("net")]
    np.testing.assert_allclose(structure.matrix, comparison.matrix("net"), atol=1e-6)
    order = [p for positions in comparison["net"].positions for p in positions]
    assert sorted(order) == list(range(96))
    last = activations(network, images)[-1].double().numpy()
    squares = []
    for positions in comparison["net"].positions:
        ids = [comparison["net"].example_ids[p] for p in positions]
        rows = last[ids] - last[ids].mean(axis=0)
        squares.append(np.linalg.svd(rows, compute_uv=False) ** 2)
    share = sum(s[0] for s in squares) / sum(s.sum() for s in squares)
    assert structure.first_component_share[-1] == pytest.approx(share, abs=1e-5)
