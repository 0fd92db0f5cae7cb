"""Pictures of one model's block structure and of the components and examples that make it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.kinds.asked import Given, Results, one_of
from cka_plugin.report.kinds.examples import class_of, pictures_of
from cka_plugin.report.plots.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_blocks(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.blocks import blocks

    name = one_of(results, models, "blocks")
    return blocks(results.block_structure(name), results[name].shown_layers, name, frame=frame, **options)


def draw_projections(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.analysis.components.dominance import dominance, dominant_set
    from cka_plugin.analysis.components.principal import components
    from cka_plugin.report.plots.projections import projections

    name = one_of(results, models, "projections")
    model = results[name]
    runs = [(block.start, block.stop) for block in results.block_structure(name).blocks]
    sizes = _alive(dominance(components(model), model.positions, model.n_examples), name)
    inside = [place for start, stop in runs for place in range(start, stop)] or list(range(len(sizes)))
    few = dominant_set(sizes[inside])
    return projections(sizes, model.shown_layers, few, runs, frame=frame, **options)


def _alive(sizes: Floats, name: str) -> Floats:
    """Sizes of projections, of which some layer has any."""
    if not np.isfinite(sizes).all(axis=1).any():
        raise ValueError(f"no layer of {name} has a first component: all are dead or not finite")
    return sizes


def draw_dominant(
    results: Results, models: Given, frame: Frame, data: Any = None, most: int = 10, **options: Any
) -> Figure:
    from cka_plugin.analysis.components.dominance import dominance, ranking
    from cka_plugin.analysis.components.principal import components
    from cka_plugin.report.plots.examples import dominant

    name = one_of(results, models, "dominant")
    model = results[name]
    blocks = results.block_structure(name).blocks
    run = slice(blocks[0].start, blocks[0].stop) if blocks else slice(None)
    sizes = _alive(dominance(components(model), model.positions, model.n_examples)[run], name)
    order = [int(place) for place in ranking(sizes)[:most]]
    mean = np.nanmean(sizes[np.isfinite(sizes).all(axis=1)], axis=0)
    pictures = pictures_of(results, name, order, data)
    ids = [model.example_ids[place] for place in order]
    captions = [f"{example}\n{class_of(model, place)}".strip() for example, place in zip(ids, order, strict=True)]
    weights = [float(mean[place] / np.median(mean)) for place in order]
    where = f"of {blocks[0].layers[0]} to {blocks[0].layers[-1]}" if blocks else "of all layers"
    said = f"{name}: examples that lie farthest along the first components {where}, as multiples of the median"
    framed = replace(frame, title="\n".join(filter(None, [said, frame.title])))
    return dominant([pictures.get(example) for example in ids], captions, weights, frame=framed, **options)
