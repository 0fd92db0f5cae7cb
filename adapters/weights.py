"""State dicts in local files: read without running code, loaded only where they fit."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")  # under which training scripts keep the weights
_PREFIXES = ("module.", "_orig_mod.", "model.")  # which DataParallel, torch.compile and Lightning put before names
_SHOWN = 5


def read_state_dict(path: str | PathLike[str]) -> dict[str, Tensor]:
    """The tensors in a `.safetensors` or `.pth` file, taken out of what a training script wrapped them in.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no state dict, or objects that only unpickling code would bring back.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint file at {str(path)!r}")
    state = _read(file)
    for _ in _WRAPPERS:
        inner = next((state[key] for key in _WRAPPERS if isinstance(state, Mapping) and key in state), None)
        if isinstance(inner, Mapping):
            state = inner
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{str(path)!r} holds no state dict: expected tensors by parameter name")
    return {str(key): value for key, value in state.items()}


def load_checkpoint(model: nn.Module, path: str | PathLike[str]) -> None:
    """Load the weights in a local file into `model`; all must fit.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or does not fit: missing, unexpected and misshapen weights are listed.
    """
    state = read_state_dict(path)
    own = model.state_dict()
    for prefix in _PREFIXES * 2:  # two may be stacked, in either order
        if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in own):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    report = misfit(own, state)
    if report:
        raise ValueError(
            f"checkpoint {str(path)!r} does not fit {type(model).__name__}: {report}; build the architecture "
            "that it was trained as (model_kwargs such as num_classes=...)"
        )
    model.load_state_dict(state, strict=False)


def misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What of a state dict does not fit a model's own, in words; empty where all does.

    Counters of BatchNorm may be missing: older files have none.

    Example:
        >>> misfit(nn.Linear(2, 3).state_dict(), nn.Linear(2, 4, bias=False).state_dict())
        '1 missing (bias); 1 of another shape (weight (4, 2) for (3, 2))'
    """
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    misshapen = [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    return "; ".join(f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds.items() if keys)


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _read(file: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(str(file))
        return torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"cannot read a state dict from {str(file)!r} ({reason}); expected a .safetensors file, or a .pth file "
            "that loads with weights_only=True"
        ) from error


__all__ = ["load_checkpoint", "misfit", "read_state_dict"]
