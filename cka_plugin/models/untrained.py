"""`untrained`: the same architecture before any training, a level to hold a CKA against.

What two models share may be the architecture's doing: none of it was learned.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters import registry as adapters
from cka_plugin.adapters.known import known_owner
from cka_plugin.lending.randomness import seeded
from cka_plugin.lending.running import is_offloaded
from cka_plugin.lending.snapshot import Snapshot
from cka_plugin.models.initialiser import initialise
from cka_plugin.warnings import warn
from cka_plugin.wording import listed


class NoUntrained(ValueError):
    """A model whose weights nothing can set anew."""


def untrained(model: Any, seed: int = 0) -> nn.Module:
    """The same architecture before any training: what it makes similar was not learned.

    Compare it beside the model: `cka.compare({"net": net, "untrained": cka.untrained(net)}, data=data)`.

    A name is built without weights. A module is copied, and its weights drawn as they first were: a model of timm,
    torchvision or transformers, or one inside the module, by the framework's own builder (`untrained("resnet18")` and
    `untrained(timm.create_model("resnet18", pretrained=True))` have the same weights); other layers by their
    `reset_parameters`, and then by the `init_weights` or `_init_weights` of what holds them. Pruned entries stay
    pruned; of weights that are computed (weight norm, `parametrize`) those are set that they are computed from.
    Parameters that no initialiser sets have their entries shuffled, with a warning.

    Args:
        model: an `nn.Module`, which is left as it is, or a name as for `compare`.
        seed: of the initialisation; global random states are left as they are.

    Raises:
        ValueError: an unknown name, or a module that nothing can initialise: of TorchScript, quantised, sharded, lazy.
        TypeError: no model.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> fresh = untrained(net)
        >>> fresh[0].weight.shape == net[0].weight.shape, bool((fresh[0].weight == net[0].weight).any())
        (True, False)
    """
    if isinstance(model, str | os.PathLike) and not os.fspath(model).startswith("sample:"):
        with seeded(seed):
            return adapters.load_model(os.fspath(model), pretrained=False)
    if isinstance(model, str):
        from cka_plugin import sample

        model = sample.model(model.removeprefix("sample:"))
    if not isinstance(model, nn.Module):
        raise TypeError(f"untrained takes an nn.Module or a name; given {type(model).__name__}")
    inner, _ = adapters.unwrap(model)
    _check_can_be_initialised(inner)
    devices = sorted({parameter.device for parameter in inner.parameters()}, key=str)
    with seeded(seed, devices):
        given = _by_frameworks(inner)
        fresh = _copied(inner)
        left = initialise(fresh, given)
    if left:
        warn(f"no initialiser sets {listed(left, 4)} of {type(inner).__name__}: their entries were shuffled")
    return fresh


def _by_frameworks(model: nn.Module) -> dict[str, Tensor]:
    """First weights, by their names in `model`, of what frameworks have built in it and can build again."""
    given: dict[str, Tensor] = {}
    own = model.state_dict()
    built: list[str] = []
    for path, module in model.named_modules():
        owner = None if any(path.startswith(outer) for outer in built) else known_owner(module)
        if owner is None or (anew := owner.anew(module)) is None:
            continue
        prefix = f"{path}." if path else ""
        built.append(prefix)
        first = anew.state_dict()
        for name, value in own.items():
            plain = name.removeprefix(prefix).replace(".base_layer.", ".")  # which adapters of PEFT put in between
            if name.startswith(prefix) and plain in first and first[plain].shape == value.shape:
                given[name] = first[plain]
    return given


def _copied(model: nn.Module) -> nn.Module:
    """A copy; weights that are computed from others (pruned, normed) are results, which `deepcopy` refuses."""
    results = {id(tensor): tensor.detach().clone() for tensor in Snapshot(model).tensors if not tensor.is_leaf}
    try:
        return copy.deepcopy(model, dict(results))
    except Exception as error:  # any class may refuse to be copied, in its own way
        raise NoUntrained(
            f"untrained cannot copy {type(model).__name__} ({type(error).__name__}: {error}): build it anew without "
            "its weights, and give that model"
        ) from error


def _check_can_be_initialised(model: nn.Module) -> None:
    """Raise a ValueError where what is there was learned, and nothing knows how it began."""
    for path, module in model.named_modules():
        where = f"{type(model).__name__}.{path}" if path else type(model).__name__
        if isinstance(module, torch.jit.ScriptModule):
            what = "was compiled by TorchScript (scripted, traced, loaded), which keeps no initialiser"
        elif "quantized" in type(module).__module__ or any(map(_is_quantised, module.parameters(recurse=False))):
            what = "is quantised"
        elif any(hasattr(p, "device_mesh") or hasattr(p, "ds_id") for p in module.parameters(recurse=False)):
            what = "is sharded (FSDP, tensor parallelism or DeepSpeed)"
        elif is_offloaded(module):
            what = "is offloaded by accelerate"
        elif any(map(nn.parameter.is_lazy, module.parameters(recurse=False))):
            what = "waits for its first forward pass to make its parameters"
        else:
            continue
        raise NoUntrained(f"untrained cannot initialise {where}: it {what}. Build the architecture anew, and give that")


def _is_quantised(parameter: Tensor) -> bool:
    """Whole numbers that stand for weights, as of bitsandbytes and torchao."""
    return parameter.is_quantized or hasattr(parameter, "quant_state") or "quant" in type(parameter).__module__
