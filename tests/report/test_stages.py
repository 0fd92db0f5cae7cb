"""Stages are told by the names of layers."""

from __future__ import annotations

from cka_plugin.report.stages import stage_starts


def test_towers_and_the_ends_of_isotropic_networks_are_stages() -> None:
    vit = ["embed", *(f"blocks.{i}" for i in range(4)), "norm", "head"]
    assert stage_starts(vit) == [1, 5]
    clip = [f"{tower}.blocks.{i}" for tower in ("vision", "text") for i in range(3)]
    assert stage_starts(clip) == [3]
    assert stage_starts([str(i) for i in range(6)]) == []
