"""Where each family of torchvision keeps its blocks: the class of a model tells it, as the model itself says little."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from torch import nn

from cka_plugin.adapters.layout import Layout


def _resnet(model: nn.Module) -> Layout:
    return Layout("maxpool", _stages(model, [f"layer{i}" for i in range(1, 5)]), head="fc")


def _video_resnet(model: nn.Module) -> Layout:
    return Layout("stem", _stages(model, [f"layer{i}" for i in range(1, 5)]), head="fc")


def _regnet(model: nn.Module) -> Layout:
    return Layout("stem", _stages(model, _children(model, "trunk_output")), head="fc")


def _shufflenet(model: nn.Module) -> Layout:
    return Layout("maxpool", _stages(model, ["stage2", "stage3", "stage4"]), head="fc")


def _efficientnet(model: nn.Module) -> Layout:
    return Layout("features.0", _stages(model, _lists_of_blocks(model, "features")), head="classifier")


def _convnext(model: nn.Module) -> Layout:
    stages = _stages(model, _lists_of_blocks(model, "features"))
    return Layout("features.0", stages, norm="classifier.0", head="classifier")


def _swin(model: nn.Module) -> Layout:
    return Layout("features.0", _stages(model, _lists_of_blocks(model, "features")), norm="norm", head="head")


def _swin3d(model: nn.Module) -> Layout:
    return Layout("pos_drop", _stages(model, _lists_of_blocks(model, "features")), norm="norm", head="head")


def _densenet(model: nn.Module) -> Layout:
    dense = [path for path in _children(model, "features") if path.startswith("features.denseblock")]
    return Layout("features.pool0", _stages(model, dense), norm="features.norm5", head="classifier")


def _maxvit(model: nn.Module) -> Layout:
    stages = [(stage, _children(model, f"{stage}.layers")) for stage in _children(model, "blocks")]
    return Layout("stem", stages, norm="classifier.2", head="classifier")


def _mobilenet(model: nn.Module) -> Layout:
    return replace(_mobilenet_trunk(model, "features"), head="classifier")


def _mobilenet_trunk(model: nn.Module, path: str) -> Layout:
    """A block without a shortcut begins a stage. In V3 the last convolution is a stage of its own, as in its paper."""
    children = _children(model, path)
    blocks = _of_class(model, path, "InvertedResidual")
    stages = _split(blocks, lambda block: not model.get_submodule(block).use_res_connect)
    if model.get_submodule(blocks[0]).__class__.__module__.endswith("mobilenetv3"):
        stages.append((None, [children[-1]]))
    return Layout(children[0], stages)


def _mnasnet(model: nn.Module) -> Layout:
    """The first block, a separable convolution, stands open among the layers."""
    stages: list[tuple[str | None, list[str]]] = [(None, ["layers.7"])]
    stages += _stages(model, [path for path in _children(model, "layers") if _children(model, path)])
    return Layout("layers.2", stages, head="classifier")


def _squeezenet(model: nn.Module) -> Layout:
    stem, stages = _between_pools(model, "features", lambda module: type(module).__name__ == "Fire")
    return Layout(stem, stages, head="classifier")


def _s3d(model: nn.Module) -> Layout:
    stem, stages = _between_pools(model, "features", lambda module: type(module).__name__ == "SepInceptionBlock3D")
    return Layout(stem, stages, head="classifier")


def _plain(model: nn.Module) -> Layout:
    """Each convolution with the norm and activation that follow it is a block; its output is the last one's."""
    stages: list[tuple[str | None, list[str]]] = [(None, [])]
    for path in _children(model, "features"):
        module = model.get_submodule(path)
        if isinstance(module, nn.Conv2d):
            stages[-1][1].append(path)
        elif isinstance(module, nn.MaxPool2d):
            stages.append((None, []))
        else:
            stages[-1][1][-1] = path
    return Layout(None, stages, head="classifier")


def _inception(model: nn.Module) -> Layout:
    """GoogLeNet's `inception3a`, Inception's `Mixed_5b`: the number is that of the map's size."""
    blocks = [path for path in _children(model, "") if re.match(r"(inception|Mixed_)\d", path)]
    numbers = {path: re.sub(r"\D", "", path) for path in blocks}
    first = {numbers[path]: path for path in reversed(blocks)}
    return Layout("maxpool2", _split(blocks, lambda block: block in first.values()), head="fc")


def _vit(model: nn.Module) -> Layout:
    blocks = _children(model, "encoder.layers")
    return Layout("encoder.dropout", [(None, blocks)], norm="encoder.ln", head="heads", isotropic=True)


def _mvit(model: nn.Module) -> Layout:
    """A block that pools its queries begins a stage."""
    stages = _split(_children(model, "blocks"), lambda block: model.get_submodule(block).pool_skip is not None)
    return Layout("pos_encoding", stages, norm="norm", head="head")


def _segmentation(model: nn.Module) -> Layout:
    return replace(_trunk(model, "backbone"), head="classifier")


def _detection(model: nn.Module) -> Layout:
    """The trunk alone: what is above it has as many rows as there are proposals, not as there are images."""
    return _trunk(model, "backbone.body")


def _trunk(model: nn.Module, path: str) -> Layout:
    """A ResNet or MobileNet without its head, inside another model."""
    if "layer1" not in dict(model.get_submodule(path).named_children()):
        return _mobilenet_trunk(model, path)
    return Layout(f"{path}.maxpool", _stages(model, [f"{path}.layer{i}" for i in range(1, 5)]))


# Parts of a model


def _children(model: nn.Module, path: str) -> list[str]:
    return [f"{path}.{name}" if path else name for name, _ in model.get_submodule(path).named_children()]


def _stages(model: nn.Module, paths: Iterable[str]) -> list[tuple[str | None, list[str]]]:
    """Stages whose modules hold their blocks, and nothing else."""
    return [(path, _children(model, path)) for path in paths if path.rpartition(".")[2] in _names(model, path)]


def _names(model: nn.Module, path: str) -> set[str]:
    return {name for name, _ in model.get_submodule(path.rpartition(".")[0]).named_children()}


def _of_class(model: nn.Module, path: str, *classes: str) -> list[str]:
    """The children at `path` of one of the classes, or derived from one."""
    wanted = set(classes)
    found = _children(model, path)
    return [child for child in found if wanted & {cls.__name__ for cls in type(model.get_submodule(child)).__mro__}]


def _split(blocks: Sequence[str], begins: Callable[[str], bool]) -> list[tuple[str | None, list[str]]]:
    """A run of blocks, cut before each block that begins a stage."""
    stages: list[tuple[str | None, list[str]]] = []
    for block in blocks:
        if not stages or begins(block):
            stages.append((None, []))
        stages[-1][1].append(block)
    return stages


def _between_pools(
    model: nn.Module, path: str, is_block: Callable[[nn.Module], bool]
) -> tuple[str | None, list[tuple[str | None, list[str]]]]:
    """What stands before the first block among the children at `path`, and the blocks, cut where maps are pooled."""
    stem: str | None = None
    stages: list[tuple[str | None, list[str]]] = [(None, [])]
    for child in _children(model, path):
        module = model.get_submodule(child)
        if is_block(module):
            stages[-1][1].append(child)
        elif stages == [(None, [])]:
            stem = child
        elif isinstance(module, nn.MaxPool2d | nn.MaxPool3d):
            stages.append((None, []))
    return stem, stages


def _lists_of_blocks(model: nn.Module, path: str) -> list[str]:
    """The plain `Sequential`s at `path` that hold modules made of modules; those of single layers are downsampling."""
    return [
        child
        for child in _children(model, path)
        if type(model.get_submodule(child)) is nn.Sequential
        and all(any(True for _ in block.children()) for block in model.get_submodule(child).children())
    ]


FAMILIES: dict[str, Callable[[nn.Module], Layout]] = {
    "AlexNet": _plain,
    "ConvNeXt": _convnext,
    "DenseNet": _densenet,
    "EfficientNet": _efficientnet,
    "FCOS": _detection,
    "GeneralizedRCNN": _detection,
    "GoogLeNet": _inception,
    "Inception3": _inception,
    "LRASPP": _segmentation,
    "MNASNet": _mnasnet,
    "MViT": _mvit,
    "MaxVit": _maxvit,
    "MobileNetV2": _mobilenet,
    "MobileNetV3": _mobilenet,
    "RegNet": _regnet,
    "ResNet": _resnet,
    "RetinaNet": _detection,
    "S3D": _s3d,
    "ShuffleNetV2": _shufflenet,
    "SqueezeNet": _squeezenet,
    "SwinTransformer": _swin,
    "SwinTransformer3d": _swin3d,
    "VGG": _plain,
    "VideoResNet": _video_resnet,
    "VisionTransformer": _vit,
    "_SimpleSegmentationModel": _segmentation,
}
NO_ORDER = {
    "RAFT": "it encodes two images and updates its estimate of the flow again and again",
    "SSD": "its detector cuts the backbone into pieces",
}

__all__ = ["FAMILIES", "NO_ORDER"]
