"""What the towers of a Hugging Face model are called."""

from __future__ import annotations

from cka_plugin.adapters import layers
from cka_plugin.adapters.transformers.blocks import find_towers
from tests.support.transformers_layers import (
    on_meta,
)
from tests.support.transformers_types import build


def test_towers_are_told_apart_by_what_their_paths_differ_in() -> None:
    blocks = [layer.name for layer in layers(build("seamless_m4t")) if layer.kind == "block"]
    towers = dict.fromkeys(name.rsplit(".blocks.", 1)[0] for name in blocks)
    assert list(towers) == ["audio", "text_encoder", "text_decoder", "t2u_model.encoder", "t2u_model.decoder"]


def test_every_tower_is_found_once() -> None:
    model = on_meta("CLIPModel")
    found = [tower.container for tower in find_towers(model)]
    assert found == ["text_model.encoder.layers", "vision_model.encoder.layers"]
