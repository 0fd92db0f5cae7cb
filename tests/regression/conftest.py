"""A network and its baseline, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cka_plugin.regression.baseline import Baseline, make_baseline
from tests.support.checked import X, Y
from tests.support.nets import ConvNet


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net() -> ConvNet:
    return ConvNet().eval()


@pytest.fixture(scope="module")
def baseline(net: ConvNet) -> Baseline:
    return make_baseline(net, X, Y, name="net", progress=False)
