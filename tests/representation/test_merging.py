"""Shards put together are the whole, bit by bit; what is not all of one run is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import cka_plugin as cka
from cka_plugin.representation import join
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    return {"narrow": ConvNet(width=4, seed=0), "wide": ConvNet(width=8, seed=1)}


def test_merged_shards_equal_the_whole(models: dict[str, nn.Module], tmp_path: Path) -> None:
    data = images(77)
    whole = cka.represent(models["wide"], data, batch_size=16, name="wide", passes=2, progress=False)
    parts = []
    for shard in (2, 0, 1):
        part = cka.represent(
            models["wide"], data, batch_size=16, name="wide", passes=2, shard=(shard, 3), progress=False
        )
        parts.append(part.save(tmp_path / f"{shard}.safetensors"))
    merged = cka.Representation.merge(parts)
    assert merged.example_ids == whole.example_ids
    assert np.array_equal(merged.logits, whole.logits)
    assert np.array_equal(merged.fingerprints, whole.fingerprints)
    assert [p.tolist() for p in merged.positions] == [p.tolist() for p in whole.positions]
    other = cka.represent(models["narrow"], data, batch_size=16, name="narrow", passes=2, progress=False)
    assert np.array_equal(cka.compare(merged, other).matrix(), cka.compare(whole, other).matrix())


def test_incomplete_or_double_shards_are_refused(models: dict[str, nn.Module]) -> None:
    parts = [cka.represent(models["wide"], images(64), batch_size=16, shard=(i, 3), progress=False) for i in range(3)]
    with pytest.raises(ValueError, match="2/3 of ConvNet are missing"):
        cka.Representation.merge(parts[:2])
    with pytest.raises(ValueError, match="0/3 of ConvNet are given more than once"):
        cka.Representation.merge([*parts, parts[0]])
    with pytest.raises(ValueError, match="merge the shards first"):
        cka.compare(parts[0], parts[0])


def shards(count: int = 2, **options: object) -> list[cka.Representation]:
    given = {"batch_size": 8, "labels": [i % 5 for i in range(32)], "name": "net", "progress": False, **options}
    return [cka.represent(ConvNet(), images(32), shard=(i, count), **given) for i in range(count)]


def test_a_part_without_labels_leaves_the_whole_without() -> None:
    first, second = shards()
    assert cka.Representation.merge([first, second]).labels is not None
    assert cka.Representation.merge([first, replace(second, labels=None)]).labels is None
    assert cka.Representation.merge([first, replace(second, logits=None)]).logits is None


def test_parts_of_other_runs_are_refused() -> None:
    first, second = shards()
    other = replace(second, options={**second.options, "seed": 7})
    with pytest.raises(ValueError, match="not parts of one run: seed 0 and 7"):
        cka.Representation.merge([first, other])
    with pytest.raises(ValueError, match=r"shard \(0, 2\) and \(1, 3\)"):
        cka.Representation.merge([first, replace(second, shard=(1, 3))])
    with pytest.raises(ValueError, match="merge was given no parts"):
        cka.Representation.merge([])
    whole = cka.Representation.merge([first, second])
    with pytest.raises(ValueError, match="a whole representation cannot be merged"):
        cka.Representation.merge([whole, whole])


def test_joining_in_place_takes_the_arrays_of_the_parts() -> None:
    parts = shards()
    whole = cka.represent(
        ConvNet(), images(32), batch_size=8, labels=[i % 5 for i in range(32)], name="net", progress=False
    )
    joined = join(parts, store=None)
    assert np.shares_memory(joined.vectors[0], parts[0].vectors[0])
    assert all(np.array_equal(x, y) for x, y in zip(joined.vectors, whole.vectors, strict=True))
