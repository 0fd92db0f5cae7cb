"""Node data for Model Explorer: each layer's best match and CKA, on nodes that are in the graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import cka_plugin as cka
from tests.support.nets import ConvNet, Repeats, images

# What `model_explorer.node_data_builder` and `graph_builder` (ai-edge-model-explorer 0.1.34) know.
DATA = {"results", "name", "thresholds", "gradient"}
NODE = {"id", "label", "namespace", "attrs", "incomingEdges"}


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    models = {"a": ConvNet(seed=1), "b": ConvNet(8, blocks=4, seed=2)}
    return cka.compare(models, data=images(64), batch_size=8, progress=False)


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def test_each_layer_has_its_best_match_and_cka(comparison: cka.Comparison, tmp_path: Path) -> None:
    comparison.export(tmp_path / "out", format="model-explorer")
    values, named = (read(tmp_path / "out", f"b.{what}-a.json") for what in ("cka-with", "match-in"))
    assert set(values) <= DATA
    matrix, layers = comparison.matrix("b", "a"), comparison["b"].layer_names
    assert list(values["results"]) == list(named["results"]) == layers
    for row, layer in enumerate(layers):
        assert values["results"][layer] == {"value": pytest.approx(matrix[row].max(), abs=1e-4)}
        best = comparison["a"].layer_names[int(matrix[row].argmax())]
        assert named["results"][layer]["value"].startswith(f"{best} (CKA {matrix[row].max():.3f}, ")
    steps = [threshold["value"] for threshold in values["thresholds"]]
    assert steps == sorted(steps)
    assert steps[-1] > 1.5


def test_the_graph_holds_the_layers_in_their_order(comparison: cka.Comparison, tmp_path: Path) -> None:
    comparison.export(tmp_path / "out", format="model-explorer")
    graph = read(tmp_path / "out", "b.graph.json")
    nodes = graph["graphs"][0]["nodes"]
    assert graph["label"] == "b"
    assert [node["id"] for node in nodes] == comparison["b"].layer_names
    assert all(set(node) <= NODE for node in nodes)
    edges = [edge["sourceNodeId"] for node in nodes for edge in node["incomingEdges"]]
    assert edges == comparison["b"].layer_names[:-1]
    assert next(node for node in nodes if node["id"] == "blocks.1")["namespace"] == "blocks"


def test_of_an_exported_program_the_nodes_that_make_the_outputs_are_coloured(
    comparison: cka.Comparison, tmp_path: Path
) -> None:
    program = torch.export.export(ConvNet(seed=1).eval(), (images(8),))
    comparison.export(tmp_path / "out", format="model-explorer", programs={"a": program})
    assert not (tmp_path / "out" / "a.graph.json").exists()
    results = read(tmp_path / "out", "a.cka-with-b.json")["results"]
    nodes = {node.name: node for node in program.graph.nodes}
    assert set(results) <= set(nodes)
    assert len(results) == len(comparison["a"].layers)
    row = comparison["a"].layer_names.index("head")
    head = next(name for name, node in nodes.items() if "linear" in name)
    assert results[head]["value"] == pytest.approx(comparison.matrix("a", "b")[row].max(), abs=1e-4)
    block = [name for name in results if "relu" in name or "add" in name]
    assert len(block) == 3  # what a block ends with, not its convolutions


def test_programs_must_be_of_the_models(comparison: cka.Comparison, tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.ones(1, 3),))
    with pytest.raises(ValueError, match="holds none of its layers, such as 'stem'"):
        comparison.export(tmp_path / "one", format="model-explorer", programs={"a": program})
    with pytest.raises(ValueError, match="programs has 'c'"):
        comparison.export(tmp_path / "two", format="model-explorer", programs={"c": program})
    with pytest.raises(ValueError, match="programs are for format='model-explorer'"):
        comparison.export(tmp_path / "three", programs={"a": program})


def test_layers_without_similarity_have_no_value_and_say_so(tmp_path: Path) -> None:
    net = ConvNet()
    with torch.no_grad():
        net.head.weight.zero_()
    with pytest.warns(cka.CKAWarning):
        comparison = cka.compare({"a": net, "b": ConvNet(seed=2)}, data=images(64), batch_size=8, progress=False)
    comparison.export(tmp_path / "out", format="model-explorer")
    assert "head" not in read(tmp_path / "out", "a.cka-with-b.json")["results"]
    assert read(tmp_path / "out", "a.match-in-b.json")["results"]["head"] == {"value": "no similarity"}


def test_one_model_has_no_match(tmp_path: Path) -> None:
    made = cka.represent({"a": Repeats()}, torch.randn(32, 8), progress=False)
    with pytest.raises(ValueError, match="two models or more; compared is a alone"):
        cka.Comparison([made]).export(tmp_path / "out", format="model-explorer")


def test_calls_of_one_module_are_nodes_of_their_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = {"a": Repeats(), "b": Repeats()}
    comparison = cka.compare(models, data=torch.randn(64, 8), granularity="module", batch_size=8, progress=False)
    comparison.export(tmp_path / "out", format="model-explorer")
    results = read(tmp_path / "out", "a.cka-with-b.json")["results"]
    assert list(results) == comparison["a"].layer_names
    assert len(results) == 5
    assert np.isfinite([entry["value"] for entry in results.values()]).all()
