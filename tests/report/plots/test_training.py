"""CKA over training, from logs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cka_plugin.report.plots.frame import Frame
from cka_plugin.report.plots.training import training
from tests.support.pictures import faults, layers


def log(count: int, steps: int) -> list[dict]:
    measured = [
        {"step": 10 * (i + 1), "cka/start/lowest": 0.1}
        | {f"cka/start/{layer.name}": 1.0 - 0.1 * i * layer.depth for layer in layers(count)}
        for i in range(steps)
    ]
    return [entry for measurement in measured for entry in (measurement, {"step": measurement["step"], "loss": 1.0})]


def test_layers_go_up_and_steps_to_the_right_and_losses_are_passed_over() -> None:
    axes = training(log(4, 3)).axes[0]
    mesh = axes.collections[0]
    assert mesh.get_array().tolist() == [[1.0 - 0.1 * i * layer.depth for i in range(3)] for layer in layers(4)]
    assert mesh.get_coordinates()[0, :, 0].tolist() == [5.0, 15.0, 25.0, 35.0]
    assert axes.get_xlabel() == "step"
    assert [label.get_text() for label in axes.get_yticklabels()] == [layer.name for layer in layers(4)]


def test_a_layer_that_a_measurement_lacks_is_hatched_there() -> None:
    entries = [{"cka/start/a": 0.9, "cka/start/b": 0.8}, {"cka/start/a": 0.7, "cka/start/b": ""}]
    axes = training(entries).axes[0]
    assert np.ma.getmaskarray(axes.collections[0].get_array()).tolist() == [[False, False], [False, True]]
    assert axes.patch.get_hatch()
    assert axes.get_xlabel() == "measurement"


def test_what_was_not_logged_is_an_error_that_says_what_was() -> None:
    with pytest.raises(ValueError, match=r"no figure cka/baseline/\.\.\. in 2 entries: logged were start"):
        training(log(2, 1), "baseline")
    with pytest.raises(ValueError, match="no CKA was logged"):
        training([{"loss": math.nan}])


@pytest.mark.parametrize(("count", "width"), [(3, "column"), (120, "text")])
def test_texts_never_touch(count: int, width: str) -> None:
    assert faults(training(log(count, 7), frame=Frame(width=width, title="title"))) == []
