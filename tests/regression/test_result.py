"""What people and machines read of a check."""

from __future__ import annotations

import json

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline
from tests.support.checked import X, perturbed
from tests.support.nets import ConvNet


def test_the_worst_layer_stands_first_in_the_table(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(perturbed(net, "blocks.1.conv1"), baseline, X)
    worst = min(result.layers, key=lambda row: row.cka - row.threshold)
    assert result.worst[0] == worst
    table = str(result).split("threshold  verdict\n")[1]
    assert table.startswith(worst.name)
    assert result.to_markdown().split("|---|\n")[1].startswith(f"| {worst.name} |")


def test_a_result_is_plain_data(net: ConvNet, baseline: Baseline) -> None:
    plain = cka.check(perturbed(net, "stem"), baseline, X).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["passed"] is False
    assert set(plain["layers"][0]) >= {"name", "cka", "low", "high", "threshold", "passed"}
    assert plain["first_moved"] == "stem"


def test_a_result_draws_its_layers_against_their_thresholds(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(perturbed(net, "blocks.1.conv1"), baseline, X)
    axes = result.plot(title="").axes[0]
    drawn = {group.get_label(): group.get_offsets()[:, 1].tolist() for group in axes.collections}
    assert drawn["fail"] == [row.cka for row in result.layers if not row.passed]
    assert drawn["pass"] == [row.cka for row in result.layers if row.passed]
