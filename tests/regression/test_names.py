"""Names of baselines: no two tests share one, on any file system, and people can read them."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cka_plugin.regression.names import (
    SUFFIX,
    earlier_owner_of,
    file_name,
    folder_of,
    is_shared,
    is_there,
    owner_of,
)

PARAMETERS = st.text(st.sampled_from("aAbB./:_-[] |é\x00"), max_size=6) | st.text(max_size=300)


@given(st.lists(PARAMETERS, min_size=2, max_size=2, unique=True))
def test_no_two_parameters_share_a_file_not_even_where_case_is_not_told_apart(ids: list[str]) -> None:
    one, other = (owner_of(f"test_net.py::test_x[{parameter}]") for parameter in ids)
    assert one.lower() != other.lower()


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=3), min_size=2, max_size=2, unique=True))
def test_no_two_functions_share_a_file(names: list[str]) -> None:
    one, other = (owner_of(f"test_net.py::test_{name}") for name in names)
    assert one.lower() != other.lower()


@given(st.text(max_size=300), st.text(max_size=300))
@example("0" * 300, "0" * 15 + "\U00010000" * 100)
def test_every_file_system_takes_the_names(parameter: str, check: str) -> None:
    name = f"{owner_of(f'test_net.py::TestNet::test_x[{parameter}]')}.{file_name(check)}.2{SUFFIX}"
    assert len(f".{name}.12345678.part".encode()) <= 255
    assert not set(name) & set('<>:"/\\|?*\0\n')


@pytest.mark.parametrize(
    "nodeid", ["test_x", "TestNet::test_x", "test_x[0.5-relu]", "TestNet::test_x[3]", "test_x[a b]"]
)
def test_plain_names_stand_as_they_are(nodeid: str) -> None:
    assert owner_of(f"tests/test_net.py::{nodeid}") == nodeid.replace("::", ".")
    assert earlier_owner_of(f"tests/test_net.py::{nodeid}") == nodeid.replace("::", ".")


def test_an_id_with_two_colons_is_not_one_with_a_dot() -> None:
    assert owner_of("t.py::test_x[a::b]") != owner_of("t.py::test_x[a.b]")
    assert earlier_owner_of("t.py::test_x[a::b]") != earlier_owner_of("t.py::test_x[a/b]")


def test_an_earlier_name_that_two_tests_have_is_nobodys() -> None:
    ids = {"t.py::test_x[A]", "t.py::test_x[a]", "t.py::test_x[B]"}
    assert is_shared("t.py::test_x[A]", ids)
    assert not is_shared("t.py::test_x[B]", ids)


def test_a_file_is_there_by_its_exact_name_only(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "test_net.py") / "test_x[A].safetensors"
    assert not is_there(path)
    path.parent.mkdir(parents=True)
    path.touch()
    assert is_there(path)
    assert not is_there(path.with_name("test_x[a].safetensors"))
