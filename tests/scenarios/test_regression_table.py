"""What a check finds of ordinary changes and common bugs on real trained networks: the example's table as promises."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cka_plugin as cka
from tests.support import ROOT


def _load() -> ModuleType:
    path = ROOT / "examples" / "regression_scenarios.py"
    spec = importlib.util.spec_from_file_location("regression_scenarios", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SCENARIOS = _load()
pytest.importorskip("timm")


NAMES = ["narrow", "vit", "efficientnet", "minilm"]
_SUBJECTS: dict[str, Any] = {}


def subject_of(name: str) -> Any:
    """A network with its baseline, made once; skipped where its weights are not installed."""
    if not SCENARIOS.available(name):
        pytest.skip(f"{SCENARIOS.PACKAGES[name]} is not installed")
    if name not in _SUBJECTS:
        _SUBJECTS[name] = SCENARIOS.Subject(name)
    return _SUBJECTS[name]


@pytest.fixture(scope="module", params=NAMES)
def subject(request: pytest.FixtureRequest) -> Any:
    return subject_of(request.param)


@pytest.fixture(scope="module", params=["narrow", "vit", "efficientnet"])
def classifier(request: pytest.FixtureRequest) -> Any:
    return subject_of(request.param)


_RESULTS: dict[tuple[str, str], cka.CheckResult] = {}


def found(subject: Any, name: str) -> cka.CheckResult:
    """The result of one scenario, run once."""
    if (subject.name, name) not in _RESULTS:
        scenario = next(scenario for scenario in SCENARIOS.SCENARIOS if scenario.name == name)
        _RESULTS[subject.name, name] = scenario.run(subject)
    return _RESULTS[subject.name, name]


def moved(result: cka.CheckResult) -> list[str]:
    return [row.name for row in result.layers if row.moved]


# Lowest precision and light pruning pass on some networks and not on others.
DEFAULT = {
    "bfloat16": {"narrow": True, "vit": True, "efficientnet": False, "minilm": True},
    "int8 dynamic": {"narrow": True, "vit": True, "efficientnet": True, "minilm": False},
    "pruned by 30%": {"narrow": True, "vit": True, "efficientnet": False, "minilm": False},
    "head fine-tuned": {"efficientnet": False},
    "two blocks swapped": {"vit": False, "efficientnet": False, "minilm": False},
}


@pytest.mark.parametrize("scenario", SCENARIOS.SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_default_verdict(subject: Any, scenario: Any) -> None:
    if not subject.offers(scenario.needs):
        return
    expected = DEFAULT.get(scenario.name, {}).get(subject.name, scenario.passes)
    if expected is not None:
        assert found(subject, scenario.name).passed is expected


def test_the_same_weights_pass_at_0_9999_in_another_process_and_with_other_threads(tmp_path: Path) -> None:
    names = [name for name in NAMES if SCENARIOS.available(name)]
    for name in names:
        subject_of(name).baseline.save(tmp_path / f"{name}.safetensors")
    code = """
import importlib.util, sys, torch
import cka_plugin as cka
spec = importlib.util.spec_from_file_location("regression_scenarios", sys.argv[1])
module = sys.modules["regression_scenarios"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for name in sys.argv[3:]:
    net, data, labels, *_ = module._BUILDERS.get(name, module._of_sample)(name)
    for threads in (2, 4):
        torch.set_num_threads(threads)
        result = cka.check(net, f"{sys.argv[2]}/{name}.safetensors", data, 0.9999, labels=labels)
        assert result.passed, (threads, str(result))
        assert result.churn in (0, None)
"""
    arguments = [sys.executable, "-c", code, SCENARIOS.__file__, str(tmp_path), *names]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # more threads than cores must not spin
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_lower_precision_moves_the_model_a_little(subject: Any) -> None:
    for name, least in (("bfloat16", 0.999), ("int8 dynamic", 0.97)):
        result = found(subject, name)
        assert least < min(row.cka for row in result.layers) < 1 - 1e-6
        assert moved(result)
        if all(row.passed for row in result.layers):
            assert any("moved by more than rounding" in note for note in result.notes)


def test_bfloat16_that_changes_predictions_fails_for_these_though_every_layer_passes() -> None:
    result = found(subject_of("efficientnet"), "bfloat16")
    assert all(row.passed for row in result.layers)
    assert result.failures == [f"{result.churn:.1%} of predictions changed, more than 5.0%"]


def test_pruning_moves_the_model_the_more_the_more_is_pruned(subject: Any) -> None:
    lowest = [min(row.cka for row in found(subject, f"pruned by {share}%").layers) for share in (30, 60, 90)]
    assert lowest[0] > lowest[1] > lowest[2]


def test_fine_tuning_the_head_moves_the_head_alone(classifier: Any) -> None:
    result = found(classifier, "head fine-tuned")
    assert moved(result) == ["head"]
    assert all(row.cka > 1 - 1e-6 for row in result.layers if row.name != "head")


def test_fine_tuning_all_layers_moves_them_from_the_first_on(subject: Any) -> None:
    result = found(subject, "all layers fine-tuned")
    assert moved(result) == [row.name for row in result.layers]


def test_another_preparation_is_caught_and_the_first_layer_that_can_show_it_is_named(subject: Any) -> None:
    result = found(subject, "another preparation")
    first = {"vit": "blocks.0", "minilm": "embed"}.get(subject.name, "stem")
    # (scale and shift pass unseen through the linear embedding of vit)
    assert result.failures[0].startswith(f"layer {first}")
    assert result.first_moved is not None
    assert result.first_moved.name == first


def test_a_swapped_block_is_the_first_to_move_and_never_passes_at_0_9999(subject: Any) -> None:
    result = found(subject, "two blocks swapped")
    assert result.first_moved is not None
    first = {"narrow": "stages.0.blocks.0", "efficientnet": "stages.3.blocks.1"}.get(subject.name, "blocks.0")
    assert result.first_moved.name == first
    assert result.first_moved.cka < 0.9999


def test_another_order_of_classes_is_caught_though_cka_is_1(classifier: Any) -> None:
    result = found(classifier, "head in another order")
    assert moved(result) == []
    assert any("of predictions changed" in sentence for sentence in result.failures)
    if classifier.offers("labels"):
        assert any(sentence.startswith("accuracy fell") for sentence in result.failures)
        assert "the labels of 256 of 256" in found(classifier, "labels in another order").failures[0]


def test_a_layer_with_nan_is_named_first(subject: Any) -> None:
    first = found(subject, "NaN in a block").failures[0]
    block = {"narrow": "stages.2.blocks.0", "efficientnet": "stages.4.blocks.0"}.get(subject.name, "blocks.3")
    assert first.startswith(f"layer {block}")
    assert "NaN or infinity" in first


def test_a_shuffled_loader_is_an_error_that_says_so(subject: Any) -> None:
    with pytest.raises(ValueError, match=r"in another order \(a loader that shuffles\?\)"):
        SCENARIOS.shuffled_loader(subject)
