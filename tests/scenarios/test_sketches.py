"""Sketches instead of whole Gram matrices: CKA within the error that is said, 32 times smaller, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.core import Projection, Sums
from tests.benchmarks.sketch import projected as of_sketches
from tests.support import reference

SIZE, N = 128, 48


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5))


NETS = {"a": net(0), "b": net(1)}
DATA = torch.randn(10 * N, 12, generator=torch.Generator().manual_seed(2))
OPTIONS: dict[str, Any] = {"data": DATA, "batch_size": N, "granularity": "module", "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def whole() -> cka.Comparison:
    return cka.compare(NETS, **OPTIONS)


@pytest.fixture(scope="module")
def sketched() -> cka.Comparison:
    return cka.compare(NETS, sketch=SIZE, **OPTIONS)


def projected(whole: cka.Comparison, seed: int) -> Sums:
    """The sums that a comparison of a and b has from sketches with another seed."""
    return of_sketches(whole, Projection(SIZE, seed))


def test_cka_is_within_its_error_and_of_a_layer_with_itself_exact(whole, sketched) -> None:
    apart = np.abs(sketched.matrix("a", "b") - whole.matrix("a", "b"))
    assert (apart < 4 * sketched.sketch_error("a", "b")).all()
    assert apart.max() > 1e-4  # sketches, indeed
    np.testing.assert_allclose(np.diagonal(sketched.matrix("a")), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(sketched.sketch_error("a")), 0.0, atol=1e-6)


def test_sketches_are_those_of_the_whole_vectors(whole, sketched) -> None:
    np.testing.assert_allclose(projected(whole, 0).cka(), sketched.matrix("a", "b"), atol=1e-6)


def test_the_standard_error_is_what_other_seeds_bring(whole) -> None:
    runs = [projected(whole, seed) for seed in range(200)]
    errors = np.stack([run.cka() for run in runs]) - whole.matrix("a", "b")
    said = np.sqrt(np.mean([np.square(run.sketch_error()) for run in runs], axis=0))
    ratio = np.sqrt(np.square(errors).mean(0)) / said
    assert (ratio < 1.2).all(), ratio  # 200 draws tell a standard deviation to 5%
    assert (ratio > 0.8).all(), ratio
    assert np.abs(errors.mean(0) / said).max() < 4 / np.sqrt(200) + 0.1  # no bias worth the name


def test_where_few_examples_dominate_the_error_said_is_no_smaller_than_the_true_one() -> None:
    data = DATA.clone()
    data[::20] *= 30
    spiky = cka.compare(NETS, **{**OPTIONS, "data": data})
    runs = [projected(spiky, seed) for seed in range(100)]
    errors = np.stack([run.cka() for run in runs]) - spiky.matrix("a", "b")
    said = np.sqrt(np.mean([np.square(run.sketch_error()) for run in runs], axis=0))
    assert (np.sqrt(np.square(errors).mean(0)) < 1.2 * said).all()


def test_whole_matrices_have_no_such_error(whole) -> None:
    assert not whole.sketch_error("a", "b").any()
    assert whole.sketched == ""
    assert "sketch" not in repr(whole)
    assert "sketch_error" not in whole.to_frame().columns


def test_the_error_stands_beside_the_values(sketched) -> None:
    errors = sketched.sketch_error("a", "b")
    assert np.array_equal(sketched.to_frame()["sketch_error"], errors.ravel())
    assert sketched.to_dict()["matrices"][1]["sketch_error"] == errors.tolist()
    for match in sketched.correspondence("a", "b").matches:
        row, column = sketched["a"].position_of(match.layer), sketched["b"].position_of(match.match)
        assert match.sketch_error == errors[row, column]
    said = f"sketches of 128 numbers a minibatch (standard error at most {errors.max():.1g})"
    assert said in repr(sketched)
    assert said in sketched.setting
    assert "sketches of 128" in repr(sketched["a"])


@pytest.mark.parametrize(
    "asked",
    [
        lambda c: c.block_structure("a"),
        lambda c: c.compare_blocks("a", "b"),
        lambda c: c.matrix("a", "b", measure="mutual_knn"),
        lambda c: c.matrix("a", "b", measure="rsa"),
        lambda c: c.matrix("a", "b", measure="bures"),
        lambda c: c.interval("a", "b", measure="rsa"),
        lambda c: c.examples("a", "b"),
        lambda c: c.levels("a", "b"),
        lambda c: c.chance("a", "b"),
        lambda c: c.calibrated("a", "b"),
        lambda c: c.without_first_component("a", "b"),
        lambda c: c.first_component_cosine("a", "b"),
        lambda c: c.without_dominant_examples("a", "b"),
        lambda c: c.input_similarity(DATA, "a"),
        lambda c: c.plot("blocks", "a"),
    ],
)
def test_what_needs_whole_matrices_says_so_and_what_to_do(sketched, asked) -> None:
    with pytest.raises(ValueError, match=r"needs whole Gram matrices, and of a there are sketches.*without sketch="):
        asked(sketched)


def test_a_summary_gives_what_it_can_and_says_why_not_the_rest(sketched) -> None:
    found = sketched.summary()
    assert [model.block_verdict for model in found.models] == ["not known"] * 2
    assert "there are sketches" in repr(found)
    assert np.isfinite(found.models[0].neighbours)


def test_a_page_says_that_they_are_sketches(sketched, tmp_path: Path) -> None:
    text = sketched.report(tmp_path / "page.html").read_text("utf-8")
    assert "sketches of 128 numbers a minibatch (standard error at most" in text
    assert "needs whole Gram matrices" in text
    assert "sketch=128" in text
    assert "signed sums" not in text  # what is recorded is no argument of a call


def test_saved_sketches_come_back_and_take_as_much_room_as_is_said(whole, sketched, tmp_path: Path) -> None:
    path = sketched["a"].save(tmp_path / "a.safetensors")
    again = cka.load(path)
    assert again.projection == Projection(SIZE, 0)
    assert again.options["sketch"] == {"kind": "signed sums", "size": SIZE, "seed": 0}
    assert all(np.array_equal(x, y) for m, k in zip(again.minibatches, sketched["a"].minibatches, strict=True)
               for x, y in [(m.vectors, k.vectors)])  # fmt: skip
    kept = sum(m.vectors.nbytes for m in sketched["a"].minibatches)
    assert kept == sum(m.vectors.nbytes for m in whole["a"].minibatches) * SIZE / (N * (N - 1) / 2)


def test_shards_checkpoints_and_one_run_keep_the_same_bits(sketched, tmp_path: Path) -> None:
    options = {**OPTIONS, "sketch": SIZE, "name": "a"}
    parts = [cka.represent(NETS["a"], shard=(i, 3), checkpoint_dir=tmp_path / "kept", **options) for i in range(3)]
    merged = cka.Representation.merge(parts)
    resumed = cka.represent(NETS["a"], checkpoint_dir=tmp_path / "kept", **options)
    for made in (merged, resumed):
        assert made.projection == sketched["a"].projection
        for one, other in zip(made.minibatches, sketched["a"].minibatches, strict=True):
            assert np.array_equal(one.vectors, other.vectors)


def test_a_zoo_in_a_folder_is_compared_in_tiles_of_sketches(tmp_path: Path) -> None:
    options = {"max_examples": 256, "batch_size": 64, "sketch": SIZE, "progress": False}
    cka.represent_all(["sample:narrow", "sample:wide"], "sample:digits", tmp_path, **options)
    held = cka.compare(tmp_path)
    assert held["wide"].projection == Projection(SIZE, 0)
    with ThreadPoolExecutor(2) as executor:
        np.testing.assert_allclose(cka.compare(tmp_path).models(executor=executor), held.models(), atol=1e-6)


def test_a_checkpoint_of_whole_matrices_is_not_taken_for_one_of_sketches(tmp_path: Path) -> None:
    cka.represent(NETS["a"], checkpoint_dir=tmp_path, **OPTIONS)
    with pytest.raises(ValueError, match="of another run, which differs in sketch"):
        cka.represent(NETS["a"], checkpoint_dir=tmp_path, sketch=SIZE, **OPTIONS)


def test_only_like_is_compared_with_like(whole, sketched) -> None:
    with pytest.raises(ValueError, match=r"kept of Gram matrices \(all and signed sums of 128 a minibatch, seed 0\)"):
        cka.compare(whole["a"], sketched["b"])
    with pytest.raises(ValueError, match=r"holds sketches of 128 with seed 0 .* and all would be kept now"):
        cka.compare(sketched["a"], {"b": NETS["b"]}, data=DATA, granularity="module", progress=False)
    live = cka.compare(sketched["a"], {"b": NETS["b"]}, **{**OPTIONS, "sketch": SIZE})
    assert np.array_equal(live.matrix(), sketched.matrix())


def test_a_seed_of_its_own_makes_another_sketch_of_a_loader() -> None:
    loader = torch.utils.data.DataLoader(DATA, batch_size=N)
    options = {"granularity": "module", "progress": False, "sketch": SIZE}
    made = [cka.represent(NETS["a"], loader, seed=seed, **options) for seed in (0, 1)]
    with pytest.raises(ValueError, match="seed 0 and signed sums of 128 a minibatch, seed 1"):
        cka.compare({"x": made[0], "y": made[1]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sketch": 8}, "sketch 8: expected 16 or more"),
        ({"sketch": "much"}, "sketch 'much': expected a whole number"),
        ({"sketch": 64, "estimator": "biased"}, "sketches give the unbiased CKA"),
        ({"sketch": 64, "levels": True}, "levels need whole Gram matrices"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_runs(given: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        cka.compare("a model that nothing knows", data="data that do not exist", **given)


def test_saved_sketches_are_not_taken_for_the_biased_estimator(sketched) -> None:
    with pytest.raises(ValueError, match="sketches give the unbiased CKA"):
        cka.Comparison([sketched["a"], sketched["b"]], estimator="biased")


def test_a_check_needs_a_baseline_of_whole_matrices(sketched) -> None:
    with pytest.raises(ValueError, match="a was represented with sketch=: a check needs whole Gram matrices"):
        cka.check(NETS["a"], sketched["a"], DATA)


def test_with_the_rbf_kernel_too(whole) -> None:
    options = {**OPTIONS, "kernel": "rbf"}
    exact, found = cka.compare(NETS, **options), cka.compare(NETS, sketch=SIZE, **options)
    apart = np.abs(found.matrix("a", "b") - exact.matrix("a", "b"))
    assert (apart < 4.5 * found.sketch_error("a", "b")).all()


def test_the_truth_is_that_of_the_equations(sketched) -> None:
    """Against float64 CKA of the activations themselves, not of this package's vectors."""
    net_a = sketched["a"]
    order = [net_a.example_ids[p] for minibatch in net_a.minibatches for p in minibatch.positions]
    batches = list(DATA[order].split(N))
    taken = [reference.activations(model, ["0", "4"], batches) for model in NETS.values()]
    exact = reference.minibatch_cka(taken[0]["4"], taken[1]["0"])
    row, column = sketched["a"].position_of("4"), sketched["b"].position_of("0")
    assert abs(sketched.matrix("a", "b")[row, column] - exact) < 4 * sketched.sketch_error("a", "b")[row, column]
