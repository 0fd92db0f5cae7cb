"""Where the rows of the examples lie is read off how they move, for any order of axes and any number of rows."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cka_plugin.capture.movement import Reading, candidates, judge, sketch
from cka_plugin.capture.orders import doubled, exchanged


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def judged(make, n: int, order: Tensor | None = None, random: bool = False) -> Reading | str:
    """`make`: the numbers of the examples in their places to an activation."""
    order = exchanged(n) if order is None else order
    return judge(sketch(make(torch.arange(n)), n), sketch(make(order), n), order, random)


@settings(max_examples=150, deadline=None)
@given(
    n=st.sampled_from([4, 5, 6, 8, 12, 16, 64]),
    outer=st.integers(1, 4),
    inner=st.integers(1, 4),
    others=st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 16, 64]), max_size=3),
    at=st.integers(0, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    offset=st.sampled_from([0.0, 100.0]),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    seed=st.integers(0, 1000),
)
def test_any_axis_and_any_number_of_rows_an_example_are_told(
    n: int,
    outer: int,
    inner: int,
    others: list[int],
    at: int,
    dtype: torch.dtype,
    offset: float,
    scale: float,
    seed: int,
) -> None:
    at = min(at, len(others))
    content = torch.randn(n, outer, inner, *others, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    content = ((content + offset) * scale).to(dtype)

    def make(places: Tensor) -> Tensor:
        return content[places].transpose(0, 1).flatten(0, 2).movedim(0, at)

    if math.prod([outer, inner, *others]) == 1 and n < 8:
        return  # four numbers are too few to tell anything from
    told = judged(make, n)
    assert told == Reading(0, at, outer, inner)
    taken = told.take(make(torch.arange(n)), n).reshape(n, -1)
    whole = content.flatten(1) if content.ndim > 1 else content
    assert torch.equal(taken.sort(1).values, whole.view(n, -1).sort(1).values)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.sampled_from([4, 8, 12, 16, 64, 3]), min_size=1, max_size=4),
    n=st.sampled_from([4, 8, 16, 64]),
    seed=st.integers(0, 1000),
)
def test_what_stands_still_is_nobodys(shape: list[int], n: int, seed: int) -> None:
    table = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    assert isinstance(judged(lambda places: table, n), str)
    assert isinstance(judged(lambda places: table, n, random=True), str)


def test_what_has_no_axis_for_the_examples_says_so() -> None:
    assert "no axis" in str(judged(lambda places: torch.ones(49, 3), 16))


@pytest.mark.parametrize("still", [0.0, 1.0])
def test_what_is_constant_over_the_examples_is_not_settled(still: float) -> None:
    table = torch.full((16, 7, 3), still)
    assert judged(lambda places: table, 16) == Reading(settled=False)
    expanded = torch.randn(1, 16, 3).expand(16, 16, 3)  # a table of 16 positions, for each of 16 examples
    assert judged(lambda places: expanded, 16) == Reading(settled=False)


def test_rows_of_which_some_stay_are_nobodys() -> None:
    content, queue = torch.randn(16, 5), torch.randn(16, 5)
    told = judged(lambda places: torch.cat([content[places], queue]), 16)
    assert isinstance(told, str)
    assert isinstance(judged(lambda places: torch.cat([content[places], 1e-2 * queue]), 16), str)


def test_what_moves_along_two_axes_is_left_out() -> None:
    content = torch.randn(16, 1)
    told = judged(lambda places: content[places] + content[places].T, 16)
    assert "as along" in str(told)
    between = torch.randn(16, 16)
    assert isinstance(judged(lambda places: between[places][:, places], 16), str)


@pytest.mark.parametrize("n", [4, 16, 64])
def test_random_numbers_added_at_each_place_do_not_hide_the_examples(n: int) -> None:
    content, noise = torch.randn(n, 5, 4), 10 * torch.randn(n, 5, 4)
    assert judged(lambda places: content[places] + noise, n) == Reading()
    assert judged(lambda places: (content[places] + noise).transpose(0, 1), n) == Reading(axis=1)


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.3])
def test_dropout_does_not_hide_the_examples(keep: float) -> None:
    content, mask = torch.randn(32, 40), torch.rand(32, 40) < keep
    assert judged(lambda places: content[places] * mask, 32, random=True) == Reading()


def test_noise_alone_is_nobodys() -> None:
    noise = torch.randn(32, 8)
    assert isinstance(judged(lambda places: noise, 32, random=True), str)


def test_rows_in_an_order_of_their_own_are_nobodys() -> None:
    """Tokens as they are routed to an expert, sequences as they are packed."""
    content = torch.randn(64, 6)

    def routed(places: Tensor) -> Tensor:
        rows = content[places]
        return rows[rows[:, 0].argsort()]

    assert isinstance(judged(routed, 64, random=True), str)
    assert isinstance(judged(routed, 64), str)


def test_rounding_does_not_hide_the_examples() -> None:
    content = torch.randn(64, 30) + 5
    assert (
        judged(lambda places: content[places].bfloat16() * (1 + 1e-3 * torch.randn(64, 30)), 64, random=True)
        == Reading()
    )


def test_layers_with_nan_are_still_told() -> None:
    content = torch.randn(16, 8, 16)
    content[3, 2] = torch.nan
    content[5, 1, 4] = torch.inf
    assert judged(lambda places: content[places].transpose(0, 2), 16) == Reading(axis=2)


def test_examples_that_repeat_are_told() -> None:
    content = torch.randn(3, 8)[torch.tensor([0] * 14 + [1, 2])]
    assert judged(lambda places: content[places].T.repeat(2, 1), 16) == Reading(axis=1)


def test_doubled_examples_tell_as_well_where_nothing_else_can_be_done() -> None:
    content, table = torch.randn(16, 5, 16), torch.randn(16, 5)
    assert judged(lambda places: content[places].movedim(0, 1), 16, doubled(16)) == Reading(axis=1)
    assert isinstance(judged(lambda places: table, 16, doubled(16)), str)
    noise = torch.randn(16, 5)
    assert isinstance(judged(lambda places: noise, 16, doubled(16), random=True), str)


def test_shapes_that_change_with_the_order_are_nobodys() -> None:
    told = judge(sketch(torch.randn(16, 3), 16), sketch(torch.randn(32, 3), 16), exchanged(16))
    assert "another order" in str(told)


def test_a_shorter_minibatch_and_more_rows_an_example_are_read_alike() -> None:
    side_by_side, apart = Reading(inner=3), Reading(outer=3)
    assert side_by_side.fitted(torch.zeros(15, 2), 5) == side_by_side
    assert side_by_side.fitted(torch.zeros(20, 2), 5) == Reading(inner=4)
    assert apart.fitted(torch.zeros(20, 2), 5) == Reading(outer=4)
    assert Reading().fitted(torch.zeros(20, 2), 5) is None
    assert Reading(outer=2, inner=2).fitted(torch.zeros(30, 2), 5) is None
    assert side_by_side.fitted(torch.zeros(14, 2), 5) is None


def test_every_way_to_hold_the_examples_is_tried() -> None:
    found = {(r.axis, r.outer, r.inner) for r in candidates(torch.Size([4, 24, 5]), 4)}
    assert found == {(0, 1, 1), (1, 1, 6), (1, 2, 3), (1, 3, 2), (1, 6, 1)}
