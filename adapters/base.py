"""The common interface: what every framework's models look like to the rest of the package.

An `Adapter` says, for the models of one framework, how to build them, which modules are their layers and under which
common names, how raw examples become their inputs, and where in the output the logits are. It knows nothing of CKA.
What an adapter's author needs besides is offered here too, from the files that hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn

from cka_plugin.adapters.calling import takes_mapping
from cka_plugin.adapters.layer import GRANULARITIES, KINDS, Layer
from cka_plugin.adapters.modules import is_leaf, leaf_layers, leaves, unwrap
from cka_plugin.adapters.naming import spread_depths, tower
from cka_plugin.adapters.outputs import first_tensor
from cka_plugin.adapters.steps import Step, by_steps

Inputs: TypeAlias = Tensor | tuple[Any, ...] | Mapping[str, Any]


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
        named: whether the inputs are a mapping of keyword arguments.
        limited: the same with texts cut at so many tokens; None where no texts are taken.
        remarks: sentences on what was prepared so far that a careful reader should know: how many texts were cut.
        steps: where each example is prepared by itself, how, step by step (`Step`): they run in several threads, and
            those that several models have in common once. Then `collate` is `by_steps(steps, join)`.
        join: what the steps made of the examples of a minibatch to the inputs of the model.
        side_by_side: several minibatches may be prepared at once, in several threads.
    """

    kinds: tuple[str, ...]
    key: str
    collate: Callable[[Sequence[Any]], Inputs]
    description: str = ""
    named: bool = False
    limited: Callable[[int], Preparation] | None = None
    remarks: Callable[[], list[str]] = list
    steps: tuple[Step, ...] = ()
    join: Callable[[Sequence[Any]], Inputs] | None = None
    side_by_side: bool = False


class Adapter:
    """One framework's models behind the common interface; subclass it and override what differs.

    Only `owns` and `layers` must be given. Register an adapter with `cka_plugin.register_adapter`, or by an entry point
    of the group `cka_plugin.adapters` that names the class.
    """

    name: str = ""

    def owns(self, model: nn.Module) -> bool:
        """Whether `model` (unwrapped) is one of this framework's. Must not import the framework needlessly."""
        raise NotImplementedError(f"the adapter {self.name!r} ({type(self).__name__}) does not define owns")

    def knows(self, name: str) -> bool:
        """Whether `name`, without prefix, can be built here. Never touches the network."""
        return False

    def list_names(self, pattern: str = "*") -> list[str]:
        """Names that `load` understands and that match a glob pattern, sorted."""
        return []

    def has_pretrained(self, name: str) -> bool:
        """Whether there are pretrained weights of a name that `list_names` gives, as far as is known without a network.

        The default is True: nobody knows of none.
        """
        return True

    def load(
        self, name: str, *, pretrained: bool = True, checkpoint: str | None = None, **model_kwargs: Any
    ) -> nn.Module:
        """Build the model `name`; with `checkpoint`, load its weights from a local file.

        Raises:
            ValueError: the name is unknown; the message names the nearest ones.
            OSError: weights cannot be reached; the message says how to give a local folder or file.
        """
        raise ValueError(f"the adapter {self.name!r} does not build models by name: given {name!r}")

    def anew(self, model: nn.Module) -> nn.Module | None:
        """The architecture of `model` as the framework's own builder makes it, with its first weights, on the CPU.

        It may differ from `model` in what the user has changed since (another head). None where the framework cannot
        tell what the model was built as.
        """
        return None

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        """The layers of `model` (unwrapped), in the order in which they fire, at `stage` or `block` granularity.

        `module` granularity is the same for every framework: see `leaf_layers`.

        Raises:
            ValueError: the model's layers cannot be told; the message says why, and to use `granularity="module"`.
        """
        raise NotImplementedError(f"the adapter {self.name!r} ({type(self).__name__}) does not define layers")

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
        """Run the model: a mapping goes in as keywords, a tuple as positional arguments, a tensor as the only one.

        Where `forward` needs one argument, and has none by a name of the mapping's, the mapping itself is that.
        """
        if isinstance(inputs, Mapping):
            return model(inputs) if takes_mapping(model, inputs) else model(**inputs)
        if isinstance(inputs, tuple):
            return model(*inputs)
        return model(inputs)

    def activation(self, model: nn.Module, layer: Layer, output: Any) -> Any:
        """What to compare of what `layer` returned; of a tuple, list or mapping its first tensor is taken.

        The default is all of it.
        """
        return output

    def rows_known(self, model: nn.Module, leaves: bool = False) -> bool:
        """Whether every layer's activations hold the examples on their first axis where that is as long as a minibatch.

        Where it is not said, the first minibatch runs once more with its examples in another order, to see whose rows
        are whose; where it is said, only if a layer returns something else.

        Args:
            model: the model.
            leaves: whether this is asked of all leaf modules, and not of what `layers` lists.
        """
        return False

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


__all__ = [
    "GRANULARITIES",
    "KINDS",
    "Adapter",
    "Inputs",
    "Layer",
    "Preparation",
    "Step",
    "by_steps",
    "first_tensor",
    "is_leaf",
    "leaf_layers",
    "leaves",
    "spread_depths",
    "tower",
    "unwrap",
]
