"""Every architecture of timm: its layers against timm's own counts and against a forward pass on the meta device.

A plain run takes a sample with one architecture of every model file; `pytest -m sweep -s` takes all of them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from cka_plugin.adapters.base import Layer
from cka_plugin.adapters.timm.adapter import TimmAdapter

timm = pytest.importorskip("timm")

ADAPTER = TimmAdapter()
NAMES = re.compile(r"(stem|embed|stages\.\d+(\.blocks\.\d+)?|blocks\.\d+|norm|head)$")
# Quicker to build than the first of their file by name, or more awkward.
SAMPLE = {
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_mini",
    "davit": "davit_tiny",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1_dist",
    "fastvit": "fastvit_t12",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "hiera": "hiera_tiny_224",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_l_distilled",
    "mambaout": "test_mambaout",
    "maxxvit": "test_maxvit",
    "metaformer": "poolformer_s12",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mvitv2": "mvitv2_tiny",
    "nest": "nest_tiny_jx",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "res2net": "res2net50_48w_2s",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "starnet": "starnet_s050",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_ns_224",
    "twins": "twins_pcpvt_small",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_384",
    "xcit": "xcit_nano_12_p16_224",
}


@dataclass(frozen=True)
class Examined:
    """One architecture: its blocks as mapped (a number a stage), how they were found, and what is not as promised."""

    family: str
    architecture: str
    blocks: tuple[int, ...]
    isotropic: bool
    how: str
    problems: tuple[str, ...]


def examine(architecture: str, family: str) -> Examined:
    """Build an architecture on the meta device, map it and check the map."""
    torch.set_num_threads(1)
    with torch.device("meta"):
        model = timm.create_model(architecture, pretrained=False).eval()
    try:
        blocks, stages = ADAPTER.layers(model, "block"), ADAPTER.layers(model, "stage")
        how = re.search(r"read from (.*?)(?:, \w+ is |$)", ADAPTER.describe(model))
    except ValueError as error:
        return Examined(family, architecture, (), False, "", (str(error),))
    per_stage = mapped_count(blocks)
    problems = [
        *list_problems(model, blocks),
        *list_problems(model, stages),
        *count_problems(model, blocks, per_stage),
        *firing_problems(model, blocks, stages),
        *input_problems(architecture, model),
    ]
    isotropic = any(layer.name.startswith("blocks.") for layer in blocks)
    return Examined(family, architecture, tuple(per_stage), isotropic, how[1] if how else "", tuple(problems))


def mapped_count(layers: Sequence[Layer]) -> list[int]:
    """Blocks of each stage in a layer list (one entry where there are no stages)."""
    numbers = Counter(layer.name.rpartition(".blocks.")[0] for layer in layers if layer.kind == "block")
    return list(numbers.values())


def list_problems(model: nn.Module, layers: Sequence[Layer]) -> list[str]:
    """What is wrong with a layer list as such: names, numbering, paths, depths, the head."""
    names = [layer.name for layer in layers]
    problems = [f"{name} is no common name" for name in names if not NAMES.match(name)]
    problems += [f"{name} is there twice" for name, n in Counter(names).items() if n > 1]
    modules = dict(model.named_modules())
    problems += [f"{layer.path} is no module" for layer in layers if layer.path not in modules]
    numbered: dict[str, int] = {}
    for name in names:
        prefix, _, number = name.rpartition(".")
        if number.isdigit():
            if int(number) != numbered.get(prefix, 0):
                problems.append(f"{name} follows {prefix}.{numbered.get(prefix, 0) - 1}")
            numbered[prefix] = numbered.get(prefix, 0) + 1
    depths = [layer.depth for layer in layers]
    if depths != sorted(depths) or depths[0] != 0.0 or depths[-1] != 1.0:
        problems.append(f"depths {depths}")
    if (names[-1] == "head") != (model.num_classes > 0):
        problems.append(f"{model.num_classes} classes, and the last layer is {names[-1]}")
    return problems


def count_problems(model: nn.Module, layers: Sequence[Layer], per_stage: Sequence[int]) -> list[str]:
    """Where the blocks are not those that timm counts itself."""
    problems = []
    if list(per_stage) != own_count(model):
        problems.append(f"{list(per_stage)} blocks, timm has {own_count(model)}")
    marks = {entry["module"] for entry in feature_info(model)}
    by_stage: dict[str, list[str]] = {}
    for layer in layers:
        if layer.kind == "block":
            by_stage.setdefault(layer.name.rpartition(".blocks.")[0], []).append(layer.path)
    if "" in by_stage:  # isotropic: feature_info has every block but those of class attention
        extra = sum(len(getattr(model, name, ())) for name in ("blocks_token_only", "cls_attn_blocks"))
        if len(marks) != len(by_stage[""]) - extra:
            problems.append(f"{len(by_stage[''])} blocks, {len(marks)} in feature_info")
    else:  # it marks where the resolution falls, which is never amid a stage
        amid = [path for paths in by_stage.values() for path in paths[1:-1]]
        problems += [
            f"{mark} of feature_info lies amid a stage"
            for mark in marks
            if any(f"{mark}.".startswith(f"{p}.") for p in amid)
        ]
    return problems


def firing_problems(model: nn.Module, blocks: Sequence[Layer], stages: Sequence[Layer]) -> list[str]:
    """Where a forward pass on the meta device does not fire each layer once, in the listed order, the head last."""
    fired: list[str] = []
    shapes: dict[str, tuple[int, ...]] = {}

    def hook(path: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            fired.append(path)
            shapes[path] = tuple(output.shape) if isinstance(output, torch.Tensor) else ()

        return note

    paths = {layer.path for layer in [*blocks, *stages]}
    handles = [model.get_submodule(path).register_forward_hook(hook(path)) for path in paths]
    with torch.inference_mode(), torch.device("meta"):
        output = model(torch.empty(2, *model.pretrained_cfg["input_size"]))
    for handle in handles:
        handle.remove()
    problems = []
    for what, layers in (("block", blocks), ("stage", stages)):
        listed = [layer.path for layer in layers]
        seen = [path for path in fired if path in set(listed)]
        if seen != listed:
            often, never = Counter(seen) - Counter(listed), Counter(listed) - Counter(seen)
            wrong = next((path for path, place in zip(seen, listed, strict=False) if path != place), None)
            problems.append(f"{what}s: {list(often)} fire too often, {list(never)} never; out of order from {wrong}")
    head = blocks[-1]
    if head.kind == "head" and shapes[head.path][:2] != tuple(output.shape):
        problems.append(f"the head gives {shapes[head.path]}, the model {tuple(output.shape)}")
    return problems


# timm 1.0.31 gives it the configuration of vitamin_xlarge_256 by mistake; it takes what its name says.
SIZE_BY_HAND = {"vitamin_xlarge_336": (3, 336, 336)}


def input_problems(architecture: str, model: nn.Module) -> list[str]:
    """Where an image is not prepared to the size and channels of the model's own configuration."""
    preparation = ADAPTER.preparation(model)
    if preparation is None:
        return ["no preparation of images"]
    prepared = tuple(preparation.collate([Image.new("RGB", (10, 8))]).shape[1:])
    wanted = SIZE_BY_HAND.get(architecture, tuple(model.pretrained_cfg["input_size"]))
    return [] if prepared == wanted else [f"images are prepared to {prepared}, and the model takes {wanted}"]


# How timm itself counts: by the lengths of its containers, not by its group_matcher, which the adapter reads ----------


def own_count(model: Any) -> list[int]:
    """Blocks of each stage (one entry where there are no stages), from the lengths of timm's own containers."""
    by_hand = COUNTED_BY_HAND.get(type(model).__name__)
    if by_hand is not None:
        return by_hand(model)
    for attribute in ("stages", "layers", "levels", "transformers"):
        if hasattr(model, attribute):
            return [stage_length(stage) for stage in getattr(model, attribute)]
    holder = model if hasattr(model, "blocks") else getattr(model, "encoder", None)
    if hasattr(holder, "blocks"):
        stages = all(type(stage) in (nn.Sequential, nn.ModuleList) for stage in holder.blocks)
        falls = len({entry["reduction"] for entry in feature_info(model)}) > 1
        return [len(stage) for stage in holder.blocks] if stages and falls else [len(holder.blocks)]
    for attribute in ("layer{}", "s{}", "stage{}"):
        if hasattr(model, attribute.format(1)):
            return [stage_length(stage) for stage in named(model, attribute.format(r"[1-9]"))]
    raise LookupError(f"no way to count the blocks of {type(model).__name__}")


def stage_length(stage: Any) -> int:
    for attribute in ("blocks", "transformer_encoder"):
        if hasattr(stage, attribute):
            return len(getattr(stage, attribute))
    return len(list(stage.children()))


def feature_info(model: Any) -> list[dict[str, Any]]:
    return list(getattr(model.feature_info, "info", model.feature_info))


def of_class(parent: nn.Module, classes: str) -> list[Any]:
    return [child for child in parent.children() if re.fullmatch(classes, type(child).__name__)]


def named(parent: nn.Module, pattern: str) -> list[Any]:
    return [child for name, child in parent.named_children() if re.fullmatch(pattern, name)]


def up_to(ends: Iterable[int], first: int = 0) -> list[int]:
    """Stage lengths from the index of the last block of every stage."""
    return [b - a for a, b in pairwise([first - 1, *ends]) if b > a]


def runs(starts: Iterable[bool]) -> list[int]:
    """Stage lengths from whether each block begins a stage, the first one always."""
    lengths: list[int] = []
    for position, start in enumerate(starts):
        if start or not position:
            lengths.append(0)
        lengths[-1] += 1
    return lengths


def halves(block: nn.Module) -> bool:
    """Whether a block falls to half the resolution."""
    return any(getattr(module, "stride", 1) in (2, (2, 2)) for module in block.modules())


def vgg_count(model: Any) -> list[int]:
    lengths = [0]
    for layer in model.features:
        lengths[-1] += isinstance(layer, nn.Conv2d)
        lengths += [0] if isinstance(layer, nn.MaxPool2d) else []
    return [length for length in lengths if length]


def nasnet_count(model: Any) -> list[int]:
    kinds = [type(child).__name__ for child in model.children()]
    cells = "".join(
        {"FirstCell": "c", "NormalCell": "c", "ReductionCell0": "|", "ReductionCell1": "|"}.get(k, "") for k in kinds
    )
    return [len(stage) for stage in cells.split("|")]


def selecsls_count(model: Any) -> list[int]:
    ends: dict[str, list[int]] = {"features": [], "head": []}
    for entry in feature_info(model):
        part, _, number = entry["module"].partition(".")
        if part in ends:
            ends[part].append(int(number))
    return up_to(ends["features"]) + up_to(ends["head"])


def volo_count(model: Any) -> list[int]:
    lengths = [len(stage) for stage in model.network if isinstance(stage, nn.Sequential)]
    return [*lengths[:-1], lengths[-1] + len(model.post_network or ())]


COUNTED_BY_HAND: dict[str, Callable[[Any], list[int]]] = {
    "Cait": lambda m: [len(m.blocks) + len(m.blocks_token_only)],
    "CoaT": lambda m: (
        [len(getattr(m, f"serial_blocks{i}")) for i in (1, 2, 3)]
        + [len(m.serial_blocks4) + len(m.parallel_blocks or ())]
    ),
    "CrossVit": lambda m: [len(m.blocks)],
    "CSATv2": lambda m: [len(of_class(stage, "Block|TransformerBlock")) for stage in m.stages],
    "CspNext": lambda m: [sum(len(part.blocks) for part in of_class(stage, "CspNextLayer")) for stage in m.stages],
    "DenseNet": lambda m: [len(block) for block in of_class(m.features, "DenseBlock")],
    "DLA": lambda m: [len(m.level0) // 3, len(m.level1) // 3, *(2**tree.levels for tree in of_class(m, "DlaTree"))],
    "DPN": lambda m: [len(named(m.features, rf"conv{i}_\d+")) for i in range(2, 6)],
    "EfficientFormer": lambda m: [len(of_class(stage.blocks, "MetaBlock[12]d")) for stage in m.stages],
    "Hiera": lambda m: up_to(m.stage_ends),
    "HieraDet": lambda m: up_to(m.stage_ends),
    "HighResolutionNet": lambda m: [len(stage) for stage in (m.layer1, m.stage2, m.stage3, m.stage4)],
    "InceptionResnetV2": lambda m: [1 + len(m.repeat), 1 + len(m.repeat_1), 1 + len(m.repeat_2) + 1],
    "InceptionV3": lambda m: [len(named(m, rf"Mixed_{i}\w")) for i in (5, 6, 7)],
    "InceptionV4": lambda m: up_to(m.stage_ends[1:], first=3),  # three convolutions are the stem
    "NASNetALarge": nasnet_count,
    "PNASNet5Large": lambda m: runs(halves(cell.comb_iter_0_right) for cell in named(m, r"cell_\d+")),
    "RDNet": lambda m: [len(stage[-1]) for stage in m.dense_stages],
    "RexNet": lambda m: up_to(m.stage_ends),
    "SelecSls": selecsls_count,
    "StarNet": lambda m: [len(of_class(stage, "Block")) for stage in m.stages],
    "TResNet": lambda m: [len(stage) for stage in named(m.body, r"layer\d")],
    "VGG": vgg_count,
    "VOLO": volo_count,
    "Xcit": lambda m: [len(m.blocks) + len(m.cls_attn_blocks)],
    "Xception": lambda m: runs(block.skip is not None and halves(block) for block in named(m, r"block\d+")),
    "XceptionAligned": lambda m: runs(halves(block) for block in m.blocks),
}


# The tests ------------------------------------------------------------------------------------------------------------


def sampled(family: str) -> str:
    return SAMPLE.get(family, timm.list_models(module=family)[0])


@pytest.mark.parametrize("family", timm.models.list_modules())
def test_one_architecture_of_every_model_file_is_mapped_as_timm_counts_and_fires(family: str) -> None:
    assert examine(sampled(family), family).problems == ()


def examine_all(families: Iterable[str] | None = None, processes: int | None = None) -> list[Examined]:
    """Examine every architecture of some model files (of all), in several processes."""
    jobs = [
        (name, family) for family in families or timm.models.list_modules() for name in timm.list_models(module=family)
    ]
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(examine, *zip(*jobs, strict=True), chunksize=8))


def report(examined: Sequence[Examined]) -> str:
    """`N of M mapped right`, and what is not, with its reason."""
    wrong = [one for one in examined if one.problems]
    lines = [f"{len(examined) - len(wrong)} of {len(examined)} mapped right"]
    return "\n".join(lines + [f"  {one.architecture} ({one.family}): {'; '.join(one.problems)}" for one in wrong])


@pytest.mark.sweep
def test_every_architecture_is_mapped_as_timm_counts_and_fires() -> None:
    examined = examine_all()
    print("\n" + report(examined))
    assert not [one.architecture for one in examined if one.problems], report(examined)


def timm_rows(examined: Sequence[Examined] | None = None) -> list[tuple[str, str, str, str]]:
    """The rows of COVERAGE.md for timm: family (model file), architectures, blocks, how they were mapped."""
    by_family: dict[str, list[Examined]] = {}
    for one in examined if examined is not None else examine_all():
        by_family.setdefault(one.family, []).append(one)
    rows = []
    for family, members in sorted(by_family.items()):
        right = [one for one in members if not one.problems]
        totals = [sum(one.blocks) for one in right]
        blocks = "-" if not totals else str(totals[0]) if len(set(totals)) == 1 else f"{min(totals)} to {max(totals)}"
        stages = sorted({len(one.blocks) for one in right if not one.isotropic})
        if stages:
            blocks += f" in {' or '.join(map(str, stages))} stages"
        how = "; ".join(sorted({one.how for one in right}))
        wrong = "".join(f"; {one.architecture}: {one.problems[0]}" for one in members if one.problems)
        rows.append((family, str(len(members)), blocks, how + wrong))
    return rows
