"""Building timm models by name, with weights from the hub or from a local file."""

from __future__ import annotations

import difflib
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cka_plugin.adapters.hub import cached_if_unreachable
from cka_plugin.adapters.weights import misfit


def build(name: str, *, pretrained: bool, checkpoint: str | None, **model_kwargs: Any) -> nn.Module:
    """Build a timm model; see `Adapter.load`.

    Args:
        name: an architecture (`resnet50`), one with its weights' tag (`resnet50.a1_in1k`), or `hf-hub:owner/model`.
        pretrained: whether to load its pretrained weights; overruled by `checkpoint`.
        checkpoint: a `.safetensors` or `.pth` file with a state dict.
        model_kwargs: what `timm.create_model` takes: `num_classes`, `in_chans`, `img_size`, ...

    Raises:
        ValueError: an unknown name or tag, or a checkpoint that does not fit the architecture.
        OSError: weights that cannot be reached, or that do not exist.
    """
    import timm

    check_name(name)
    if checkpoint is not None:
        state = read_checkpoint(checkpoint)
        model = timm.create_model(name, pretrained=False, **model_kwargs)
        fit_checkpoint(model, state, f"checkpoint {str(checkpoint)!r} does not fit {name}")
        return model
    if not pretrained:
        return timm.create_model(name, pretrained=False, **model_kwargs)
    way_out = "give a local file with checkpoint=..., or pretrained=False for the bare architecture"
    cfg = None if ":" in name else timm.models.get_pretrained_cfg(name)
    if cfg is not None and not cfg.has_weights and not _weights_given(model_kwargs):
        raise OSError(f"timm has no pretrained weights for {name!r}; {way_out}")
    try:
        with cached_if_unreachable():
            return timm.create_model(name, pretrained=True, **model_kwargs)
    except OSError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OSError(f"cannot reach the pretrained weights of {name!r} ({reason}); {way_out}") from error


def check_name(name: str) -> None:
    """Raise a ValueError where timm knows no such architecture (naming the nearest), or no such weights."""
    import timm

    if ":" in name:  # hf-hub:owner/model, local-dir:folder
        return
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.6)
        hint = f": did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"timm has no model {name!r}{hint}")
    tags = [known.partition(".")[2] for known in timm.models.get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        raise ValueError(f"timm has no weights {tag!r} of {architecture!r}: it has {', '.join(filter(None, tags))}")


def _weights_given(model_kwargs: Mapping[str, Any]) -> bool:
    return any(key in model_kwargs for key in ("pretrained_cfg", "pretrained_cfg_overlay"))


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a local file, also one wrapped in a training checkpoint or `module.`; never unpickles code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no state dict, or more than tensors.
    """
    from safetensors import SafetensorError
    from timm.models import load_state_dict

    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint file at {str(path)!r}")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"cannot read a state dict from {str(path)!r} ({reason}); expected a .safetensors file, or a .pth "
            "file that loads with weights_only=True"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{str(path)!r} holds no state dict: expected tensors by parameter name")
    return dict(state)


def fit_checkpoint(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict where it fits exactly, as it is or as timm's own filter for the family translates it.

    Raises:
        ValueError: it does not; the message starts with `what` and lists missing, unexpected and misshapen keys.
    """
    report = misfit(model.state_dict(), state)
    if report:
        translate = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        failure: Exception | None = None
        if translate is not None:
            try:
                state = translate(dict(state), model)
            except (KeyError, IndexError, ValueError, RuntimeError, AttributeError, TypeError) as error:
                failure = error  # a file of another family: what does not fit says more than where the filter broke
        if failure is not None or translate is None or misfit(model.state_dict(), state):
            raise ValueError(
                f"{what}: {report}; build what it was trained as (with model_kwargs such as num_classes=...)"
            ) from failure
    model.load_state_dict(state, strict=False)
