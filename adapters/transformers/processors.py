"""Where a Hugging Face model's image processor and feature extractor come from.

They are read from the folder or hub name that the model was loaded from. Where that holds none, there still is one: the
default one of the model's type, with the sizes that the model's configuration states.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from cka_plugin.adapters.modules import unwrap
from cka_plugin.adapters.transformers.forward import accepted
from cka_plugin.adapters.transformers.sources import has_file, source_of

IMAGE_FILES = ("preprocessor_config.json", "processor_config.json")
AUDIO_FILES = ("preprocessor_config.json", "processor_config.json")
EXTRACTORS = {"wav2vec2-bert": "SeamlessM4TFeatureExtractor"}  # where the auto class names one that does not fit
PATCHES = (  # what image processors call the sizes of patches, and what configurations call them
    ("patch_size", "patch_size"),
    ("temporal_patch_size", "temporal_patch_size"),
    ("temporal_patch_size", "patch_temporal"),
    ("merge_size", "spatial_merge_size"),
)


def processor_of(model: nn.Module) -> Any | None:
    """The processor saved beside a model that takes several kinds together; None where there is none."""
    source = source_of(model)
    if source is None or not has_file(source, IMAGE_FILES):
        return None
    from transformers import AutoProcessor, ProcessorMixin

    try:
        found = AutoProcessor.from_pretrained(source[0], **source[1])
    except ImportError as error:
        raise RuntimeError(missing_library(model, error)) from error
    return found if isinstance(found, ProcessorMixin) else None


def image_processor_of(model: nn.Module) -> Any | None:
    """The image processor saved beside the model, or else its type's own, with the configuration's sizes."""
    source = source_of(model)
    if source is not None and has_file(source, IMAGE_FILES):
        from transformers import AutoImageProcessor

        try:
            return AutoImageProcessor.from_pretrained(source[0], **source[1])
        except ImportError as error:
            raise RuntimeError(missing_library(model, error)) from error
    return default_image_processor(model)


def feature_extractor_of(model: nn.Module) -> Any | None:
    """The audio feature extractor saved beside the model, or else its type's own, with the configuration's sizes."""
    source = source_of(model)
    if source is not None and has_file(source, AUDIO_FILES):
        from transformers import AutoFeatureExtractor

        try:
            return AutoFeatureExtractor.from_pretrained(source[0], **source[1])
        except ImportError as error:
            raise RuntimeError(missing_library(model, error)) from error
    return default_feature_extractor(model)


def default_image_processor(model: nn.Module) -> Any | None:
    """The image processor class of the model's type, with its own mean and std, at the size of the configuration."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
    from transformers.utils import is_torchvision_available

    kind = next((t for t in model_types(model) if t in IMAGE_PROCESSOR_MAPPING_NAMES), None)
    if kind is None:
        return None
    known = IMAGE_PROCESSOR_MAPPING_NAMES[kind]
    backends = ("torchvision", "pil") if is_torchvision_available() else ("pil", "torchvision")
    names = [known[b] for b in backends if known.get(b)] if isinstance(known, dict) else [n for n in known if n]
    config = unwrap(model)[0].config
    if "TimmWrapperImageProcessor" in names:
        from transformers import TimmWrapperImageProcessor

        pretrained_cfg = stated(config, "pretrained_cfg") or {}
        return TimmWrapperImageProcessor(pretrained_cfg=pretrained_cfg, architecture=stated(config, "architecture"))
    try:
        processor_class = _class(names[0], kind)
        default = processor_class()
        if getattr(default, "clusters", 0) is None:  # ImageGPT's palette was learned: only a folder has it
            return None
        given = _stated_sizes(default, config)
        for crops in ("do_image_splitting", "crop_to_patches"):
            if getattr(default, crops, None) and "input_ids" not in accepted(model):
                given[crops] = False  # crops are for the language model behind the tower
        return processor_class(**given)
    except ImportError as error:
        raise RuntimeError(missing_library(model, error)) from error


def default_feature_extractor(model: nn.Module) -> Any | None:
    """The audio feature extractor class of the model's type, with as many mel bins as the configuration states."""
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    kind = next((t for t in model_types(model) if t in FEATURE_EXTRACTOR_MAPPING_NAMES), None)
    if kind is None:
        return None
    config = unwrap(model)[0].config
    bins = stated(config, "num_mel_bins", "input_feat_per_channel", "feat_dim")
    longest = stated(config, "max_length") if kind == "audio-spectrogram-transformer" else None
    extractor_class = _class(EXTRACTORS.get(kind, FEATURE_EXTRACTOR_MAPPING_NAMES[kind]), kind)
    try:
        takes = inspect.signature(extractor_class.__init__).parameters
        default = extractor_class()
        given: dict[str, Any] = {}
        for name in ("num_mel_bins", "feature_size"):  # of a waveform, feature_size counts the channels
            if bins and name in takes and getattr(default, name, 1) > 1:
                given[name] = bins
        if longest:
            given["max_length"] = longest
        return extractor_class(**given)
    except ImportError as error:
        raise RuntimeError(missing_library(model, error)) from error


def stated(config: Any, *names: str) -> Any | None:
    """The first of `names` that a configuration states, or else the configurations inside it, outer ones first."""
    level = [config]
    while level:
        for part in level:
            for name in names:
                value = getattr(part, name, None)
                if value is not None:
                    return value
        level = [value for part in level for value in vars(part).values() if hasattr(value, "model_type")]
    return None


def image_size(config: Any) -> tuple[int, int] | None:
    """(height, width) of the images that a configuration states, its vision part first; None where it states none."""
    vision = getattr(config, "vision_config", None) or getattr(config, "encoder", None) or config
    size = getattr(vision, "image_size", None) or getattr(config, "image_size", None)
    if isinstance(size, Mapping):
        size = (size["height"], size["width"])
    if not size:
        return None
    return (int(size), int(size)) if isinstance(size, int | float) else (int(size[-2]), int(size[-1]))


def model_types(model: nn.Module) -> Iterator[str]:
    """The model's type, then those of its package (`clip` for a `clip_vision_model`), then those of its parts."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES, model_type_to_module_name

    inner, _ = unwrap(model)
    config = inner.config
    yield config.model_type
    parts = type(config).__module__.split(".")
    if parts[:2] == ["transformers", "models"]:
        package = parts[2]
        yield package.replace("_", "-")
        yield package
        yield from (t for t in CONFIG_MAPPING_NAMES if model_type_to_module_name(t) == package)
    for value in vars(config).values():
        if hasattr(value, "model_type") and value is not config:
            yield value.model_type


def _stated_sizes(default: Any, config: Any) -> dict[str, Any]:
    """What an image processor must be given besides its defaults, for the size and channels of a configuration."""
    given: dict[str, Any] = {}
    vision = getattr(config, "vision_config", None) or config
    for name, own in PATCHES:
        if isinstance(getattr(default, name, None), int) and isinstance(getattr(vision, own, None), int):
            given[name] = getattr(vision, own)
    if "patch_size" in given and "temporal_patch_size" not in given and hasattr(default, "temporal_patch_size"):
        given["temporal_patch_size"] = 1  # a model that does not state it takes patches of images, not of videos
    if getattr(default, "apply_ocr", None):
        given["apply_ocr"] = False  # reading the words of a document is not the model's part
    wanted = image_size(config)
    windowed = _window_size(getattr(config, "backbone_config", None))
    if windowed is not None:
        given["size"] = {"height": windowed, "width": windowed}
    elif wanted is not None:
        height, width = wanted
        size, crop = dict(getattr(default, "size", None) or {}), dict(getattr(default, "crop_size", None) or {})
        scale = 1.0  # an image is resized to somewhat more than what is then cropped out of it
        if getattr(default, "do_center_crop", False) and crop.get("height"):
            given["crop_size"] = {"height": int(height), "width": int(width)}
            scale = max(size.get("shortest_edge", 0), size.get("height", 0)) / crop["height"]
        tiles = getattr(default, "max_image_size", None)
        tile = tiles.get("longest_edge") if isinstance(tiles, Mapping) else None
        if tile:  # Idefics 3 cuts images to tiles of the size that its tower states
            side = max(height, width)
            given["max_image_size"] = {"longest_edge": side}
            if size.get("longest_edge"):
                given["size"] = {"longest_edge": size["longest_edge"] // tile * side}
        elif "height" in size:
            given["size"] = {"height": int(height * scale), "width": int(width * scale)}
        elif set(size) == {"shortest_edge"}:
            given["size"] = {"shortest_edge": int(max(height, width) * scale)}
    if stated(vision, "num_channels") == 1:
        given["do_convert_rgb"] = False
        for name in ("image_mean", "image_std"):
            values = getattr(default, name, None)
            if isinstance(values, Sequence):
                given[name] = [sum(values) / len(values)]
    return given


def _window_size(backbone: Any) -> int | None:
    """The side of the square images of a backbone that cuts its patches to windows (LW-DETR, RF-DETR), rounded up."""
    windows = getattr(backbone, "num_windows_side", None) or getattr(backbone, "num_windows", None)
    stated = image_size(backbone) if isinstance(windows, int) else None
    if stated is None or not isinstance(windows, int):
        return None
    step = int(backbone.patch_size) * windows
    return -(-max(stated) // step) * step


def _class(name: str, model_type: str) -> Any:
    """A processor class by name; importing it may raise ImportError, which names the library that is missing."""
    import transformers
    from transformers.models.auto.configuration_auto import model_type_to_module_name

    found = getattr(transformers, name, None)
    if found is None:
        found = getattr(importlib.import_module(f"transformers.models.{model_type_to_module_name(model_type)}"), name)
    return found


def missing_library(model: nn.Module, error: ImportError) -> str:
    said = str(error).strip().splitlines()[0]
    hint = " (pip install torchvision)" if "torchvision" in said else ""
    return f"{type(unwrap(model)[0]).__name__} needs another library to prepare its inputs: {said}{hint}"
