"""Each analysis that a comparison offers is that of `cka_plugin.analysis` on its representations, with tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

import cka_plugin as cka
from cka_plugin.analysis.grams import cka_sums, pack_layers
from cka_plugin.analysis.levels.pseudo_layers import label_layer
from cka_plugin.analysis.subsets import cka_within_classes
from tests.support.nets import ConvNet, images

LABELS = torch.arange(96) % 3


@pytest.fixture(scope="module")
def data() -> TensorDataset:
    return TensorDataset(images(96), LABELS)


@pytest.fixture(scope="module")
def comparison(data: TensorDataset) -> cka.Comparison:
    models = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2), "c": ConvNet(seed=3), "d": ConvNet(8, seed=4)}
    return cka.compare(models, data=data, batch_size=12, progress=False)


def test_similarity_to_the_labels_is_cka_with_one_hot_vectors(comparison: cka.Comparison) -> None:
    value, low, high = comparison.label_similarity("b")
    model = comparison["b"]
    one_hot = pack_layers([np.eye(3)[model.labels]], model.positions)
    assert np.allclose(value, cka_sums(model, one_hot).cka()[:, 0], atol=1e-9)
    assert np.allclose(value, cka_sums(model, label_layer(model.labels, model)).cka()[:, 0])
    assert ((low <= value) & (value <= high)).all()


def test_similarity_to_the_input_is_cka_with_the_pixels(comparison: cka.Comparison, data: TensorDataset) -> None:
    value, _, _ = comparison.input_similarity(data, "a")
    model = comparison["a"]
    pixels = images(96).numpy()[model.example_ids]
    assert np.allclose(value, cka_sums(model, pack_layers([pixels], model.positions)).cka()[:, 0], atol=1e-9)
    assert value[0] > value[-1]


def test_a_network_that_changes_nothing_is_like_its_input() -> None:
    x = torch.randn(60, 5)
    net = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 2))
    nn.init.orthogonal_(net[0].weight)
    found = cka.compare(net, data=x, granularity="module", progress=False)
    assert found.input_similarity(x)[0][0] == pytest.approx(1, abs=1e-6)


def test_the_input_of_images_is_their_pixels_and_texts_have_none() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)) for _ in range(20)]

    def as_tensor(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image)).float().permute(2, 0, 1)

    net = nn.Sequential(nn.Flatten(), nn.Linear(108, 4))
    found = cka.compare(net, data=pictures, transforms=as_tensor, granularity="module", progress=False)
    assert found.input_similarity(pictures)[0][0] == pytest.approx(1, abs=1e-6)
    mixed = [*pictures[:-1], Image.new("RGB", (7, 7))]
    other = cka.compare(net, data=pictures, transforms=as_tensor, granularity="module", progress=False)
    with pytest.raises(ValueError, match="not those that|one shape"):
        other.input_similarity(mixed)


def test_other_data_are_not_the_input(comparison: cka.Comparison) -> None:
    with pytest.raises(ValueError, match="not those that a was made on"):
        comparison.input_similarity(TensorDataset(images(96, seed=5), LABELS))


def test_cka_within_classes_is_of_both_models(comparison: cka.Comparison) -> None:
    a, b = comparison["a"], comparison["b"]
    expected = cka_within_classes(a, a.labels, b).cka()
    assert np.array_equal(comparison.within_classes("a", "b"), expected)
    assert np.allclose(np.diag(comparison.within_classes("a")), 1)


def test_the_difference_of_two_cells_is_jackknifed_as_one(comparison: cka.Comparison) -> None:
    first, second = ("a", "stem", "b", "stem"), ("a", "stem", "b", "head")
    found = comparison.difference(first, second)
    matrix = comparison.matrix("a", "b")
    assert found.value == pytest.approx(matrix[0, 0] - matrix[0, -1])
    same = comparison.difference(first, first)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    across = comparison.difference(first, ("c", "stem", "d", "stem"))
    assert across.value == pytest.approx(matrix[0, 0] - comparison.matrix("c", "d")[0, 0])
    with pytest.raises(ValueError, match="layer 'nowhere' is not in b"):
        comparison.difference(first, ("a", "stem", "b", "nowhere"))


def test_a_model_without_its_first_components_is_that_of_its_block_structure(comparison: cka.Comparison) -> None:
    structure = comparison.block_structure("a")
    assert np.allclose(comparison.without_first_component("a"), structure.matrix_without_first_component)
    assert np.allclose(comparison.first_component_cosine("a"), structure.first_component_cosine)
    assert comparison.without_first_component("a", "b").shape == comparison.matrix("a", "b").shape


def test_leaving_out_dominant_examples_takes_the_union_of_two_models(comparison: cka.Comparison) -> None:
    alone = comparison.without_dominant_examples("a")
    assert alone.to_frame()["count"].tolist() == [0, 1, 5, 10]
    assert np.allclose(alone.matrix, comparison.matrix("a"), atol=1e-6)
    both = comparison.without_dominant_examples("a", "b", [0.1])
    assert 10 <= both.left_out[0].count <= 20
    assert "10%" in repr(both)


def test_groups_of_architectures_are_tested_by_permuting_models(comparison: cka.Comparison) -> None:
    groups = {"a": "narrow", "b": "wide", "c": "narrow", "d": "wide"}
    found = comparison.groups(groups)
    table = comparison.models()
    within, between = np.mean([table[0, 2], table[1, 3]]), np.mean(table[[0, 0, 2, 2], [1, 3, 1, 3]])
    assert found.statistic == pytest.approx(within - between)
    assert found.smallest_p == pytest.approx(1 / 3)
    assert comparison.groups(["narrow", "wide", "narrow", "wide"]).statistic == found.statistic
    with pytest.raises(ValueError, match="no group for 'd'"):
        comparison.groups({"a": "x", "b": "y", "c": "x"})


def test_errors_of_groups_are_those_of_their_predictions(comparison: cka.Comparison) -> None:
    groups = {"a": "narrow", "b": "wide", "c": "narrow", "d": "wide"}
    found = comparison.group_errors(groups, permutations=50, splits=5)
    logits = {name: comparison[name].logits for name in "abcd"}
    direct = cka.compare_groups(
        [logits["a"], logits["c"]], [logits["b"], logits["d"]], comparison["a"].labels, permutations=50, splits=5
    )
    assert found.names == ("narrow", "wide")
    assert found.overall.difference == direct.overall.difference
    with pytest.raises(ValueError, match="expected two"):
        comparison.group_errors(["x", "y", "z", "x"])
    with pytest.raises(ValueError, match="2 groups for 4 models"):
        comparison.group_errors(["x", "y"])


def test_the_errors_of_one_model_alone_are_an_error(comparison: cka.Comparison) -> None:
    for call in (comparison.errors, comparison.agreement):
        with pytest.raises(ValueError, match="predictions are compared between two models; given a alone"):
            call("a")


def test_error_matrices_are_those_of_each_pair(comparison: cka.Comparison) -> None:
    found = comparison.error_matrices()
    pair = comparison.errors("b", "d")
    assert found.names == comparison.names
    assert found.agreement[1, 3] == pytest.approx(pair.agreement)
    assert np.isclose(found.kappa[1, 3], pair.kappa, equal_nan=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda c, d: c.correspondence("a", "b"),
        lambda c, d: c.difference(("a", "stem", "b", "stem"), ("a", "stem", "b", "head")),
        lambda c, d: c.chance("a", "b", draws=19),
        lambda c, d: c.without_dominant_examples("a"),
        lambda c, d: c.block_structure("a"),
        lambda c, d: c.compare_blocks("a", "b"),
        lambda c, d: c.groups({"a": "x", "b": "y", "c": "x", "d": "y"}),
        lambda c, d: c.errors("a", "b"),
        lambda c, d: c.group_errors(["x", "y", "x", "y"], permutations=50, splits=5),
        lambda c, d: c.error_matrices(),
        lambda c, d: c.similarity_and_errors(),
        lambda c, d: cka.ablate(ConvNet(seed=1), d, progress=False),
        lambda c, d: cka.probe(ConvNet(seed=1), d, folds=2, progress=False),
    ],
)
def test_every_result_is_a_table_plain_data_and_words(call, comparison: cka.Comparison, data: TensorDataset) -> None:
    result = call(comparison, data)
    assert len(result.to_frame().columns) > 1
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert " object at 0x" not in repr(result)
    assert len(repr(result).splitlines()[0]) < 250
