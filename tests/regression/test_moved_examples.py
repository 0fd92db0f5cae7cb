"""A failed check names the examples that moved most, in words and for machines; what passed names none."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import cka_plugin as cka
from cka_plugin.analysis.examples.pointwise import pointwise_alignment
from cka_plugin.regression.baseline import Baseline
from cka_plugin.regression.junit import to_junit
from cka_plugin.regression.moved_examples import MOST, MovedExample, sentence_on
from cka_plugin.regression.runs import CheckRun
from tests.support.checked import X, Y, perturbed
from tests.support.nets import ConvNet

ODD = [3, 77, 200]


def test_the_examples_that_moved_are_named_first(net: ConvNet, baseline: Baseline) -> None:
    other = X.clone()
    other[ODD] = torch.randn(3, *X.shape[1:], generator=torch.Generator().manual_seed(3)) * 3
    made = cka.represent({"net": net}, other, labels=Y, batch_size=32, progress=False)
    result = cka.check(made, baseline, match="ids")
    assert result.verdict == "FAILED"
    assert sorted(row.example_id for row in result.examples[:3]) == ODD
    assert len(result.examples) == MOST
    first = result.examples[0]
    assert result.examples[2].alignment < 0.7 < 0.8 < result.examples[3].alignment
    assert first.label == str(int(Y[first.example_id]))
    assert [row.alignment for row in result.examples] == sorted(row.alignment for row in result.examples)


def test_alignment_is_the_mean_over_the_layers_that_failed(net: ConvNet, baseline: Baseline) -> None:
    changed = perturbed(net, "blocks.2.conv2")
    made = cka.represent({"net": changed}, X, like=baseline.representation, progress=False)
    result = cka.check(made, baseline, max_accuracy_drop=None)
    failed = [(i, i) for i, row in enumerate(result.layers) if not row.passed]
    assert 0 < len(failed) < len(result.layers)
    values = pointwise_alignment(baseline.representation, made, failed)
    assert result.examples[0].alignment == pytest.approx(values.mean(1).min())
    place = made.example_ids.index(result.examples[0].example_id)
    assert result.examples[0].lowest == pytest.approx(values[place].min())
    assert result.examples[0].layer == result.layers[failed[values[place].argmin()][0]].name


def test_a_check_that_passed_names_none(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(net, baseline, X)
    assert result.examples == []
    assert "Examples that moved most" not in str(result) + result.to_markdown()


def test_they_are_in_text_markdown_junit_and_json_and_do_nothing_there(net: ConvNet, baseline: Baseline) -> None:
    evil = "a|b\x1b[31m<script>\n::error::" + "x" * 500
    result = cka.check(perturbed(net, "stem"), baseline, X)
    first = replace(result.examples[0], example_id=evil, label="<b>", before="cat", now="dog")
    result = replace(result, examples=[first, *result.examples[1:]])
    said = "Examples that moved most (pointwise alignment with the baseline, 1 as before): "
    text = str(result)
    assert said in text
    assert "\x1b" not in text
    assert "\n::error" not in text
    assert ", predicted dog, was cat" in text
    assert max(map(len, text.splitlines())) < 900
    markdown = result.to_markdown()
    assert "<script>" not in markdown
    assert r"Examples that moved most" in markdown
    suites = ElementTree.fromstring(to_junit([CheckRun("net", result)]).encode())
    assert any(said in (failure.text or "") for failure in suites.iter("failure"))
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))["examples"]
    assert len(plain) == MOST
    assert plain[0]["example_id"] == evil
    assert plain[1]["alignment"] == result.examples[1].alignment


def test_a_model_whose_scores_are_not_finite_has_no_predictions_to_name(net: ConvNet, baseline: Baseline) -> None:
    made = cka.represent({"net": perturbed(net, "stem")}, X, like=baseline.representation, progress=False)
    logits = np.array(made.logits)
    logits[0] = np.nan
    result = cka.check(replace(made, logits=logits), baseline)
    assert {row.now for row in result.examples} == {None}
    assert {row.before for row in result.examples} <= set("01234")


def test_of_many_examples_five_are_said() -> None:
    rows = [MovedExample(f"{i}.png", i / 10, i / 10, "stem") for i in range(9)]
    assert sentence_on(rows).count(".png") == 5
    assert sentence_on([]) == ""
