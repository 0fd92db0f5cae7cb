"""`part=`: the layers of a part of a model are compared, and the whole runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from tests.support.nets import ConvNet, images

DATA = images(48)


class Detector(nn.Module):
    """A backbone behind a step of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ConvNet()
        self.neck = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.neck(self.backbone(2 * x + 1)[:, :5])


def test_the_whole_runs_and_the_layers_go_by_their_names_in_the_part() -> None:
    whole = Detector()
    found = cka.represent({"net": whole}, DATA, part="backbone", progress=False)
    alone = cka.represent({"net": whole.backbone}, 2 * DATA + 1, progress=False)
    assert found.layer_names == alone.layer_names
    assert [layer.path for layer in found.layers] == [f"backbone.{layer.path}" for layer in alone.layers]
    for mine, its in zip(found.minibatches, alone.minibatches, strict=True):
        assert np.array_equal(mine.vectors, its.vectors)
    assert found.logits.shape == (48, 4)
    assert found.options["part"] == "backbone"


def test_what_only_holds_its_parts_has_the_part_run_alone() -> None:
    class Pipeline:
        """No module, as a pipeline of diffusers is none."""

        def __init__(self) -> None:
            self.unet = ConvNet()

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unet = ConvNet()

    alone = cka.represent(ConvNet(), DATA, name="net", progress=False)
    for given in (Pipeline(), Holder()):
        found = cka.represent({"net": given}, DATA, part="unet", progress=False)
        assert all(
            np.array_equal(m.vectors, a.vectors) for m, a in zip(found.minibatches, alone.minibatches, strict=True)
        )


def test_a_lightning_module_without_forward_has_its_part_run_alone() -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Trained(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = ConvNet()
            self.loss = nn.CrossEntropyLoss()

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            return self.loss(self.net(batch[0]), batch[1])

    model = Trained()
    alone = cka.represent(model.net, DATA, name="net", progress=False)
    found = cka.represent({"net": model}, DATA, part="net", progress=False)
    assert found.layer_names == alone.layer_names
    assert all(np.array_equal(m.vectors, a.vectors) for m, a in zip(found.minibatches, alone.minibatches, strict=True))
    with pytest.raises(ValueError, match=r"Trained\) has no forward pass of its own; it holds net. Say .* part='net'"):
        cka.represent(model, DATA, progress=False)
    by_function = cka.represent(model, DATA, forward=lambda model, batch: model.net(batch), progress=False)
    assert by_function.n_examples == 48


def test_parts_by_name_and_layers_within_them() -> None:
    found = cka.compare(
        {"a": Detector(), "b": ConvNet()}, data=DATA, part={"a": "backbone"}, layers=["head"], progress=False
    )
    assert [layer.path.rpartition(".")[0] for layer in found.layers("a")] == ["backbone"]


def test_a_part_that_is_not_there_is_an_error_that_lists_what_is() -> None:
    with pytest.raises(ValueError, match="part 'bakbone': net has no 'bakbone' there; it holds backbone, neck"):
        cka.represent({"net": Detector()}, DATA, part="bakbone", progress=False)


def test_a_part_of_a_compiled_or_wrapped_model_is_found() -> None:
    found = cka.represent({"net": nn.DataParallel(Detector())}, DATA, part="backbone", progress=False)
    assert found.layers[0].path.startswith("module.backbone.")
