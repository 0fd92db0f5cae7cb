"""How raw examples become the inputs of a model: as its framework does it, or by what the user gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.utils.data import default_collate

from cka_plugin.adapters import Adapter, Preparation
from cka_plugin.adapters.base import Step, by_steps
from cka_plugin.adapters.steps import configured


def preparation_of(
    module: nn.Module, adapter: Adapter, transform: Any, max_length: int | None = None
) -> Preparation | None:
    """The preparation of a model: by `transform` where the user gave one; None where nobody says.

    Args:
        module: the model, without its wrappers.
        adapter: of its framework.
        transform: a processor, or a function of one raw example.
        max_length: where texts are cut, in tokens; what takes no texts is as it is.

    Raises:
        ValueError: the model does not take so many tokens.
    """
    if transform is not None:
        found: Preparation | None = adapter.preparation_by(module, transform) or given_transform(transform)
    else:
        found = _own(module, adapter)
    return found if found is None or found.limited is None or max_length is None else found.limited(max_length)


def _own(module: nn.Module, adapter: Adapter) -> Preparation | None:
    try:
        found = adapter.preparation(module)
        if found is not None and not isinstance(found, Preparation):
            raise TypeError(
                f"the adapter {adapter.name!r} gives {found!r} as the preparation of {type(module).__name__}: expected "
                "a cka_plugin.adapters.base.Preparation, or None"
            )
        return found
    except (ValueError, RuntimeError) as error:  # tensors need no preparation: said only where raw examples come
        return _impossible(error)


def _impossible(error: ValueError | RuntimeError) -> Preparation:
    """In the place of a preparation that cannot be had: raises why as soon as a raw example is to be prepared."""

    def collate(raw: Sequence[Any]) -> Any:
        raise error

    return Preparation(("image", "text", "audio"), f"impossible:{id(error)}", collate, "none: tensors as they are")


GIVEN = "given:"  # before the key of a preparation that is the user's own function


def is_users(preparation: Preparation | None) -> bool:
    """Whether a preparation is the user's own function, which may do anything, such as drawing random numbers."""
    return preparation is not None and preparation.key.startswith(GIVEN)


def given_transform(transform: Callable[[Any], Any]) -> Preparation:
    """The user's own function of one raw example, for any kind of example."""

    known = library_steps(transform)
    key = f"{GIVEN}{id(transform)}" if known is None else f"library: {[step.key for step in known]}"
    steps = (Step(key, transform),) if known is None else known

    def join(examples: Sequence[Any]) -> Any:
        made = default_collate(list(examples))
        return tuple(made) if isinstance(made, list) else made

    return Preparation(
        ("image", "text", "audio"),
        key,
        by_steps(steps, join),
        getattr(transform, "__name__", repr(transform)),
        steps=steps,
        join=join,
        side_by_side=known is not None,
    )


# Of torchvision and timm, which draw no random numbers, keep nothing, and release the interpreter lock
_LIBRARIES = ("torchvision.transforms.", "timm.data.")
_PURE = (
    "CenterCrop", "ConvertImageDtype", "Grayscale", "ImageClassification", "MaybeToTensor", "Normalize",
    "PILToTensor", "Pad", "Resize", "ToDtype", "ToImage", "ToNumpy", "ToTensor",
)  # fmt: skip


def library_steps(transform: Any) -> tuple[Step, ...] | None:
    """The steps of a transform that is made of a library's own alone; None where it is not, or may draw random numbers.

    Example:
        >>> from torchvision import transforms
        >>> resize, tensor = transforms.Resize(8), transforms.ToTensor()
        >>> len(library_steps(transforms.Compose([resize, tensor])))
        2
        >>> library_steps(transforms.Compose([resize, transforms.RandomCrop(4), tensor])) is None
        True
    """
    kind = type(transform)
    if not f"{kind.__module__}.".startswith(_LIBRARIES):
        return None
    if kind.__name__ == "Compose":
        parts = [library_steps(each) for each in transform.transforms]
        return None if None in parts else tuple(step for part in parts for step in part or ())
    pure = kind.__name__ in _PURE and not getattr(transform, "inplace", False)
    return (Step(configured(transform), transform),) if pure else None
