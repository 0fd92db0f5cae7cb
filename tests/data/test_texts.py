"""Files of text: lines end at their ends and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cka_plugin.data.texts import lines_of, read_txt
from cka_plugin.warnings import CKAWarning


def test_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    texts = ["one\u2028text", "form\x0cfeed", "next\x85line", "a\x1cb"]
    for end in ("\n", "\r\n"):
        (tmp_path / "t.txt").write_bytes(end.join([*texts, ""]).encode("utf-8"))
        assert lines_of(tmp_path / "t.txt") == texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.txt").write_bytes("caf\xe9\nb".encode(encoding))
    assert lines_of(tmp_path / "t.txt") == ["caf\xe9", "b"]


def test_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("a\ncaf\xe9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"t\.txt, line 2: byte 0xe9 is not UTF-8"):
        lines_of(tmp_path / "t.txt")


def test_empty_lines_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a\n\nb\n \nc\nd\n")
    with pytest.warns(CKAWarning, match=r"2 empty lines are no texts \(line 2, 4\)"):
        assert len(read_txt(tmp_path / "t.txt")) == 4
    (tmp_path / "t.txt").write_text("\n\n")
    with pytest.raises(ValueError, match="holds no texts"):
        read_txt(tmp_path / "t.txt")
