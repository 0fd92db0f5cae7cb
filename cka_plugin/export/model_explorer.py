"""Node data for Google's Model Explorer: for each layer of a model its best match in another, on the model's graph.

https://github.com/google-ai-edge/model-explorer reads JSON: a graph (`{label, graphs: [{id, nodes}]}`), and node data
(`{results: {node id: {value}}, thresholds}`), which colour the nodes of the graph that is open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cka_plugin.adapters.base import Layer
from cka_plugin.analysis.correspondence import Correspondence
from cka_plugin.export.places import file_names
from cka_plugin.representation import Representation
from cka_plugin.wording import number

# Steps of a tenth of CKA from violet to yellow, even to the eye and told apart by colour-blind readers (cividis).
COLOURS = (
    "#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838",
)  # fmt: skip
_DARK = 5  # so many of them take white text
_DIGITS = 4  # Model Explorer shows them all
_ABOVE_ALL = 10.0  # unbiased CKA may exceed 1


def export_model_explorer(
    folder: Path,
    models: Sequence[Representation],
    found: Mapping[tuple[str, str], Correspondence],
    programs: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write for each model its graph, and for each other model two files of node data: CKA, and names of best matches.

    Args:
        folder: an empty one.
        models: their representations.
        found: for each ordered pair of models their correspondence.
        programs: {model: what `torch.export.export` made of it}: its node data are for the graph that Model Explorer
            draws of that program (`model_explorer.visualize_pytorch`), each layer at the node that makes its output; of
            other models a graph of their layers is written.

    Returns:
        The files.

    Raises:
        ValueError: programs of models that are not there, or that hold none of a model's layers.
    """
    programs = {} if programs is None else programs
    names = file_names([model.name for model in models])
    if unknown := [name for name in programs if name not in names]:
        raise ValueError(f"programs has {unknown[0]!r}, which is not compared: expected some of {', '.join(names)}")
    nodes = {
        model.name: (
            nodes_of_program(model, programs[model.name])
            if model.name in programs
            else {layer.name: layer.name for layer in model.layers}
        )
        for model in models
    }
    files: dict[str, Any] = {
        f"{names[model.name]}.graph.json": graph_of(model) for model in models if model.name not in programs
    }
    for (a, b), matches in found.items():
        files[f"{names[a]}.cka-with-{names[b]}.json"] = _values(matches, nodes[a])
        files[f"{names[a]}.match-in-{names[b]}.json"] = _matches(matches, nodes[a])
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    return [folder / name for name in files]


def graph_of(model: Representation) -> dict[str, Any]:
    """The layers as a graph: one node each, in the order in which they fire, in groups by their paths."""
    nodes: list[dict[str, Any]] = []
    for layer in model.layers:
        node = {
            "id": layer.name,
            "label": layer.name,
            "namespace": "/".join(layer.path.split(".")[:-1]),
            "attrs": [
                {"key": "path", "value": layer.path},
                {"key": "kind", "value": layer.kind},
                {"key": "depth", "value": number(layer.depth, 3)},
            ],
            "incomingEdges": [{"sourceNodeId": nodes[-1]["id"]}] if nodes else [],
        }
        nodes.append(node)
    return {"label": model.name, "graphs": [{"id": model.name, "nodes": nodes}]}


def nodes_of_program(model: Representation, program: Any) -> dict[str, str]:
    """{layer: node of an exported program that makes its output}, for those layers that the program holds.

    Raises:
        ValueError: it holds none of them: another model, or one inside another module.
    """
    last: dict[str, str] = {}
    for node in program.graph.nodes:
        for path, _ in node.meta.get("nn_module_stack", {}).values():
            last[path] = node.name
    found = {layer.name: last[layer.path] for layer in model.layers if layer.path in last and not _repeated(layer)}
    if not found:
        raise ValueError(
            f"the program given for {model.name} holds none of its layers, such as {model.layers[0].path!r}: "
            "export the module that was represented"
        )
    return found


def _repeated(layer: Layer) -> bool:
    """A further call of a module: the nodes of its calls are not told apart."""
    return "@" in layer.name


def _values(matches: Correspondence, nodes: Mapping[str, str]) -> dict[str, Any]:
    known = [match for match in matches.matches if match.match is not None and match.layer in nodes]
    steps = [(step + 1) / len(COLOURS) for step in range(len(COLOURS) - 1)] + [_ABOVE_ALL]
    return {
        "results": {nodes[match.layer]: {"value": round(match.cka, _DIGITS)} for match in known},
        "thresholds": [
            {"value": step, "bgColor": colour, "textColor": "white" if place < _DARK else "black"}
            for place, (step, colour) in enumerate(zip(steps, COLOURS, strict=True))
        ],
    }


def _matches(matches: Correspondence, nodes: Mapping[str, str]) -> dict[str, Any]:
    said = {
        nodes[match.layer]: f"{match.match} (CKA {number(match.cka)}, {match.verdict})"
        if match.match is not None
        else "no similarity"
        for match in matches.matches
        if match.layer in nodes
    }
    return {"results": {node: {"value": text} for node, text in said.items()}}
