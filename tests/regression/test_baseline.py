"""Making baselines: of what can be judged, and of data that stay what they are."""

from __future__ import annotations

import copy

import pytest
import torch

import cka_plugin as cka
from cka_plugin.regression.baseline import make_baseline
from tests.support.checked import X
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def broken(net: ConvNet) -> ConvNet:
    """A network whose every layer from the second block on is NaN."""
    made = copy.deepcopy(net)
    with torch.no_grad():
        made.blocks[1].bn2.weight[0] = float("nan")
    return made


@pytest.fixture
def dead(net: ConvNet) -> ConvNet:
    made = copy.deepcopy(net)
    with torch.no_grad():
        made.head.weight.zero_()
    return made


def test_no_baseline_is_made_of_what_no_check_could_judge(broken: ConvNet, dead: ConvNet) -> None:
    with (
        pytest.warns(cka.CKAWarning, match="CKA is NaN"),
        pytest.raises(ValueError, match=r"layer blocks\.1: its activations are not finite.*allow_nan=True"),
    ):
        make_baseline(broken, X, progress=False)
    with (
        pytest.warns(cka.CKAWarning, match="CKA is NaN"),
        pytest.raises(ValueError, match=r"layer head: it is constant.*allow_nan=True"),
    ):
        make_baseline(dead, X, progress=False)


@pytest.mark.filterwarnings("ignore:.*CKA is NaN")
def test_what_a_baseline_cannot_judge_has_not_passed(net: ConvNet, broken: ConvNet) -> None:
    made = make_baseline(broken, X, allow_nan=True, progress=False)
    same = cka.check(broken, made, X)
    assert not same.passed
    assert same.verdict == "inconclusive"
    assert same.failures == []
    assert [row.verdict for row in same.layers] == ["pass", "pass", "inconclusive", "inconclusive", "inconclusive"]
    assert [sentence.split(": ")[0] for sentence in same.inconclusive] == [
        "layer blocks.1 cannot be judged",
        "layer blocks.2 cannot be judged",
        "layer head cannot be judged",
        "predictions cannot be judged",
    ]
    other = cka.check(ConvNet(seed=1).eval(), made, X, allow_nan=True)
    assert [row.verdict.split()[0] for row in other.layers] == ["fail"] * 5
    assert "layer head: no similarity, it has one now, in the baseline it had none" in str(other)


@pytest.mark.filterwarnings("ignore:.*CKA is NaN")
def test_a_layer_that_was_dead_before_is_a_note(dead: ConvNet) -> None:
    made = make_baseline(dead, X, allow_nan=True, progress=False)
    result = cka.check(dead, made, X, allow_nan=True)
    assert result.passed
    assert any("in the baseline already, not judged: head" in note for note in result.notes)
    assert result.layers[-1].verdict == "inconclusive"
    assert not result.layers[-1].passed


def test_a_baseline_takes_256_examples_unless_told_otherwise(net: ConvNet) -> None:
    more = images(300)
    assert make_baseline(net, more, measure_noise=False, progress=False).representation.n_examples == 256
    assert (
        make_baseline(net, more, max_examples=None, measure_noise=False, progress=False).representation.n_examples
        == 300
    )


def test_without_pretrained_weights_a_name_is_the_same_network_each_time() -> None:
    pytest.importorskip("timm")
    data = images(64, size=32)
    torch.manual_seed(1)
    made = make_baseline("timm:test_resnet", data, pretrained=False, progress=False)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert cka.check("timm:test_resnet", made, data, pretrained=False, min_cka=0.9999).passed
    assert torch.equal(torch.get_rng_state(), state)


def test_data_that_change_between_two_readings_make_no_baseline(net: ConvNet) -> None:
    class Augmented(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, i: int) -> torch.Tensor:
            return X[i] + torch.randn(1)

    with pytest.raises(ValueError, match="other examples when read a second time"):
        make_baseline(net, Augmented(), progress=False)
    with pytest.raises(ValueError, match="read only once"):
        make_baseline(net, (X[i : i + 32] for i in range(0, 256, 32)), progress=False)


def test_more_data_than_the_baseline_needs_are_welcome(net: ConvNet) -> None:
    ids = make_baseline(net, X, max_examples=128, progress=False)
    assert ids.representation.n_examples == 128
    assert cka.check(net, ids, X, min_cka=0.9999).passed


def test_a_baseline_of_a_part_of_what_cannot_run_by_itself_however_it_is_given(monkeypatch, tmp_path) -> None:
    (tmp_path / "holding.py").write_text(
        "from torch import nn\nfrom tests.support.nets import ConvNet\n\n\nclass Holder(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.net = ConvNet()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import holding  # type: ignore[import-not-found]

    alone = make_baseline(ConvNet(), X, progress=False).representation
    for given in ("python:holding:Holder", holding.Holder()):
        made = make_baseline(given, X, part="net", progress=False)
        assert made.representation.layer_names == alone.layer_names
        assert made.noise
        assert cka.check(given, made, X).passed
