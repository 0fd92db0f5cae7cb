"""Two representations compare only on the same examples, in the same minibatches; what differs is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.representation import check_comparable, differences
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def made() -> cka.Representation:
    return cka.represent({"net": ConvNet()}, images(32), batch_size=8, progress=False)


Change = Callable[[cka.Representation], cka.Representation]


def with_positions(made: cka.Representation) -> cka.Representation:
    turned = [replace(minibatch, positions=minibatch.positions[::-1].copy()) for minibatch in made.minibatches]
    return replace(made, minibatches=turned)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: replace(made, options={**made.options, "kernel": "rbf"}), "kernel 'linear' and 'rbf'"),
        (lambda made: replace(made, shard=(1, 4)), "shard 1 of 4: merge the shards first"),
        (lambda made: replace(made, example_ids=made.example_ids[:-1]), "32 and 31 examples"),
        (lambda made: replace(made, example_ids=made.example_ids[::-1]), "the same examples in another order"),
        (
            lambda made: replace(made, example_ids=["x", *made.example_ids[1:]]),
            "other examples .example 0 is .* 'x'.",
        ),
        (lambda made: replace(made, fingerprints=made.fingerprints + np.uint64(1)), "the content of 32 of 32 examples"),
        (
            lambda made: replace(made, minibatches=made.minibatches[:2]),
            "4 and 2 minibatches",
        ),
        (with_positions, "the examples fall into other minibatches"),
    ],
    ids=["kernel", "shard", "fewer", "order", "ids", "content", "sizes", "minibatches"],
)
def test_what_differs_is_said(made: cka.Representation, change: Change, said: str) -> None:
    check_comparable(made, made)
    with pytest.raises(ValueError, match=said):
        check_comparable(made, change(made))


def test_the_same_ids_are_enough_where_that_is_said(made: cka.Representation) -> None:
    other = replace(made, fingerprints=made.fingerprints + np.uint64(1))
    check_comparable(made, other, match="ids")
    with pytest.raises(ValueError, match="match 'names': expected 'content' or 'ids'"):
        check_comparable(made, other, match="names")


def test_the_bandwidth_of_a_linear_kernel_is_no_difference(made: cka.Representation) -> None:
    other = replace(made, options={**made.options, "bandwidth": 2.0})
    assert differences(made, other) == []
    rbf = [replace(one, options={**one.options, "kernel": "rbf"}) for one in (made, other)]
    assert differences(*rbf) == ["bandwidth 0.5 and 2.0"]
