"""How raw images become the inputs of a timm model: size, crop and normalisation of its own `pretrained_cfg`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Preparation, Step, by_steps
from cka_plugin.adapters.pictures import DESCRIBED, input_dtype, picture_step
from cka_plugin.adapters.steps import configured

_MODES = {1: "L", 3: "RGB"}


def preparation_of(model: nn.Module) -> Preparation | None:
    """The evaluation transform of a timm model; None where it takes other than one or three channels.

    A model that was built for another image size or another number of channels than its `pretrained_cfg` gets those.
    """
    from timm.data import create_transform, resolve_model_data_config

    channels = in_channels(model)
    if channels not in _MODES:
        return None
    config = resolve_model_data_config(model)
    config["input_size"] = (channels, *(image_size(model) or config["input_size"][-2:]))
    for statistic in ("mean", "std"):
        values = tuple(float(value) for value in config[statistic])
        config[statistic] = values if len(values) == channels else (sum(values) / len(values),) * channels
    transform = create_transform(**config, is_training=False)
    mode = _MODES[channels]

    dtype = input_dtype(model)
    steps = (
        picture_step(mode),
        *(Step(configured(each), each) for each in getattr(transform, "transforms", [transform])),
    )

    def join(images: Sequence[Any]) -> Tensor:
        return torch.stack(list(images)).to(dtype)

    return Preparation(
        kinds=("image",),
        key=f"timm {json.dumps(config, sort_keys=True)} {dtype}",
        collate=by_steps(steps, join),
        description=f"{_described(config, mode)}; {DESCRIBED}",
        steps=steps,
        join=join,
        side_by_side=True,
    )


def in_channels(model: nn.Module) -> int:
    """How many channels the model takes: what it says itself, else its first convolution, else its configuration.

    A first convolution may see folded pixels (TResNet): it is asked only where the model keeps no `in_chans`.
    """
    own = getattr(model, "in_chans", None)
    if own is not None:
        return int(own)
    cfg = getattr(model, "pretrained_cfg", None) or {}
    first = cfg.get("first_conv")
    first = first[0] if isinstance(first, tuple | list) and first else first  # of several branches
    convolution = dict(model.named_modules()).get(first) if isinstance(first, str) else None
    return int(getattr(convolution, "in_channels", None) or (cfg.get("input_size") or (3,))[0])


def image_size(model: nn.Module) -> tuple[int, int] | None:
    """The (height, width) that the model was built for, where it keeps one; None where it takes any size."""
    for module in model.modules():
        size = getattr(module, "img_size", None)
        if size is not None:
            return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    return None


def _described(config: dict[str, Any], mode: str) -> str:
    height, width = config["input_size"][-2:]
    size = str(height) if height == width else f"{height}x{width}"
    mean, std = (", ".join(f"{value:.3g}" for value in config[key]) for key in ("mean", "std"))
    return (
        f"{mode} {size}, {config['interpolation']}, {config['crop_mode']} crop {config['crop_pct']:.3g}, "
        f"mean ({mean}), std ({std})"
    )
