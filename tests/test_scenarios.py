"""What a check finds of ordinary changes and common bugs on real trained networks: the example's table as promises."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import cka_plugin as cka


def _load() -> ModuleType:
    path = Path(__file__).parent.parent / "examples" / "regression_scenarios.py"
    spec = importlib.util.spec_from_file_location("regression_scenarios", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SCENARIOS = _load()
pytest.importorskip("timm")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=["narrow", "vit"])
def subject(request: pytest.FixtureRequest) -> Any:
    if request.param == "vit":
        pytest.importorskip("transformers")
    return SCENARIOS.Subject(request.param)


_RESULTS: dict[tuple[str, str], cka.CheckResult] = {}


def found(subject: Any, name: str) -> cka.CheckResult:
    """The result of one scenario, run once."""
    if (subject.name, name) not in _RESULTS:
        scenario = next(scenario for scenario in SCENARIOS.SCENARIOS if scenario.name == name)
        _RESULTS[subject.name, name] = scenario.run(subject)
    return _RESULTS[subject.name, name]


def moved(result: cka.CheckResult) -> list[str]:
    return [row.name for row in result.layers if row.moved]


@pytest.mark.parametrize("scenario", SCENARIOS.SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_default_verdict(subject: Any, scenario: Any) -> None:
    if scenario.passes is not None:
        assert found(subject, scenario.name).passed is scenario.passes


def test_the_same_weights_pass_at_0_9999_in_another_process_and_with_other_threads(
    subject: Any, tmp_path: Path
) -> None:
    path = subject.baseline.save(tmp_path / "b.safetensors")
    code = (
        "import sys, torch, cka_plugin as cka; from cka_plugin import sample\n"
        "images, labels, _ = sample.digits('test')\n"
        "for threads in (1, 2, 4):\n"
        "    torch.set_num_threads(threads)\n"
        "    assert cka.check(sample.model(sys.argv[1]), sys.argv[2], images[:256], 0.9999).passed\n"
    )
    done = subprocess.run([sys.executable, "-c", code, subject.name, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_lower_precision_moves_the_model_a_little(subject: Any) -> None:
    for name in ("bfloat16", "int8 dynamic"):
        result = found(subject, name)
        assert 0.999 < min(row.cka for row in result.layers) < 1 - 1e-6
        assert moved(result)
        assert any("moved by more than rounding" in note for note in result.notes)


def test_pruning_moves_the_model_the_more_the_more_is_pruned(subject: Any) -> None:
    lowest = [min(row.cka for row in found(subject, f"pruned by {share}%").layers) for share in (30, 60, 90)]
    assert lowest[0] > lowest[1] > lowest[2]


def test_fine_tuning_the_head_moves_the_head_alone(subject: Any) -> None:
    result = found(subject, "head fine-tuned")
    assert moved(result) == ["head"]
    assert all(row.cka > 1 - 1e-6 for row in result.layers if row.name != "head")
    assert moved(found(subject, "all layers fine-tuned"))[0] == result.layers[0].name


def test_another_normalisation_is_caught_and_the_first_layer_that_can_show_it_is_named(subject: Any) -> None:
    result = found(subject, "another normalisation")
    first = {"narrow": "stem", "vit": "blocks.0"}[
        subject.name
    ]  # scale and shift pass unseen through a linear embedding
    assert result.failures[0].startswith(f"layer {first}")
    assert result.first_moved is not None
    assert result.first_moved.name == first


def test_a_swapped_block_is_the_first_to_move_and_never_passes_at_0_9999(subject: Any) -> None:
    result = found(subject, "two blocks swapped")
    assert result.first_moved is not None
    assert result.first_moved.name == {"narrow": "stages.0.blocks.0", "vit": "blocks.0"}[subject.name]
    assert result.first_moved.cka < 0.9999


def test_another_order_of_classes_is_caught_though_cka_is_1(subject: Any) -> None:
    result = found(subject, "head in another order")
    assert moved(result) == []
    assert any(sentence.startswith("accuracy fell") for sentence in result.failures)
    assert any("of predictions changed" in sentence for sentence in result.failures)
    assert "the labels of 256 of 256" in found(subject, "labels in another order").failures[0]


def test_a_layer_with_nan_is_named_first(subject: Any) -> None:
    first = found(subject, "NaN in a block").failures[0]
    assert first.startswith({"narrow": "layer stages.2.blocks.0", "vit": "layer blocks.3"}[subject.name])
    assert "NaN or infinity" in first


def test_a_shuffled_loader_is_an_error_that_says_so(subject: Any) -> None:
    with pytest.raises(ValueError, match=r"in another order \(a loader that shuffles\?\)"):
        SCENARIOS.shuffled_loader(subject)
