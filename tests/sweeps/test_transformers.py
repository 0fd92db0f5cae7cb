"""Every model type of transformers: its layers against transformers' own counts and a forward pass on the meta device.

A plain run takes a sample with one type of every kind of architecture; `pytest -m sweep -s` takes all types.
"""

from __future__ import annotations

import os
import re
import signal
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import pytest
import torch
from torch import nn

from cka_plugin.adapters import layers
from cka_plugin.adapters.base import Layer, tower
from cka_plugin.adapters.transformers.layers import towers_of
from tests.support.tiny_transformers import tiny
from tests.support.transformers_firing import evidence
from tests.support.transformers_types import UNBUILT, all_types, build, classes_of

pytest.importorskip("transformers")

NAMES = re.compile(r"(([A-Za-z][A-Za-z0-9_]*\.)*)(stem|embed|norm|head|blocks\.\d+|stages\.\d+(\.blocks\.\d+)?)")
TASK = re.compile(r"For(CausalLM|ConditionalGeneration|MaskedLM|CTC|\w*Classification)")
SECONDS = 120
PARAMETERS = 60_000_000  # of a small model


@dataclass(frozen=True)
class Examined:
    """One type: the class that was built, its blocks tower by tower, how they were found, what is not as promised."""

    model_type: str
    class_name: str
    blocks: tuple[str, ...]
    how: str
    problems: tuple[str, ...]
    unseen: str = ""

    @property
    def built(self) -> bool:
        return not any(problem.startswith("cannot be built") for problem in self.problems)


def examine(model_type: str) -> Examined:
    """Build the bare model of a type and one with a task on the meta device, map them and check the maps."""
    torch.set_num_threads(1)
    try:
        with within(SECONDS):
            return _examined(model_type)
    except Slow:
        return Examined(model_type, "", (), "", (f"took more than {SECONDS} s",))


def _examined(model_type: str) -> Examined:
    try:
        model = build(model_type)
    except Exception as error:  # a default configuration may fail in any way
        said = str(error).strip().splitlines() or [""]
        return Examined(model_type, "", (), "", (f"cannot be built: {type(error).__name__}: {said[0]}",))
    name = type(model).__name__
    try:
        blocks, stages = layers(model, "block"), layers(model, "stage")
    except ValueError as error:
        offers = 'granularity="module"' in str(error) and bool(layers(model, "module"))
        why = NO_BLOCKS.get(model_type, "it has blocks")
        return Examined(
            model_type, name, (), f"no blocks: {why}", () if offers and model_type in NO_BLOCKS else (str(error),)
        )
    seen = evidence(model, blocks)
    unseen = [layer.name for layer in blocks if layer.path not in seen.fired]
    if unseen:  # what branches on its values needs some
        in_small = fired_in_small(model_type, name)
        unseen = [name for name in unseen if re.sub(r"\d+", "", name) not in in_small]
    problems = [
        *list_problems(model, blocks),
        *list_problems(model, stages),
        *module_problems(model),
        *count_problems(model, model_type),
        *task_problems(model_type, model, blocks),
        *seen.problems,
    ]
    said = "; ".join(dict.fromkeys(f"{path or 'model'}: {why}" for path, why in seen.errors.items()))
    found = towers_of(model)
    return Examined(
        model_type,
        name,
        tuple(f"{t.label + ' ' if t.label else ''}{'+'.join(str(len(stage)) for stage in t.stages)}" for t in found),
        "; ".join(dict.fromkeys(t.said_by for t in found)),
        tuple(problems),
        f"{len(unseen)} of {len(blocks)} layers ({', '.join(unseen[:3])}) not seen to fire: {said}" if unseen else "",
    )


def fired_in_small(model_type: str, class_name: str) -> set[str]:
    """The names, without their numbers, that fire in order in a small model of the type with random weights."""
    import transformers

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            config = tiny(transformers.CONFIG_MAPPING[model_type])
            with torch.device("meta"):
                size = sum(p.numel() for p in getattr(transformers, class_name)(config).parameters())
            if size > PARAMETERS:
                return set()
            model = getattr(transformers, class_name)(config).eval()
        found = layers(model)
    except Exception:  # the cuts do not fit one another
        return set()
    seen = evidence(model, found)
    return set() if seen.problems else {re.sub(r"\d+", "", x.name) for x in found if x.path in seen.fired}


def list_problems(model: nn.Module, found: Sequence[Layer]) -> list[str]:
    """What is wrong with a layer list as such: names, numbering, paths, depths."""
    names = [layer.name for layer in found]
    problems = [f"{name} is no common name" for name in names if not NAMES.fullmatch(name)]
    problems += [f"{name} is there twice" for name, n in Counter(names).items() if n > 1]
    problems += [f"{path} is there twice" for path, n in Counter(layer.path for layer in found).items() if n > 1]
    modules = dict(model.named_modules())
    problems += [f"{layer.path} is no module" for layer in found if layer.path not in modules]
    numbered: dict[str, int] = {}
    for name in names:
        prefix, _, number = name.rpartition(".")
        if number.isdigit():
            if int(number) != numbered.get(prefix, 0):
                problems.append(f"{name} follows {prefix}.{numbered.get(prefix, 0) - 1}")
            numbered[prefix] = numbered.get(prefix, 0) + 1
    for side in dict.fromkeys(map(tower, names)):
        depths = [layer.depth for layer in found if tower(layer.name) == side]
        if any(b < a for a, b in pairwise(depths)) or (len(depths) > 1 and side and (depths[0], depths[-1]) != (0, 1)):
            problems.append(f"depths of {side or 'the trunk'}: {depths}")
    return problems


def module_problems(model: nn.Module) -> list[str]:
    """What is wrong at `module` granularity."""
    found = layers(model, "module")
    modules = dict(model.named_modules())
    problems = [f"{layer.path} is no module" for layer in found if layer.path not in modules]
    twice = [name for name, n in Counter(layer.name for layer in found).items() if n > 1]
    return problems + [f"{name} is there twice among the leaves" for name in twice]


def count_problems(model: nn.Module, model_type: str) -> list[str]:
    """Where the blocks are not those that transformers counts itself, by its records, its configuration or, by hand."""
    recorded = recorded_paths(model)
    problems = []
    by_hand = COUNTED_BY_HAND.get(model_type)
    for run in towers_of(model):
        if run.said_by == "timm":
            continue  # which the sweep over timm checks
        lengths = [len(stage) for stage in run.stages]
        inside = [p for p in run.blocks if any(p == r or p.startswith(f"{r}.") for r in recorded)]
        held = [r for r in recorded if any(r.startswith(f"{p}.") for p in run.blocks)]
        by_record = len(inside) == len(run.blocks) or (held and len(inside) + len(held) >= len(run.blocks))
        if not (by_record or lengths in stated_counts(model, run.blocks[0]) or lengths in (by_hand or [])):
            problems.append(f"{lengths} blocks in {run.container}: counted nowhere")
    mapped = [path for run in towers_of(model) for path in run.blocks]
    left = [
        r for r in recorded if not any(_related(r, path) for path in [*mapped, *LEFT_OUT.get(model_type, "").split()])
    ]
    return problems + ([f"recorded, but no blocks: {', '.join(left[:4])}"] if left else [])


def _related(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def recorded_paths(model: nn.Module) -> list[str]:
    """Where transformers itself hooks in for `output_hidden_states`."""
    from transformers.utils.output_capturing import install_all_output_capturing_hooks

    before = {path: set(module._forward_hooks) for path, module in model.named_modules()}
    install_all_output_capturing_hooks(model)
    found = []
    for path, module in model.named_modules():
        for key in [key for key in module._forward_hooks if key not in before[path]]:
            cells = getattr(module._forward_hooks[key], "__closure__", None) or ()
            if any(cell.cell_contents == "hidden_states" for cell in cells):
                found.append(path)
            del module._forward_hooks[key]
    return found


def stated_counts(model: nn.Module, block: str) -> list[list[int]]:
    """The numbers of layers, a number a stage, in the configurations of the models around a block."""
    found: list[list[int]] = []
    for path in ["", *(block[:i] for i, c in enumerate(block) if c == ".")]:
        found += [count for config in configs(model.get_submodule(path)) for count in counts_in(config)]
    return found


def counts_in(config: Any) -> Iterator[list[int]]:
    for name in dir(config):
        if re.search(r"layer|depth|block|stage|hidden_sizes", name) and not name.startswith("_"):
            value = getattr(config, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                yield [value]
            elif isinstance(value, list | tuple) and value and all(isinstance(one, int) for one in value):
                yield from (list(value), [sum(value)], [len(value)])


def configs(module: nn.Module) -> list[Any]:
    own = getattr(module, "config", None)
    nested = [v for v in vars(own).values() if hasattr(v, "model_type")] if own is not None else []
    return [config for config in [own, *nested] if config is not None]


def task_problems(model_type: str, base: nn.Module, blocks: Sequence[Layer]) -> list[str]:
    """Where a model that generates or classifies has other layers than the bare one, or its last is not `head`."""
    name = next((name for name in classes_of(model_type) if TASK.search(name)), None)
    if name is None:
        return []
    if name == type(base).__name__:
        found = blocks
    else:
        try:
            model = build(model_type, name)
        except Exception:  # the defaults of the type are those of another class
            return []
        found = layers(model)
        parts = {layer.name for layer in blocks if layer.kind == "block"}
        lost = parts - {layer.name for layer in found}
        if lost and not _fewer_towers(base, model):
            return [f"{name} has no {', '.join(sorted(lost)[:3])}"]
    if found[-1].name != "head" and model_type not in NO_LOGITS:
        return [f"the last layer of {name} is {found[-1].name}"]
    return []


def _fewer_towers(base: nn.Module, task: nn.Module) -> bool:
    """Whether a model with a task uses only some of the towers (CLIPForImageClassification), or more."""
    return len(towers_of(base)) != len(towers_of(task))


class Slow(BaseException):
    """Passes through `except Exception`."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Slow

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Types of which the bare model has no blocks, and why.
NO_BLOCKS = {"glm_image_vqmodel": "two convolutions and a codebook"}
# Types whose class "for conditional generation" generates sounds or actions by regression: there are no logits.
NO_LOGITS = {"gradium_phonon_tts", "pi0", "pocket_tts"}
# Recorded blocks that are left out: a decoder that only generates, and runs its list backwards.
LEFT_OUT = {"emu3": "vqmodel.decoder", "emu3_vqgan": "decoder"}
# The lengths of runs that no configuration states, as the papers have them.
COUNTED_BY_HAND: dict[str, list[list[int]]] = {
    "bark": [[4]],
    "dac": [[4]],
    "efficientnet": [[4, 7, 7, 10, 10, 13, 4]],  # B7
    "encodec": [[4]],
    "mask2former": [[9]],  # the tenth decoder layer of the configuration is the queries before the first
    "mobilenet_v1": [[1, 2, 2, 6, 2]],
    "mobilenet_v2": [[1, 2, 3, 4, 3, 3, 1]],
    "mobilevit": [[1, 3, 2, 2, 2]],  # a stage of Transformers begins with an inverted residual
    "mobilevitv2": [[1, 2, 2, 2, 2]],
    "musicgen": [[4]],
    "musicgen_melody": [[4]],
    "oneformer": [[9]],
    "wavtokenizer": [[4]],
    "wavtokenizer_encoder": [[4]],
    "superglue": [[18]],  # a self- and a cross-attention, nine times
    "uvdoc": [[3, 4, 6]],
    "uvdoc_backbone": [[3, 4, 6]],
}


# The tests ------------------------------------------------------------------------------------------------------------

SAMPLE = [
    "bert", "albert", "deberta-v2", "electra", "canine", "squeezebert", "xlm", "xlnet", "funnel", "perceiver",
    "layoutlmv3", "modernbert", "gpt2", "llama", "mixtral", "jetmoe", "falcon_mamba", "mamba", "rwkv",
    "recurrent_gemma", "zamba", "lfm2", "nanochat", "dory", "hrm_text", "t5", "bart", "whisper", "fsmt", "led",
    "prophetnet", "udop", "clip", "siglip", "blip", "blip-2", "flava", "llava", "qwen2_vl", "idefics", "mllama",
    "bridgetower", "align", "lxmert", "owlvit", "wav2vec2", "hubert", "audio-spectrogram-transformer",
    "speech_to_text", "encodec", "dac", "clap", "musicgen", "detr", "conditional_detr", "lw_detr", "rt_detr",
    "grounding-dino", "yolos", "segformer", "mask2former", "oneformer", "sam", "vit", "deit", "beit", "dinov2", "swin",
    "convnext", "resnet", "regnet", "efficientnet", "mobilenet_v1", "mobilenet_v2", "mobilevit", "levit", "pvt_v2",
    "glpn", "videomae", "timesformer", "patchtst", "informer", "timesfm", "lightglue", "timm_wrapper",
    "vision-encoder-decoder", "glm_image_vqmodel",
]  # fmt: skip


@pytest.mark.parametrize("model_type", SAMPLE)
def test_a_type_of_every_kind_is_mapped_as_transformers_counts_and_fires(model_type: str) -> None:
    if model_type not in all_types():
        pytest.skip("not in this version of transformers")
    assert examine(model_type).problems == ()


def examine_all(types: Iterable[str] | None = None, processes: int | None = None) -> list[Examined]:
    """Examine every type (of some), in several processes."""
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(examine, types or all_types(), chunksize=4))


def report(examined: Sequence[Examined]) -> str:
    """`N of M mapped right`; what is not, what was not seen to fire and what cannot be built, with the reasons."""
    built = [one for one in examined if one.built]
    wrong = [one for one in built if one.problems]
    lines = [f"{len(built) - len(wrong)} of {len(built)} mapped right"]
    lines += [f"  {one.model_type} ({one.class_name}): {'; '.join(one.problems)}" for one in wrong]
    unseen = [one for one in built if one.unseen]
    lines.append(f"of {len(unseen)} some layers were not seen to fire")
    lines += [f"  {one.model_type} ({one.class_name}): {one.unseen}" for one in unseen]
    lines.append(f"{len(examined) - len(built)} cannot be built")
    return "\n".join(lines + [f"  {one.model_type}: {one.problems[0]}" for one in examined if not one.built])


@pytest.mark.sweep
def test_every_type_is_mapped_as_transformers_counts_and_fires() -> None:
    examined = examine_all()
    print("\n" + report(examined))
    built = [one for one in examined if one.built]
    assert {one.model_type for one in examined if not one.built} <= set(UNBUILT), report(examined)
    assert not [one.model_type for one in built if one.problems], report(examined)


def transformers_rows(examined: Sequence[Examined] | None = None) -> list[tuple[str, str, str, str]]:
    """The rows of COVERAGE.md for transformers: type, architectures (classes), blocks, how they were mapped."""
    rows = []
    for one in sorted(examined if examined is not None else examine_all(), key=lambda one: one.model_type):
        how = {"recorded": "recorded as hidden states", "counted": "counted by the configuration"}
        parts = [how.get(part, part) for part in one.how.split("; ") if part]
        rows.append(
            (
                one.model_type,
                "1",
                ", ".join(one.blocks) or "-",
                "; ".join([*parts, *one.problems, *([one.unseen] if one.unseen else [])]),
            )
        )
    return rows
