"""Predictions of any origin: what is read from files, matched by id, looked up by name, and refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.compare_files import compare_prediction_files
from cka_plugin.data.prediction_files import read_predictions

CLASSES = ["cat", "dog", "None"]  # a class may be called None


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    logits = {name: rng.normal(size=(40, 3)) * 2 for name in ("cnn", "vit")}
    labels = rng.integers(0, 3, 40)
    return logits, labels, [f"img{i:02}.png" for i in range(40)]


def same(errors, expected):
    assert errors.accuracy_a == expected.accuracy_a
    assert errors.accuracy_b == expected.accuracy_b
    assert errors.agreement == expected.agreement
    assert [row.p for row in errors.classes] == [row.p for row in expected.classes]


def write(folder, name, kind, logits, labels, ids, rng):
    path = folder / f"{name}.{kind}"
    order = rng.permutation(len(ids))
    scores, truth, names = logits[order], labels[order], [ids[i] for i in order]
    if kind == "npz":
        np.savez(path, logits=scores, labels=truth, example_ids=names, class_names=CLASSES)
    elif kind == "csv":
        frame = pd.DataFrame(scores, columns=[f"logit_{c}" for c in CLASSES])
        frame.insert(0, "path", names)
        frame["label"] = [CLASSES[i] for i in truth]
        frame.to_csv(path)  # with pandas' own index column
    else:
        lines = [
            {"id": name, "label": CLASSES[i], "scores": dict(zip(CLASSES, row.tolist(), strict=True))}
            for name, i, row in zip(names, truth, scores, strict=True)
        ]
        path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return path


@pytest.mark.parametrize("kind_b", ["csv", "npz", "jsonl"])
@pytest.mark.parametrize("kind_a", ["csv", "npz", "jsonl"])
def test_the_three_formats_say_the_same_in_whatever_order(made, tmp_path, kind_a, kind_b):
    logits, labels, ids = made
    rng = np.random.default_rng(1)
    a = write(tmp_path, "cnn", kind_a, logits["cnn"], labels, ids, rng)
    b = write(tmp_path, "vit", kind_b, logits["vit"], labels, ids, rng)
    mapping = "names" if "jsonl" in (kind_a, kind_b) else None  # objects have no order: their classes are sorted
    errors = compare_prediction_files(a, b, class_names=CLASSES, mapping=mapping)
    same(errors, compare_errors(logits["cnn"], logits["vit"], labels, CLASSES))
    assert errors.names == ("cnn", "vit")
    assert set(errors.examples.example_id) == set(ids)
    by_id = dict(zip(errors.examples.example_id, errors.examples.label.tolist(), strict=True))
    assert [by_id[name] for name in ids] == labels.tolist()


def test_a_table_of_labels_predictions_and_confidences(tmp_path):
    (tmp_path / "a.csv").write_text(
        "id,label,prediction,confidence,loss\n07,cat,cat,0.9,1\n08,dog,cat,0.6,2\n09,dog,dog,0.7,3\n"
    )
    (tmp_path / "b.csv").write_text("id,pred\n09,cat\n08,dog\n07,cat\n")
    errors = compare_prediction_files(tmp_path / "a.csv", tmp_path / "b.csv")
    assert errors.class_names == ["cat", "dog"]
    assert [row.example_id for row in errors.disagreements] == ["09", "08"]  # ids are text: leading zeros stay
    assert errors.disagreements[0].confidence_a == 0.7
    assert math.isnan(errors.disagreements[0].confidence_b)


def test_labels_from_a_file_of_more_examples_or_from_an_array(made, tmp_path):
    logits, labels, ids = made
    expected = compare_errors(logits["cnn"][:30], logits["vit"][:30], labels[:30])
    for name in logits:
        np.savez(tmp_path / f"{name}.npz", logits=logits[name][:30], ids=ids[:30])
    pd.DataFrame({"filename": ids[::-1], "target": labels[::-1]}).to_csv(tmp_path / "labels.csv", index=False)
    paths = tmp_path / "cnn.npz", tmp_path / "vit.npz"
    same(compare_prediction_files(*paths, tmp_path / "labels.csv"), expected)
    same(compare_prediction_files(*paths, labels[:30]), expected)
    same(compare_prediction_files(*paths, labels[:30].tolist()), expected)


def test_files_without_ids_are_taken_in_order(made, tmp_path):
    logits, labels, _ = made
    np.savez(tmp_path / "a.npz", predictions=logits["cnn"].argmax(1), labels=labels)
    pd.DataFrame(logits["vit"], columns=["0", "1", "2"]).to_csv(tmp_path / "b.csv", index=False)
    errors = compare_prediction_files(tmp_path / "a.npz", tmp_path / "b.csv")
    same(errors, compare_errors(logits["cnn"].argmax(1), logits["vit"], labels))
    assert errors.class_names == ["0", "1", "2"]


def test_score_columns_called_by_index_are_put_in_order(made, tmp_path):
    logits, *_ = made
    shuffled = pd.DataFrame(logits["cnn"], columns=["p_0", "p_1", "p_2"])[["p_2", "p_0", "p_1"]]
    shuffled.to_csv(tmp_path / "a.csv", index=False)
    file = read_predictions(tmp_path / "a.csv")
    assert file.class_names is None
    assert file.predictions == pytest.approx(logits["cnn"])


def test_the_output_of_a_transformers_pipeline_is_read(tmp_path):
    lines = [
        {"id": 1, "label": "dog", "scores": [{"label": "dog", "score": 0.9}, {"label": "cat", "score": 0.1}]},
        {"id": 2, "label": "cat", "scores": [{"label": "cat", "score": 0.8}, {"label": "dog", "score": 0.2}]},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    file = read_predictions(tmp_path / "a.jsonl")
    assert file.class_names == ["cat", "dog"]
    assert file.predictions.tolist() == [[0.1, 0.9], [0.8, 0.2]]


def test_indices_with_class_names_may_meet_names(tmp_path):
    (tmp_path / "a.csv").write_text("prediction,label\n0,cat\n1,cat\n")
    (tmp_path / "b.csv").write_text("prediction\ncat\ndog\n")
    errors = compare_prediction_files(tmp_path / "a.csv", tmp_path / "b.csv", class_names=["cat", "dog"])
    assert (errors.accuracy_a, errors.agreement) == (0.5, 1.0)
    with pytest.raises(ValueError, match="some classes are given by name .* others by index .* give class_names"):
        compare_prediction_files(tmp_path / "a.csv", tmp_path / "b.csv")


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "preds.csv").write_text("prediction,label\n0,0\n1,1\n")
    errors = compare_prediction_files(tmp_path / "x" / "preds.csv", tmp_path / "y" / "preds.csv")
    assert errors.names == (str(tmp_path / "x" / "preds.csv"), str(tmp_path / "y" / "preds.csv"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"x", "expected a file of predictions, one of .csv, .npz, .jsonl"),
        ("a.csv", b"", "No columns"),
        ("a.csv", b"prediction\n", "holds no example"),
        ("a.csv", b"logit_cat,logit_dog\n1,x\n", "could not convert string to float|Unable to parse"),
        ("a.csv", b"word,other\nx,y\n", "could not convert string to float|Unable to parse"),
        ("a.csv", b"label,prediction,pred\n1,1,1\n", "'prediction' and 'pred' both look like the prediction"),
        ("a.csv", b"id,prediction\nx,1\nx,2\n", "example id 'x' occurs more than once"),
        ("a.csv", b"id,prediction\nx,1\ny,\n", "prediction of example 1 is empty"),
        ("a.npz", b"PK not really", "a.npz: "),
        ("a.jsonl", b'{"prediction": 1}\n{"prediction": \n', "line 2 is not JSON"),
        ("a.jsonl", b'{"prediction": 1}\n{"pred": 2}\n', "object 2 has no 'prediction'"),
        ("a.jsonl", b'{"prediction": 1.5}\n', "prediction 1.5: expected class indices"),
        ("a.jsonl", b"[1, 2]\n", "expected one JSON object a line"),
        ("a.jsonl", b'{"scores": [1, 2]}\n{"scores": [1]}\n', r"lists of scores have \[1, 2\] entries"),
        (
            "a.jsonl",
            b'{"scores": {"x": 1, "y": 2}}\n{"scores": {"x": 1, "z": 2}}\n',
            "other classes than those of the first",
        ),
        ("a.jsonl", b'{"word": 1}\n', "found 'word': expected 'prediction', 'scores'"),
    ],
)
def test_files_that_cannot_be_read_say_so_with_their_path(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_predictions(tmp_path / name)
    assert name in str(caught.value)


def test_missing_scores_are_told_by_example(tmp_path):
    (tmp_path / "a.csv").write_text("label,logit_cat,logit_dog\n0,1.5,\n1,0.5,0.5\n")
    with pytest.raises(ValueError, match="1 of 2 examples have scores that are not finite, the first is example 0"):
        compare_prediction_files(tmp_path / "a.csv", tmp_path / "a.csv", names=("x", "y"))


def test_a_pickled_array_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", predictions=np.array([{}, {}], dtype=object))
    with pytest.raises(ValueError, match=r"a\.npz: .*allow_pickle"):
        read_predictions(tmp_path / "a.npz")


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    def put(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    base = put("a.csv", "id,label,prediction\n1,0,0\n2,1,1\n")
    with pytest.raises(ValueError, match=r"1 only in the first, 1 only in the second, such as '2'"):
        compare_prediction_files(base, put("b.csv", "id,prediction\n1,0\n3,1\n"))
    with pytest.raises(ValueError, match="has 2 examples, .* has 1: expected the same, or example ids in both"):
        compare_prediction_files(base, put("c.csv", "prediction\n1\n"))
    with pytest.raises(ValueError, match="hold different labels: 1 and 0 at example 1"):
        compare_prediction_files(base, put("d.csv", "id,label,prediction\n2,0,1\n1,0,1\n"))
    with pytest.raises(ValueError, match="neither .* holds labels"):
        compare_prediction_files(put("e.csv", "prediction\n1\n0\n"), put("f.csv", "prediction\n1\n1\n"))
    with pytest.raises(ValueError, match="it holds labels but no predictions"):
        compare_prediction_files(base, put("g.csv", "label\n1\n1\n"))
    with pytest.raises(ValueError, match="no labels in it, expected a column 'label'"):
        compare_prediction_files(base, base, tmp_path / "e.csv", names=("x", "y"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        compare_prediction_files(base, tmp_path / "nothing.csv")
    named = put("h.csv", "id,prediction\n1,cat\n2,lynx\n")
    with pytest.raises(ValueError, match="'lynx' is none of the class names \\('cat', 'dog'\\): give class_names"):
        compare_prediction_files(base, named, class_names=["cat", "dog"])


def test_a_file_compared_with_itself_gets_two_names(tmp_path):
    path = tmp_path / "same.csv"
    path.write_text("label,prediction\n0,0\n1,0\n")
    errors = compare_prediction_files(path, path)
    assert errors.names[1].endswith("#2")
    assert errors.churn == 0
