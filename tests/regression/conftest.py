"""A network and its baseline, shared by the tests of a file."""

from __future__ import annotations

import pytest

from cka_plugin.regression.baseline import Baseline, make_baseline
from tests.support.checked import X, Y
from tests.support.nets import ConvNet


@pytest.fixture(scope="module")
def net() -> ConvNet:
    return ConvNet().eval()


@pytest.fixture(scope="module")
def baseline(net: ConvNet) -> Baseline:
    return make_baseline(net, X, Y, name="net", progress=False)
