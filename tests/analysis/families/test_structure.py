"""Families of models: found where they are, not where size makes them, and with their reasons."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.families.structure import find_families

NAMES = [f"m{place}" for place in range(24)]
FAMILY = {name: "abcd"[place % 4] for place, name in enumerate(NAMES)}


def similarity(of_family: float, of_size: float, size: np.ndarray, seed: int = 0) -> np.ndarray:
    """Similarities that go with being of one family and with being of one size, and noise."""
    noise = np.random.default_rng(seed).normal(0, 0.03, (24, 24))
    family = np.array([FAMILY[name] for name in NAMES])
    values = 0.4 + of_family * (family[:, None] == family) - of_size * np.abs(np.subtract.outer(size, size))
    values = values + (noise + noise.T) / 2
    np.fill_diagonal(values, 1.0)
    return np.asarray(values)


def sizes(by_family: bool) -> np.ndarray:
    own = np.random.default_rng(1).normal(0, 0.1, 24)
    return own + (np.arange(24) % 4 if by_family else np.random.default_rng(2).permutation(np.arange(24) % 4))


def test_families_that_are_alike_are_found_beyond_size() -> None:
    size = sizes(by_family=False)
    found = find_families(similarity(0.1, 0.05, size), NAMES, FAMILY, {"size": dict(zip(NAMES, size, strict=True))})
    assert found.gap.p <= 0.002
    assert found.gap.statistic == pytest.approx(0.1, abs=0.02)
    assert found.beyond.p <= 0.002
    assert [one.models for one in found.families] == [6] * 4
    assert all(one.p_corrected <= 0.05 and one.p_beyond <= 0.05 for one in found.families)
    assert all(one.within - one.others == pytest.approx(0.1, abs=0.04) for one in found.families)


def test_families_that_are_alike_by_their_size_alone_are_not_so_beyond_it() -> None:
    size = sizes(by_family=True)
    found = find_families(similarity(0.0, 0.1, size), NAMES, FAMILY, {"size": dict(zip(NAMES, size, strict=True))})
    assert found.gap.p <= 0.002
    assert found.beyond.p > 0.05
    assert all(one.p_beyond > 0.05 for one in found.families)
    # neighbours in size lie together
    assert {frozenset((one.a, one.b)) for one in found.together[:3]} == {frozenset(p) for p in ("ab", "bc", "cd")}


def test_the_means_are_those_of_the_pairs_one_by_one() -> None:
    values = similarity(0.1, 0.0, np.zeros(24), seed=3)
    families = {**FAMILY, "m0": "alone"}
    found = find_families(values, NAMES, families, {}, permutations=19)
    own = np.array([families[name] for name in NAMES])
    row = next(one for one in found.families if one.name == "a")
    inside, outside = np.flatnonzero(own == "a"), np.flatnonzero(own != "a")
    within = values[np.ix_(inside, inside)][np.triu_indices(len(inside), 1)]
    assert (row.models, "alone" in [one.name for one in found.families]) == (5, False)
    assert row.within == pytest.approx(within.mean())
    assert row.others == pytest.approx(values[np.ix_(inside, outside)].mean())
    by_family = {other: values[np.ix_(inside, own == other)].mean() for other in ("b", "c", "d", "alone")}
    assert row.nearest == max(by_family, key=by_family.get)
    assert row.nearest_similarity == pytest.approx(max(by_family.values()))
    assert found.beyond.reason == "nothing else is known of the models"


def test_there_is_nothing_to_find_in_noise() -> None:
    few = [
        find_families(similarity(0, 0, np.zeros(24), seed), NAMES, FAMILY, {}, 99, seed).gap.p <= 0.05
        for seed in range(60)
    ]
    assert sum(few) <= 9


def test_models_without_similarities_or_controls_are_left_out_and_named() -> None:
    size = sizes(by_family=False)
    values = similarity(0.1, 0.05, size)
    values[3, :] = values[:, 3] = np.nan
    values[5, 6] = values[6, 5] = np.nan
    known = dict(zip(NAMES, size, strict=True)) | {"m7": np.nan}
    found = find_families(values, NAMES, FAMILY, {"size": known})
    assert found.left_out["m3"] == "no similarity to other models"
    assert len({"m5", "m6"} & set(found.left_out)) == 1
    assert found.left_out["m7"] == "its size is not known"
    assert np.isfinite(found.beyond.p)
    assert "Left out: " in repr(found)
    assert "p beyond" in found._repr_html_()


def test_what_is_no_question_of_families_is_said() -> None:
    values = similarity(0, 0, np.zeros(24))
    with pytest.raises(ValueError, match=r"24 models of 24 families \(m0, m1.*one of them of two models"):
        find_families(values, NAMES, {name: name for name in NAMES}, {})
    with pytest.raises(ValueError, match="24 models of 1 families"):
        find_families(values, NAMES, dict.fromkeys(NAMES, "one"), {})
