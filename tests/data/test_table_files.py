"""A file has the rows and the texts that its writer meant; an error names the file and the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import cka_plugin as cka

ROWS = [{"text": f"number {i}", "label": i % 2, "id": i} for i in range(12)]
NET = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))


def letters(text: str) -> Tensor:
    return torch.tensor([float(len(text)), float(ord(text[-1]))])


def read(path: Path, **options: Any) -> cka.Representation:
    return cka.represent({"net": NET}, path, transforms=letters, progress=False, **options)


def lines(*rows: Any) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


def without(key: str, place: int = 5) -> str:
    return lines(*[{k: v for k, v in row.items() if (k, n) != (key, place)} for n, row in enumerate(ROWS)])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.jsonl", without("text"), r"text\.jsonl, line 6: 'text' is missing"),
        ("label.jsonl", without("label"), r"label\.jsonl, line 6: 'label', the label, is missing"),
        ("id.jsonl", without("id"), r"id\.jsonl, line 6: 'id' is missing"),
        ("null.jsonl", lines(*ROWS[:5], {**ROWS[5], "text": None}, *ROWS[6:]), "line 6: 'text' is missing"),
        ("broken.jsonl", lines(*ROWS[:5], '{"text": ', *ROWS[6:]), r"broken\.jsonl, line 6: not JSON"),
        ("word.jsonl", lines(*ROWS[:5], '"a word"', *ROWS[6:]), "line 6: a str, expected an object"),
        ("ragged.csv", lines("text,label", *["a,0"] * 5, "a,1,2", *["b,0"] * 6), "line 7: 3 fields"),
        ("gap.csv", lines("a,b", *[f"{i},{i * i}" for i in range(5)], "5,", *["1,2"] * 6), "line 7: 'b' is missing"),
        ("empty_text.csv", lines("text,label", *["a,0"] * 5, ",1", *["b,0"] * 6), "line 7: 'text' is missing"),
    ],
)  # fmt: skip
def test_a_broken_row_is_named_and_can_be_left_out(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(OSError, match=f"{message}.*on_error='skip'"):
        read(tmp_path / name)
    with pytest.warns(cka.CKAWarning, match="1 examples could not be read"):
        found = read(tmp_path / name, on_error="skip")
    assert found.n_examples == 11
    assert len(found.skipped) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", r"empty\.csv is empty"),
        ("latin1.csv", "text,label\ncaf\xe9,0\n".encode("latin-1"), r"latin1\.csv, line 2: byte 0xe9 is not UTF-8"),
        ("twice.csv", b"a,a\n1,2\n", r"twice\.csv has the column 'a' twice"),
        ("no.parquet", b"PAR1 or not", r"no\.parquet is not a readable \.parquet file"),
        ("several.csv", b"left,right\na,b\nc,d\n", "several columns of texts"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_ends_of_lines_and_marks_are_no_text(tmp_path: Path, separator: str, end: str, mark: str) -> None:
    rows = [f"number {i}{separator}{i % 2}" for i in range(8)]
    (tmp_path / "t.csv").write_bytes((mark + end.join([f"text{separator}label", *rows])).encode("utf-8"))
    found, right = (
        read(tmp_path / "t.csv"),
        cka.represent({"net": NET}, [f"number {i}" for i in range(8)], transforms=letters),
    )
    assert found.fingerprints.tolist() == right.fingerprints.tolist()
    assert found.labels is not None
    assert found.labels.tolist() == [i % 2 for i in found.example_ids]


def test_words_are_words_in_every_column(tmp_path: Path) -> None:
    words = ["NA", "None", "null", "nan", "007", "1e3 of them", "true", "N/A"]
    (tmp_path / "w.csv").write_text(lines("text,label", *[f"{word},{word}" for word in words]))
    found = read(tmp_path / "w.csv")
    right = cka.represent({"net": NET}, words, transforms=letters)
    assert found.label_names == sorted(words)
    assert found.fingerprints.tolist() == right.fingerprints.tolist()


def test_quoted_cells_hold_what_was_quoted(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text('text,label\n"a, b",0\n"two\nlines",1\n"she said ""yes""",0\nd,1\n')
    right = ["a, b", "two\nlines", 'she said "yes"', "d"]
    found = read(tmp_path / "q.csv")
    assert found.fingerprints.tolist() == cka.represent({"net": NET}, right, transforms=letters).fingerprints.tolist()


def test_the_same_table_in_every_format_is_the_same_examples(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(ROWS)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text(lines(*ROWS))
    right = cka.represent({"net": NET}, frame, transforms=letters, progress=False)
    for name in ("t.csv", "t.tsv", "t.parquet", "t.jsonl"):
        found = read(tmp_path / name)
        assert found.example_ids == right.example_ids
        assert found.fingerprints.tolist() == right.fingerprints.tolist()
        assert found.labels is not None
        assert found.labels.tolist() == [i % 2 for i in found.example_ids]


def test_labels_of_files_are_words_as_they_stand_there(tmp_path: Path) -> None:
    words = ["NA", "None", "null", "DE"] * 3
    (tmp_path / "l.csv").write_text(lines("label", *words))
    (tmp_path / "l.txt").write_text("\n".join(words) + "\n")
    for name in ("l.csv", "l.txt"):
        found = cka.represent({"net": NET}, torch.rand(12, 2), labels=str(tmp_path / name), progress=False)
        assert found.label_names == ["DE", "NA", "None", "null"]


def test_columns_of_image_paths_are_images_beside_the_file(tmp_path: Path) -> None:
    for i in range(8):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i}.png")

    def pixels(example: Any) -> Tensor:
        image = example[0] if isinstance(example, tuple) else example
        return torch.full((2,), float(image.getpixel((0, 0))))

    for header, row in (("path,label", "{i}.png,{y}"), ("image,caption,label", "{i}.png,a picture,{y}")):
        (tmp_path / "t.csv").write_text(lines(header, *[row.format(i=i, y=i % 2) for i in range(8)]))
        found = cka.represent({"net": NET}, tmp_path / "t.csv", transforms=pixels, progress=False)
        assert found.labels is not None
        assert found.labels.tolist() == [i % 2 for i in found.example_ids]
    (tmp_path / "3.png").unlink()
    with pytest.raises(OSError, match=r"cannot read the image .*3\.png"):
        cka.represent({"net": NET}, tmp_path / "t.csv", transforms=pixels, progress=False)
