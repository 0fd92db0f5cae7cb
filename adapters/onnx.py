"""Exported models: an ONNX file run by ONNX Runtime, whose outputs are its layers, by name.

    torch.onnx.export(net, (x,), "net.onnx", output_names=["logits"], ...)
    model = OnnxModel("net.onnx", {"stem": "/stem/Conv_output_0", ..., "head": "logits"})
    cka.check(model, "net.cka.safetensors", data)

An exported graph has no modules to hook: only what it returns can be compared. Values inside the graph can be made
outputs without another export (`outputs`), which needs the package `onnx`. Importing this file registers the adapter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import KINDS, Adapter, Layer
from cka_plugin.adapters.registry import register_adapter

_KIND_OF = {"blocks": "block", "logits": "head"}


class _Output(nn.Module):
    """The place of one output (and of those whose names begin with its name), through which it passes unchanged."""

    def forward(self, value: Tensor) -> Tensor:
        return value


class OnnxModel(nn.Module):
    """An ONNX file as a module that any call of this package takes.

    Args:
        path: the `.onnx` file.
        outputs: layer name -> name of a value of the graph, in the order in which they are computed; values that are no
            outputs yet become some. By default the graph's own outputs under their own names; an only output, or one
            called `logits`, is `head`.
        options: of `onnxruntime.InferenceSession`, such as `sess_options` and `providers` (default: the CPU).

    Raises:
        ModuleNotFoundError: ONNX Runtime (or `onnx`, where it is needed) is not installed.
        FileNotFoundError: there is no such file.
        ValueError: `outputs` names a value that the graph does not have.
    """

    def __init__(self, path: str | os.PathLike[str], outputs: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__()
        if not Path(path).is_file():
            raise FileNotFoundError(f"no such file: {os.fspath(path)}")
        import onnxruntime

        options = {"providers": ["CPUExecutionProvider"], **options}
        self.session = onnxruntime.InferenceSession(os.fspath(path), **options)
        own = [output.name for output in self.session.get_outputs()]
        if outputs is not None and not set(outputs.values()) <= set(own):
            self.session = onnxruntime.InferenceSession(_with_outputs(path, list(outputs.values())), **options)
        head = own[0] if len(own) == 1 else "logits"
        self.outputs = dict(outputs or {("head" if name == head else name): name for name in own})
        self.places: dict[str, str] = {}
        for name in self.outputs:
            self.places[name] = ".".join(["out", *(part for part in name.split(".") if part)])
            self._add_place(self.places[name])

    def _add_place(self, path: str) -> None:
        parent: nn.Module = self
        for part in path.split("."):
            if part not in parent._modules:
                parent.add_module(part, _Output())
            parent = parent.get_submodule(part)

    def forward(self, *arguments: Tensor, **keywords: Tensor) -> Tensor | dict[str, Tensor]:
        """Run the graph, and let each output pass its place.

        Args:
            arguments: tensors in the order of the graph's inputs.
            keywords: tensors by the names of the graph's inputs; what the graph has no input for is left out.

        Returns:
            `logits`, the output called `head`; without one all outputs by name.
        """
        inputs = self.session.get_inputs()
        given = dict(zip((i.name for i in inputs), arguments, strict=False))
        given.update({i.name: keywords[i.name] for i in inputs if i.name in keywords})
        arrays = {name: value.detach().cpu().numpy() for name, value in given.items()}
        values = self.session.run(list(self.outputs.values()), arrays)
        passed = {
            name: self.get_submodule(self.places[name])(torch.from_numpy(value))
            for name, value in zip(self.outputs, values, strict=True)
        }
        return passed.get("head", passed)


class OnnxAdapter(Adapter):
    """The layers of an `OnnxModel` are its outputs."""

    name = "onnx"

    def owns(self, model: nn.Module) -> bool:
        """Whether it is an `OnnxModel`."""
        return isinstance(model, OnnxModel)

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        """One layer an output, whatever the granularity."""
        assert isinstance(model, OnnxModel)
        last = max(len(model.places) - 1, 1)
        return [
            Layer(name, path, _kind(name), position / last)
            for position, (name, path) in enumerate(model.places.items())
        ]

    def describe(self, model: nn.Module) -> str:
        """That they are the outputs."""
        return "the outputs of an ONNX graph, by name"


def _kind(name: str) -> str:
    parts = [part for part in name.split(".") if not part.isdigit()]
    found = _KIND_OF.get(parts[-1], parts[-1]) if parts else "module"
    return found if found in KINDS else "module"


def _with_outputs(path: str | os.PathLike[str], names: list[str]) -> bytes:
    import onnx

    model = onnx.load(os.fspath(path))
    made = {value for node in model.graph.node for value in node.output}
    unknown = [name for name in names if name not in made]
    if unknown:
        some = ", ".join(sorted(made)[:20])
        raise ValueError(f"{os.fspath(path)} computes no value {unknown[0]!r}: it has {some}, ... ({len(made)} in all)")
    there = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in there)
    return bytes(model.SerializeToString())


register_adapter(OnnxAdapter())
