"""Building Hugging Face models: by hub name, from a local folder, from a bare model type, with weights from a file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from cka_plugin.adapters.hub import reachable
from cka_plugin.adapters.transformers.tuned import build_tuned, is_tuned
from cka_plugin.adapters.weights import read_state_dict
from cka_plugin.warnings import warn

HUB_KWARGS = ("revision", "trust_remote_code", "token", "cache_dir", "local_files_only", "subfolder")
WAY_OUT = (
    "give a local folder made by save_pretrained, checkpoint=FILE with a model type such as hf:bert, or "
    "pretrained=False for the bare architecture"
)
_SHOWN = 8  # names of weights in a message


def build(name: str, *, pretrained: bool, checkpoint: str | None, **model_kwargs: Any) -> nn.Module:
    """Build a model with the class its configuration names, task head and all, else the bare model of its type.

    Where it came from is remembered (`_cka_source`, `_cka_source_kwargs`): its tokenizer or processor lies there too.

    Args:
        name: a local folder, `owner/model` or an old short name of the hub; where no weights are to be loaded from
            there, also a model type (`bert`: its default configuration). A folder that PEFT saved is its base model
            with what was learned beside it.
        pretrained: load the weights; otherwise build the architecture from its configuration.
        checkpoint: a local `.safetensors`, `.pth` or `.bin` state dict to take the weights from instead.
        model_kwargs: with weights what `from_pretrained` takes (`revision`, `dtype`, `attn_implementation`, ...);
            without, `dtype`, `attn_implementation` and settings of the configuration. `trust_remote_code` is off.

    Raises:
        FileNotFoundError: a folder or file that does not exist.
        ValueError: an unknown name, or a checkpoint that does not fit the architecture.
        OSError: the hub cannot be reached, or holds no weights.
    """
    name = name.removeprefix("hf:")
    model_kwargs.setdefault("trust_remote_code", False)
    folder = Path(name).expanduser()
    if is_tuned(folder):
        if checkpoint is not None:
            raise ValueError(f"{folder} holds a PEFT adapter and is its own checkpoint: leave checkpoint= out")

        def base(name: str, kind: str | None) -> nn.Module:
            with warnings.catch_warnings():
                if kind is not None:  # the adapter brings the head that the base lacks
                    warnings.filterwarnings("ignore", "not in the checkpoint")
                return _whole(name, pretrained, None, model_kwargs, kind)

        return build_tuned(folder, pretrained, base)
    return _whole(name, pretrained, checkpoint, model_kwargs)


def _whole(
    name: str, pretrained: bool, checkpoint: str | None, model_kwargs: dict[str, Any], kind: str | None = None
) -> nn.Module:
    """A model that is no adapter of another, of the class (`AutoModelFor...` too) named, or of that of its folder."""
    state = None if checkpoint is None else read_state_dict(checkpoint)
    source, config = _configuration(name, pretrained and checkpoint is None, model_kwargs)
    if kind is not None:
        config.architectures = [_concrete(kind, config)]
    if state is not None:
        model = _from_state_dict(config, state, str(checkpoint), model_kwargs)
    elif pretrained:
        model = _from_pretrained(source or name, config, model_kwargs)
    else:
        model = _from_config(config, model_kwargs)
    remembered: Any = model
    remembered._cka_source = source
    remembered._cka_source_kwargs = _of_hub(model_kwargs)
    return model


def _of_hub(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: kwargs[key] for key in HUB_KWARGS if key in kwargs}


# The configuration ---------------------------------------------------------------------------------------------------


def _configuration(name: str, with_weights: bool, kwargs: MutableMapping[str, Any]) -> tuple[str | None, Any]:
    """Where a model comes from (None for a bare model type), and its configuration."""
    from transformers import CONFIG_MAPPING, AutoConfig

    folder = Path(name).expanduser()
    if folder.is_dir() or name.startswith((".", "~", "/")) or name.count("/") > 1:
        _check_folder(folder)
        return str(folder), AutoConfig.from_pretrained(str(folder), **_of_hub(kwargs))
    if name in CONFIG_MAPPING:
        if with_weights:
            raise ValueError(
                f"{name!r} is a model type: it has no weights. Use pretrained=False (--untrained) for the bare "
                "architecture, or name a checkpoint: a local folder, or owner/model on the Hugging Face hub"
            )
        return None, CONFIG_MAPPING[name]()
    _reach_hub(name, kwargs)
    try:
        return name, AutoConfig.from_pretrained(name, **_of_hub(kwargs))
    except OSError as error:
        from huggingface_hub.errors import RepositoryNotFoundError

        if isinstance(error.__cause__, RepositoryNotFoundError):
            raise ValueError(
                f"unknown model {name!r}: no local folder, no model type of transformers, and not on the Hugging "
                "Face hub (a private model needs token=...)"
            ) from error
        raise OSError(f"cannot load the configuration of {name!r}: {error} Otherwise {WAY_OUT}") from error


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder} (a Hugging Face model folder holds config.json and weights)")
    if (folder / "config.json").is_file():
        return
    raise FileNotFoundError(f"{folder} holds no config.json: it is no Hugging Face model folder")


def _reach_hub(name: str, kwargs: MutableMapping[str, Any]) -> None:
    """Use the local cache alone where the hub cannot be reached; an error at once where the model is not in it.

    `from_pretrained` would retry every file for half a minute.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if kwargs.get("local_files_only") or (not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)):
        return
    places = {key: kwargs[key] for key in ("revision", "cache_dir") if kwargs.get(key) is not None}
    if not isinstance(try_to_load_from_cache(name, "config.json", **places), str | os.PathLike):
        raise OSError(
            f"cannot reach the Hugging Face hub ({constants.ENDPOINT}) for {name!r}, which is not in the local "
            f"cache: {WAY_OUT}"
        )
    kwargs["local_files_only"] = True


def _concrete(kind: str, config: Any) -> str:
    """The name of a model class: an Auto class stands for that of the configuration's type."""
    import transformers

    mapping = getattr(getattr(transformers, kind, None), "_model_mapping", None)
    if mapping is None:
        return kind
    found = mapping[type(config)]
    return str((found[0] if isinstance(found, tuple | list) else found).__name__)


def _model_class(config: Any, kwargs: Mapping[str, Any]) -> Any:
    """The class in `config.architectures`, else the bare model of the type, else its first model with a task."""
    import transformers
    from transformers.models.auto import modeling_auto

    wanted = (config.architectures or [None])[0]
    if wanted is not None and hasattr(transformers, wanted):
        return getattr(transformers, wanted)
    for auto, reference in (getattr(config, "auto_map", None) or {}).items():
        if kwargs.get("trust_remote_code") and auto.startswith("AutoModel") and str(reference).endswith(f".{wanted}"):
            return getattr(transformers, auto)
    for name, mapping in vars(modeling_auto).items():  # MODEL_MAPPING_NAMES first
        known = (
            mapping.get(config.model_type) if name.startswith("MODEL_") and name.endswith("_MAPPING_NAMES") else None
        )
        if known:
            return getattr(transformers, known if isinstance(known, str) else known[0])
    raise ValueError(
        f"transformers has no model of type {config.model_type!r}: it is a part of others. Name a model that holds "
        "it, or its class in `architectures` of a config.json"
    )


# The model -----------------------------------------------------------------------------------------------------------


def _from_pretrained(source: str, config: Any, kwargs: Mapping[str, Any]) -> nn.Module:
    try:
        model, info = _model_class(config, kwargs).from_pretrained(source, output_loading_info=True, **kwargs)
    except OSError as error:
        raise OSError(f"cannot load the weights of {source!r}: {error} Otherwise {WAY_OUT}") from error
    new = [*_names(info["missing_keys"]), *_names(info["mismatched_keys"])]
    if new:
        warn(
            f"{source}: {len(new)} weights of {type(model).__name__} are not in the checkpoint and were initialised at "
            f"random ({_some(new)}); what stands behind them means nothing until it is trained",
            UserWarning,
        )
    return model


def _from_config(config: Any, kwargs: Mapping[str, Any]) -> nn.Module:
    """The bare architecture; what is no option of the model must be a setting of its configuration.

    Raises:
        ValueError: unknown settings, or a configuration (the default one of some types) of which no model can be made.
        RuntimeError: a library that the model needs is not installed.
    """
    settings = {key: value for key, value in kwargs.items() if key not in HUB_KWARGS}
    options = {key: settings.pop(key) for key in ("dtype", "attn_implementation") if key in settings}
    unknown = [key for key in settings if not hasattr(config, key)]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no setting of {type(config).__name__}")
    for key, value in settings.items():
        setattr(config, key, value)
    found = _model_class(config, kwargs)
    try:
        if hasattr(found, "_model_mapping"):  # an Auto class, for remote code
            return found.from_config(config, trust_remote_code=True, **options)
        return found._from_config(config, **options)
    except ImportError as error:
        raise RuntimeError(str(error).strip().splitlines()[0]) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"transformers cannot build {config.model_type!r} from this configuration ({type(error).__name__}: "
            f"{error}); give the settings that it lacks (model_kwargs), or a local folder"
        ) from error


def _from_state_dict(config: Any, state: Mapping[str, Any], checkpoint: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """The architecture with given weights, which must fit; what transformers itself ties or ignores may be missing."""
    options = {key: value for key, value in kwargs.items() if key not in HUB_KWARGS}
    model, info = _model_class(config, kwargs).from_pretrained(
        None, config=config, state_dict=dict(state), output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    told = {
        "missing from the file": _names(info["missing_keys"]),
        "of another shape": _names(info["mismatched_keys"]),
        "in the file but not in the model": _names(info["unexpected_keys"]),
    }
    trouble = [f"{len(names)} {what} ({_some(names)})" for what, names in told.items() if names]
    if trouble:
        raise ValueError(
            f"checkpoint {checkpoint!r} does not fit {type(model).__name__}: {'; '.join(trouble)}; name the folder or "
            "model whose configuration it was trained with"
        )
    return model


def _names(keys: Any) -> list[str]:
    return sorted(str(key[0] if isinstance(key, tuple) else key) for key in keys)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
