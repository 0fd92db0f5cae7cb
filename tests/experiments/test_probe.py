"""Linear probes: planted features, the chance line, what is refused; the model comes back as it was lent."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

import cka_plugin as cka
from cka_plugin.analysis import probes
from cka_plugin.analysis.probes import linear_probes
from tests.support.nets import ConvNet, images

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def planted() -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    classes = np.arange(120) % 3
    noise = rng.normal(size=(120, 5))
    return [noise, np.c_[noise, np.eye(3)[classes] * 20], np.eye(3)[classes][:, :, None] * np.ones((3, 4))], classes


def test_features_that_tell_the_classes_are_read_without_error_and_noise_is_at_chance(planted) -> None:
    found = linear_probes(*planted, ["noise", "both", "maps"])
    assert found.chance == pytest.approx(1 / 3)
    assert [row.accuracy for row in found.layers[1:]] == [1.0, 1.0]
    assert abs(found.layers[0].accuracy - 1 / 3) < 4 * found.layers[0].standard_error
    assert [row.features for row in found.layers] == [5, 8, 12]


def test_the_chance_line_is_the_share_of_the_most_frequent_class() -> None:
    classes = np.array([0] * 30 + [1] * 10)
    found = linear_probes([np.zeros((40, 2))], classes)
    assert found.chance == 0.75
    assert found.layers[0].accuracy == 0.75  # a layer that says nothing


def test_accuracy_is_that_of_scikit_learns_own_cross_validation(planted) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(1)
    x, classes = rng.normal(size=(120, 4)) + planted[1][:, None] * 0.7, planted[1]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    predicted = cross_val_predict(pipeline, x, classes, cv=StratifiedKFold(5, shuffle=True, random_state=3))
    row = linear_probes([x], classes, seed=3).layers[0]
    assert row.accuracy == (predicted == classes).mean()
    assert row.standard_error == pytest.approx((row.accuracy * (1 - row.accuracy) / 120) ** 0.5)


def test_gain_is_paired_with_the_layer_before(planted) -> None:
    found = linear_probes(*planted)
    first, second, third = found.layers
    assert np.isnan(first.gain)
    assert second.gain == pytest.approx(second.accuracy - first.accuracy)
    assert second.gain_p < 1e-6
    assert (third.gain, third.gain_p) == (0.0, 1.0)


def test_the_scale_and_offset_of_features_do_not_matter(planted) -> None:
    (noise, both, _), classes = planted
    moved = linear_probes([both * 1e-6 + 1e-3, noise * 1e6 + 1e7], classes)
    plain = linear_probes([both, noise], classes)
    assert np.allclose(moved.accuracies, plain.accuracies)


def test_a_layer_with_nan_has_no_accuracy_and_says_why(planted) -> None:
    broken = planted[0][0].copy()
    broken[3, 2] = np.nan
    found = linear_probes([broken, planted[0][1]], planted[1], ["broken", "whole"])
    assert np.isnan(found.layers[0].accuracy)
    assert "not finite" in found.layers[0].reason
    assert found.layers[1].accuracy == 1.0
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["layers"][0]["accuracy"] is None


def test_classes_smaller_than_the_folds_are_noted() -> None:
    classes = np.array([0] * 20 + [1] * 20 + [2])
    found = linear_probes([np.eye(3)[classes]], classes)
    assert "1 of 3 classes have fewer than 5 examples" in found.warnings[0]
    assert found.layers[0].accuracy == 40 / 41  # nothing was known of the one example of its class
    assert linear_probes([np.eye(2)[[0] * 9 + [1]]], [0] * 9 + [1]).layers[0].accuracy == 0.9


@pytest.mark.parametrize(
    ("labels", "folds", "message"),
    [
        ([0] * 10, 5, "one class"),
        ([0, 1] * 5, 6, "folds 6"),
        ([0, 1] * 5, 1, "folds 1"),
        ([0, 1] * 4, 2, "10 examples"),
    ],
)
def test_what_cannot_be_probed_is_refused(labels: list[int], folds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        linear_probes([np.zeros((10, 2))], labels, folds=folds)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install scikit-learn"):
        probes.require_sklearn()


def test_a_model_is_probed_on_its_own_activations_and_comes_back_as_lent() -> None:
    net, x = ConvNet().train(), images(60)
    labels = torch.arange(60) % 3
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = cka.probe({"net": net}, x, labels, batch_size=7, folds=3, progress=False)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert [row.layer for row in found.layers] == [layer.name for layer in cka.layers(net)]
    with torch.no_grad():
        stem = net.eval().stem(x).mean((2, 3)).numpy()
    row = linear_probes([stem], labels, folds=3).layers[0]
    assert found.layers[0].features == 6
    assert abs(found.layers[0].accuracy - row.accuracy) < 0.25  # the same features, in another order of examples
    assert "averaged over positions" in repr(found)


def test_flattened_features_are_all_of_them() -> None:
    found = cka.probe(ConvNet(), images(40), torch.arange(40) % 2, pooling="flatten", folds=2, progress=False)
    assert found.layers[0].features == 6 * 8 * 8
    assert "flattened" in found.pooling


def test_probes_need_labels_and_a_model_that_runs(tmp_path) -> None:
    with pytest.raises(ValueError, match="probe needs labels"):
        cka.probe(ConvNet(), images(40), progress=False)
    saved = cka.represent(ConvNet(), images(40), progress=False)
    with pytest.raises(ValueError, match="keeps no activations"):
        cka.probe(saved, images(40), torch.arange(40) % 2)
