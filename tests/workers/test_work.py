"""Each example is read once for all models, and steps that preparations have in common are done once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.adapters.steps import Step, by_steps, configured, prepared
from cka_plugin.data import folders
from tests.support.photographs import photographs


@pytest.mark.parametrize("workers", [0, 2])
def test_files_are_read_and_steps_made_once_for_all_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    import timm
    from timm.data import transforms as of_timm
    from torchvision.transforms import transforms as of_torchvision

    calls: Counter[str] = Counter()

    def counted(name: str, inner):
        def call(*given, **named):
            calls[name] += 1
            return inner(*given, **named)

        return call

    folder = photographs(tmp_path / "photographs", 10)
    monkeypatch.setattr(folders, "open_image", counted("read", folders.open_image))
    monkeypatch.setattr(of_torchvision.Resize, "forward", counted("resize", of_torchvision.Resize.forward))
    monkeypatch.setattr(of_torchvision.Normalize, "forward", counted("normalise", of_torchvision.Normalize.forward))
    monkeypatch.setattr(of_timm.MaybeToTensor, "__call__", counted("tensor", of_timm.MaybeToTensor.__call__))
    own = {"mean": (0.1, 0.2, 0.3)}  # other statistics than those of the others
    models = {
        "a": timm.create_model("test_vit"),
        "b": timm.create_model("test_vit"),
        "c": timm.create_model("test_vit", pretrained_cfg_overlay=own),
    }
    cka.compare(models, data=folder, workers=workers, batch_size=8, progress=False)
    n = 13
    assert calls["read"] == n
    if workers:  # without, whole preparations are shared, and no steps
        assert (calls["resize"], calls["tensor"], calls["normalise"]) == (n, n, 2 * n)
    else:
        assert (calls["resize"], calls["normalise"]) == (2 * n, 2 * n)


def test_steps_are_shared_up_to_where_they_differ() -> None:
    made: Counter[str] = Counter()

    def step(name: str, value: float) -> Step:
        def make(x: float) -> float:
            made[name] += 1
            return x + value

        return Step(name, make)

    first, second, third = step("first", 1), step("second", 10), step("third", 100)
    known: dict[tuple[str, ...], float] = {}
    assert prepared(0.5, (first, second), known) == 11.5
    assert prepared(0.5, (first, third), known) == 101.5
    assert prepared(0.5, (first, second, third), known) == 111.5
    assert made == {"first": 1, "second": 1, "third": 2}
    assert by_steps((first, second), sum)([1.0, 2.0]) == 25.0


def test_transforms_are_known_by_all_that_they_were_set_to() -> None:
    from torchvision import transforms

    close = 0.485 + 1e-5  # which repr() rounds away
    a, b = transforms.Normalize([0.485], [0.5]), transforms.Normalize([close], [0.5])
    a, b = (type(each)(torch.tensor(each.mean), torch.tensor(each.std)) for each in (a, b))
    assert repr(a) == repr(b)
    assert configured(a) != configured(b)
    assert configured(a) == configured(transforms.Normalize(torch.tensor([0.485]), torch.tensor([0.5])))
    lambdas = [transforms.Lambda(lambda x: x) for _ in range(2)]
    assert configured(lambdas[0]) != configured(lambdas[1])
    modules = [nn.Linear(2, 2) for _ in range(2)]
    assert configured(modules[0]) != configured(modules[1])


def test_photographs_are_not_held_after_they_were_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    from cka_plugin.data.kinds import Spent
    from cka_plugin.engine import run

    seen: list[object] = []
    take = run.ModelRun.take

    def noted(self, index, batch):
        seen.extend(batch.content.members[0].values)
        return take(self, index, batch)

    monkeypatch.setattr(run.ModelRun, "take", noted)
    folder = photographs(tmp_path / "photographs", 10)
    cka.represent(timm.create_model("test_vit"), folder, workers=2, batch_size=8, progress=False)
    assert seen == [Spent("image")] * len(seen)
    assert len(seen) == 13
    seen.clear()
    cka.represent(timm.create_model("test_vit"), folder, workers=2, batch_size=8, levels=True, progress=False)
    assert all(np.asarray(image).size for image in seen)
    assert Spent("image") not in seen
