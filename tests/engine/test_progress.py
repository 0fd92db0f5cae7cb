"""The progress bar shows in terminals and in notebooks."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from cka_plugin.engine.progress import in_notebook


def test_a_notebook_is_told_from_a_terminal_and_from_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for config, expected in (({"IPKernelApp": {}}, True), ({}, False), (None, False)):
        shell = None if config is None else SimpleNamespace(config=config)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert in_notebook() is expected
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_a_notebook_has_a_bar_though_its_output_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch import nn

    import cka_plugin as cka

    made = []

    class Bar:
        def __init__(self, **options: object) -> None:
            made.append(options)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, n: int) -> None:
            pass

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    monkeypatch.setattr("cka_plugin.engine.progress.in_notebook", lambda: True)
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    cka.compare({"net": net}, data=torch.randn(20, 4))
    cka.compare({"net": net}, data=torch.randn(20, 4), progress=False)
    assert [options["disable"] for options in made] == [False, True]
