"""The common interface: what every framework's models look like to the rest of the package.

An `Adapter` says, for the models of one framework, how to build them, which modules are their layers and under which
common names, how raw examples become their inputs, and where in the output the logits are. It knows nothing of CKA.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

KINDS = ("stem", "embed", "block", "downsample", "norm", "pool", "head", "module")
GRANULARITIES = ("stage", "block", "module")

Inputs: TypeAlias = Tensor | tuple[Any, ...] | Mapping[str, Any]


@dataclass(frozen=True)
class Layer:
    """A place in a network, under its common name.

    Attributes:
        name: the common name, such as `stages.2.blocks.0`; the same for the same place in every framework.
        path: the module's own path: `model.get_submodule(path)` is the module whose output is compared.
        kind: one of `stem embed block downsample norm pool head module`.
        depth: relative depth in [0, 1], non-decreasing along the network (within each tower).

    Example:
        >>> Layer("stages.0.blocks.1", "layer1.1", "block", 0.25).path
        'layer1.1'
    """

    name: str
    path: str
    kind: str
    depth: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"layer kind {self.kind!r} of {self.name!r}: expected one of {', '.join(KINDS)}")
        if not (math.isfinite(self.depth) and 0.0 <= self.depth <= 1.0):
            raise ValueError(f"depth {self.depth!r} of layer {self.name!r}: expected a number in [0, 1]")


@dataclass(frozen=True)
class Preparation:
    """How raw examples become the inputs of one model.

    Attributes:
        kinds: the kinds of raw example the model takes, of `image`, `text`, `audio`, `tensor`; several for a model that
            takes them together, such as `("image", "text")` for CLIP.
        key: two preparations with equal keys make the same inputs of the same examples, so they are made only once.
        collate: a list of raw examples (PIL images, strings, 1-d float arrays of samples, or tuples of these in the
            order of `kinds`) to the inputs of the model: a tensor, a tuple, or a mapping of keyword arguments.
        description: one line for people, such as `resize 256, crop 224, mean 0.5, std 0.5`.
        each: where it exists, one raw example to one tensor, such that `collate` is the stack of them; it lets the
            examples of a minibatch be prepared in parallel.
    """

    kinds: tuple[str, ...]
    key: str
    collate: Callable[[Sequence[Any]], Inputs]
    description: str = ""
    each: Callable[[Any], Tensor] | None = None


class Adapter:
    """One framework's models behind the common interface; subclass it and override what differs.

    Only `owns` and `layers` must be given. Register an adapter with `cka_plugin.register_adapter`, or by an entry point
    of the group `cka_plugin.adapters` that names the class.
    """

    name: str = ""

    def owns(self, model: nn.Module) -> bool:
        """Whether `model` (unwrapped) is one of this framework's. Must not import the framework needlessly."""
        raise NotImplementedError

    def knows(self, name: str) -> bool:
        """Whether `name`, without prefix, can be built here. Never touches the network."""
        return False

    def list_names(self, pattern: str = "*") -> list[str]:
        """Names that `load` understands and that match a glob pattern, sorted."""
        return []

    def load(
        self, name: str, *, pretrained: bool = True, checkpoint: str | None = None, **model_kwargs: Any
    ) -> nn.Module:
        """Build the model `name`; with `checkpoint`, load its weights from a local file.

        Raises:
            ValueError: the name is unknown; the message names the nearest ones.
            OSError: weights cannot be reached; the message says how to give a local folder or file.
        """
        raise ValueError(f"the adapter {self.name!r} does not build models by name: given {name!r}")

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        """The layers of `model` (unwrapped), in the order in which they fire, at `stage` or `block` granularity.

        `module` granularity is the same for every framework: see `leaf_layers`.

        Raises:
            ValueError: the model's layers cannot be told; the message says why, and to use `granularity="module"`.
        """
        raise NotImplementedError

    def describe(self, model: nn.Module) -> str:
        """One sentence for people: how the layers were found."""
        return f"mapped by the {self.name} adapter"

    def preparation(self, model: nn.Module) -> Preparation | None:
        """How raw examples become this model's inputs; None where the model does not say."""
        return None

    def preparation_by(self, model: nn.Module, processor: Any) -> Preparation | None:
        """How raw examples become this model's inputs by a processor of the framework (a tokenizer), given by the user.

        The default is None: what the user gave is a function of one raw example.
        """
        return None

    def forward(self, model: nn.Module, inputs: Inputs) -> Any:
        """Run the model: a mapping goes in as keywords, a tuple as positional arguments, a tensor as the only one."""
        if isinstance(inputs, Mapping):
            return model(**inputs)
        if isinstance(inputs, tuple):
            return model(*inputs)
        return model(inputs)

    def activation(self, model: nn.Module, layer: Layer, output: Any) -> Any:
        """What to compare of what `layer` returned; of a tuple, list or mapping its first tensor is taken.

        The default is all of it.
        """
        return output

    def mask(self, model: nn.Module, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
        """Which positions of `layer`'s output, (n, length, d), hold something: (n, length), nonzero where they do.

        None where the output's positions are not a sequence of varying length (images): then it is flattened.
        Sequences without padding give a mask of ones, so that they are averaged like padded ones.
        """
        return None

    def logits(self, model: nn.Module, output: Any) -> Tensor | None:
        """The class scores (n, classes) in what `forward` returned; None where the model does not classify examples."""
        if isinstance(output, Mapping):
            output = output.get("logits")
        elif isinstance(output, list | tuple) and output:
            output = output[0]
        if isinstance(output, Tensor) and output.ndim == 2 and output.is_floating_point():
            return output
        return None

    def class_names(self, model: nn.Module) -> list[str] | None:
        """Names of the classes in the order of the logits; None where the model does not say."""
        return None


def unwrap(model: nn.Module) -> tuple[nn.Module, str]:
    """What a compiled, data-parallel or averaged model wraps, and the prefix of its paths inside the wrapper.

    `torch.compile`, `DataParallel`, `DistributedDataParallel`, `AveragedModel` and PEFT wrappers are looked through.
    What computes something else without its wrapper is left as it is: learned prompts of PEFT, shards of FSDP; and so
    is what is no wrapper: weights that accelerate has spread over devices, quantised layers, traced graphs.

    Example:
        >>> inner, prefix = unwrap(nn.DataParallel(nn.Linear(2, 2)))
        >>> type(inner).__name__, prefix
        ('Linear', 'module.')
    """
    prefix = ""
    while True:
        wrapper: Any = model
        inner: Any = None
        if isinstance(getattr(model, "_orig_mod", None), nn.Module):
            inner, step = wrapper._orig_mod, "_orig_mod."
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel | AveragedModel):
            inner, step = wrapper.module, "module."
        elif type(model).__module__.split(".")[0] == "peft" and hasattr(model, "get_base_model"):
            config = getattr(model, "active_peft_config", None)  # a mixture of adapters has none
            if not getattr(config, "is_prompt_learning", False):
                inner = wrapper.get_base_model()
                step = next(f"{path}." for path, module in model.named_modules() if module is inner)
        if inner is None:
            return model, prefix
        model, prefix = inner, prefix + step


def spread_depths(layers: Sequence[Layer]) -> list[Layer]:
    """The same layers with depths spread evenly over [0, 1] by position, each tower (`vision.`, `decoder.`) on its own.

    The trunk (a common stem, the head) is spread over the positions of all layers, so that a head is always at 1.

    Example:
        >>> [l.depth for l in spread_depths([Layer(n, n, "module", 0) for n in "abc"])]
        [0.0, 0.5, 1.0]
        >>> two = ["text.blocks.0", "text.blocks.1", "vision.blocks.0", "vision.blocks.1", "head"]
        >>> [l.depth for l in spread_depths([Layer(n, n, "module", 0) for n in two])]
        [0.0, 1.0, 0.0, 1.0, 1.0]
    """
    towers = {tower(layer.name) for layer in layers if _NUMBERED.search(layer.name)}
    sides = [side if side in towers else "" for side in (tower(layer.name) for layer in layers)]
    members = {side: [i for i, other in enumerate(sides) if other == side or not side] for side in set(sides)}
    places = {(side, i): place for side, all_of_it in members.items() for place, i in enumerate(all_of_it)}
    return [
        Layer(layer.name, layer.path, layer.kind, places[side, i] / max(len(members[side]) - 1, 1))
        for i, (layer, side) in enumerate(zip(layers, sides, strict=True))
    ]


_TRUNK = re.compile(r"^(stem|embed|stages|blocks|norm|head|pool|downsample)\b")
_NUMBERED = re.compile(r"(^|\.)(stages|blocks)\.\d")


def tower(name: str) -> str:
    """The tower that a common name belongs to: what stands before the first word of the vocabulary; "" for the trunk.

    Example:
        >>> tower("vision.blocks.3"), tower("stages.0.blocks.1"), tower("head")
        ('vision', '', '')
        >>> tower("encoder.layers.3.norm")  # a path: what is numbered is inside a tower, not one
        ''
    """
    if _TRUNK.match(name):
        return ""
    parts = name.split(".")
    for position, part in enumerate(parts):
        if part.isdigit():
            return ""
        if position and _TRUNK.match(part):
            return ".".join(parts[:position])
    return ""


def is_leaf(module: nn.Module) -> bool:
    """Whether nothing of interest fires inside a module.

    `MultiheadAttention` reads the weights of its projection without calling it; what is parametrized (weight norm)
    computes weights inside, not activations; quantised layers keep their packed weights in a module.

    Example:
        >>> is_leaf(nn.Linear(2, 2)), is_leaf(nn.MultiheadAttention(4, 2)), is_leaf(nn.Sequential(nn.ReLU()))
        (True, True, False)
    """
    children = {name for name, _ in module.named_children()}
    return isinstance(module, nn.MultiheadAttention) or children <= {"parametrizations", "_packed_params"}


def leaves(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The leaf modules in `module`, itself included, each once, with their paths, in the order of definition.

    Example:
        >>> [path for path, _ in leaves(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU())), "net")]
        ['net.0', 'net.1.0']
    """
    inside = ""  # of which leaf the modules that follow are parts
    for below, child in module.named_modules(prefix=path):
        if inside and below.startswith(inside):
            continue
        if is_leaf(child):
            inside = f"{below}."
            yield below, child


def leaf_layers(model: nn.Module, coarse: Sequence[Layer] = ()) -> list[Layer]:
    """Every leaf module of `model`, `nn.Identity` excepted, in the order of definition: `module` granularity.

    A leaf inside a layer of `coarse` (block granularity) is named after it: `stages.0.blocks.1.conv1`; others by their
    path. Which of them fire, and in which order, only a forward pass tells.

    Example:
        >>> [l.name for l in leaf_layers(nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.ReLU()))]
        ['0', '2']
    """
    prefixes = sorted(((l.path, l.name) for l in coarse if l.path), key=lambda pair: -len(pair[0]))
    names: list[str] = []
    paths: list[str] = []
    for path, module in leaves(model):
        if not path:  # the model itself is one leaf
            return [Layer("module", "", "module", 0.0)]
        if isinstance(module, nn.Identity):
            continue
        start, common = next((p for p in prefixes if path == p[0] or path.startswith(p[0] + ".")), (path, path))
        paths.append(path)
        names.append(common + path[len(start) :])
    unique = len(set(names)) == len(names)
    chosen = names if unique else paths
    return spread_depths([Layer(n, p, "module", 0.0) for n, p in zip(chosen, paths, strict=True)])


def first_tensor(output: Any, n: int | None = None) -> Tensor | None:
    """The activation in what a module returned: its first floating tensor, looking into tuples, lists and mappings.

    Args:
        output: a tensor, tuple, list, mapping, data class or `ModelOutput`. A quantized tensor is dequantized.
        n: where given, the number of examples: tensors whose first two axes cannot hold them are passed over.

    Example:
        >>> import torch
        >>> first_tensor((None, {"hidden": torch.ones(2, 3)})).shape
        torch.Size([2, 3])
    """
    if isinstance(output, Tensor):
        x = output.dequantize() if output.is_quantized else output
        fits = x.is_floating_point() and x.ndim >= 1
        if fits and n is not None:
            fits = x.shape[0] % n == 0 or (x.ndim > 1 and x.shape[1] == n)
        return x if fits else None
    values: Sequence[Any] = ()
    if isinstance(output, Mapping):
        values = list(output.values())
    elif isinstance(output, list | tuple):
        values = output
    elif hasattr(output, "last_hidden_state"):
        values = [output.last_hidden_state]
    elif dataclasses.is_dataclass(output):
        values = [getattr(output, part.name) for part in dataclasses.fields(output)]
    for value in values:
        found = first_tensor(value, n)
        if found is not None:
            return found
    return None


__all__ = [
    "GRANULARITIES",
    "KINDS",
    "Adapter",
    "Inputs",
    "Layer",
    "Preparation",
    "first_tensor",
    "is_leaf",
    "leaf_layers",
    "leaves",
    "spread_depths",
    "tower",
    "unwrap",
]
