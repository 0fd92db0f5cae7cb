"""The sanity task of Kornblith et al. 2019 (section 6.1) in small: which layer of one seed is which layer of another?

Networks that differ only in their random seed have corresponding layers. A similarity worth using says so: for each
layer of one, the most similar layer of the other should be the one at the same place. Published for ten layers on
CIFAR-10: linear CKA finds 99.3%. Here: six layers, three seeds, the training digits, six epochs; chance is one in six.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin import sample
from tests.support import reference

WIDTH = 32
STRIDES = (1, 1, 2, 1, 2, 1)
SEEDS = (0, 1, 2)
EPOCHS = 6
EXAMPLES = 400


def small_digits(split: str) -> tuple[Tensor, Tensor]:
    """The digits back at about their own 8 x 8, where training takes seconds."""
    images, labels, _ = sample.digits(split)
    return F.avg_pool2d(images[:, :1], 4), torch.from_numpy(labels)


def trained_network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    blocks, channels = [], 1
    for stride in STRIDES:
        convolution = nn.Conv2d(channels, WIDTH, 3, stride, padding=1, bias=False)
        blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(WIDTH), nn.ReLU()))
        channels = WIDTH
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10))
    images, labels = small_digits("train")
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=EPOCHS * len(images) // 50)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@pytest.fixture(scope="module")
def networks() -> list[nn.Sequential]:
    with torch.random.fork_rng(devices=[]):
        return [trained_network(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return small_digits("test")[0][:EXAMPLES]


def unit_vector(activation: Tensor) -> np.ndarray:
    """The unit vector whose inner products are unbiased CKA, in float64."""
    centred = reference.u_centred(reference.linear(activation.double().numpy()))
    return centred.ravel() / np.linalg.norm(centred)


def layer_vectors(network: nn.Sequential, images: Tensor) -> np.ndarray:
    vectors, x = [], images
    with torch.inference_mode():
        for block in list(network)[: len(STRIDES)]:
            x = block(x)
            vectors.append(unit_vector(x))
    return np.array(vectors)


@pytest.fixture(scope="module")
def references(networks, images) -> dict[tuple[int, int], np.ndarray]:
    vectors = [layer_vectors(network, images) for network in networks]
    return {(a, b): vectors[a] @ vectors[b].T for a in SEEDS for b in SEEDS if a < b}


def share_of_layers_found(matrices) -> float:
    """How often the greatest value of a row, or of a column, is on the diagonal."""
    places = np.arange(len(STRIDES))
    return float(np.mean([matrix.argmax(axis=axis) == places for matrix in matrices for axis in (0, 1)]))


def blocks(comparison: cka.Comparison, a: int, b: int) -> np.ndarray:
    """The matrix of the convolutional blocks alone."""
    names = [f"seed {a}", f"seed {b}"]
    rows, columns = ([layer.path in map(str, range(len(STRIDES))) for layer in comparison.layers(n)] for n in names)
    return comparison.matrix(*names)[np.ix_(rows, columns)]


@pytest.fixture(scope="module")
def comparison(networks, images) -> cka.Comparison:
    named = {f"seed {seed}": network for seed, network in zip(SEEDS, networks, strict=True)}
    return cka.compare(named, data=images, batch_size=EXAMPLES, progress=False)


def test_the_networks_have_learnt_the_digits(networks):
    images, labels = small_digits("test")
    with torch.inference_mode():
        accuracies = [(network(images).argmax(dim=1) == labels).float().mean().item() for network in networks]
    assert min(accuracies) > 0.95


def test_linear_cka_finds_the_matching_layer_far_more_often_than_chance(references):
    assert share_of_layers_found(references.values()) > 3 / len(STRIDES)


def test_compare_gives_the_values_of_the_float64_reference(comparison, references):
    for (a, b), expected in references.items():
        np.testing.assert_allclose(blocks(comparison, a, b), expected, rtol=0, atol=1e-6)


def test_minibatches_of_50_find_the_matching_layers_as_well(networks, images):
    named = {f"seed {seed}": network for seed, network in zip(SEEDS, networks, strict=True)}
    comparison = cka.compare(named, data=images, batch_size=50, progress=False)
    matrices = [blocks(comparison, a, b) for a in SEEDS for b in SEEDS if a < b]
    assert share_of_layers_found(matrices) > 3 / len(STRIDES)
