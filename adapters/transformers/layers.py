"""The layers of a Hugging Face model under their common names.

Which modules are blocks is said in `blocks`. The path components in which two runs of blocks differ name their
towers. What `forward` calls last before a run is its `embed` or `stem`, the norm it calls first after it is its `norm`,
and the module that gives the logits is `head`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from cka_plugin.adapters.layer import Layer
from cka_plugin.adapters.modules import is_norm
from cka_plugin.adapters.naming import spread_depths
from cka_plugin.adapters.order.calls import around, mentions
from cka_plugin.adapters.transformers.blocks import Tower, find_towers, is_foreign, submodels
from cka_plugin.adapters.transformers.special import EMBEDDED_BY, HEAD_INSIDE, NORM_BETWEEN_BLOCKS
from cka_plugin.adapters.transformers.towers import common_word, name_towers


def layers(model: nn.Module, granularity: str = "block") -> list[Layer]:
    """The layers of a model of transformers at `stage` or `block` granularity.

    Raises:
        ValueError: the model has no blocks that can be told.
    """
    towers = towers_of(model)
    projections = find_projections(model)
    found: list[tuple[str, str, str]] = []
    for tower in towers:
        prefix = f"{tower.label}." if tower.label else ""
        entry = find_entry(model, tower, towers)
        if entry is not None and entry not in (path for _, path, _ in found):  # one embedding may serve two towers
            kind = "stem" if tower.staged else "embed"
            found.append((prefix + kind, entry, kind))
        found += [(prefix + name, path, "block") for name, path in _blocks(model, tower, granularity)]
        norm = find_norm(model, tower, towers)
        if norm is not None:
            found.append((f"{prefix}norm", norm, "norm"))
        if tower.label in projections:
            found.append((f"{prefix}head", projections[tower.label], "head"))
    head = find_head(model, towers)
    if head is not None:
        found.append(("head", head, "head"))
    return spread_depths([Layer(name, path, kind, 0.0) for name, path, kind in found])


def describe(model: nn.Module) -> str:
    """One sentence for people: how the blocks of `model` were found."""
    parts = [
        f"{len(t.blocks)} block{'s' * (len(t.blocks) != 1)} in {t.container or 'the model'} ({t.said_by})"
        for t in towers_of(model)
    ]
    return f"{type(model).__name__} of transformers: {', '.join(parts)}"


def towers_of(model: nn.Module) -> list[Tower]:
    towers = find_towers(model)
    if not towers:
        raise ValueError(
            f"cannot tell the blocks of {type(model).__name__}: it records no hidden states, and none of its module "
            'lists is as long as its configuration counts layers; granularity="module" compares every leaf module '
            "instead"
        )
    return name_towers(model, towers)


def _blocks(model: nn.Module, tower: Tower, granularity: str) -> Iterator[tuple[str, str]]:
    if not tower.staged:
        yield from ((f"blocks.{j}", path) for j, path in enumerate(tower.blocks))
        return
    for i, blocks in enumerate(tower.stages):
        if granularity == "stage":
            yield f"stages.{i}", blocks[-1]  # what a stage makes, before any downsampling that it ends with
        else:
            yield from ((f"stages.{i}.blocks.{j}", path) for j, path in enumerate(blocks))


# Before and after a run of blocks ------------------------------------------------------------------------------------

# Beside the way of the activations: positions, masks, queries, optional inputs.
_ASIDE = re.compile(
    r"rotary|rope|position(?!al_encoder)|relative|rel_pos|bias|mask|segment|wpe|pos_emb|quer|ref_point|reference|denois"
    r"|type|per_layer|freq_emb|interpol|prompt|speaker|latent|structure|enc_out"
)
# What the tokens are embedded by; of what follows it, only norms, dropouts and projections enter the blocks.
_EMBEDDING = re.compile(r"(embed_tokens|embeddings?|wte|word_embeddings?|embed_in|token_embedding|patch_embed\w*)")
_FOLLOWS = re.compile(r"norm|^ln|drop|embed\w*_proj|mapping|project_in")
# What a tower is given by the module around it and its other towers.
_GIVEN = re.compile(r"embed|input|norm|^proj")
_MIXING = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Embedding)


def _levels(model: nn.Module, start: str, stop: str, block: str) -> Iterator[tuple[str, nn.Module, str]]:
    """From the module around `start` to that at `stop`, on the way to `block`: (path, module, its child on the way)."""
    parts = block.split(".")
    for depth in range(max(_depth(start) - 1, 0), min(_depth(stop) + 1, len(parts))):
        path = ".".join(parts[:depth])
        module = model.get_submodule(path)
        if not isinstance(module, nn.ModuleList | nn.Sequential):
            yield path, module, parts[depth]


def _type(model: nn.Module) -> str:
    return getattr(getattr(model, "config", None), "model_type", "")


def _depth(path: str) -> int:
    return path.count(".") + 1 if path else 0


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}.")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def find_entry(model: nn.Module, tower: Tower, towers: list[Tower]) -> str | None:
    """The last module that is called before the blocks and gives what enters them."""
    if tower.ends is not None:
        return tower.ends.get("stem", tower.ends.get("embed"))
    told = EMBEDDED_BY.get(_type(model), {}).get(tower.label)
    if told is not None:
        return next((path for path, _ in model.named_modules() if f".{path}".endswith(f".{told}")), None)
    best: str | None = None
    stop = tower.blocks[0] if tower.staged else tower.container
    for path, host, inward in _levels(model, tower.root, stop, tower.blocks[0]):
        embedded = False  # at this level
        outside = len(towers) > 1 and _depth(path) < _depth(tower.root)
        for name in around(host, inward)[0]:
            child, here = getattr(host, name), _join(path, name)
            several = isinstance(child, nn.ModuleList)
            if _holds_other(here, tower, towers):
                best = best if embedded else None  # what stands before another tower enters that, but for tokens
                continue
            if _ASIDE.search(name) or isinstance(child, nn.Identity) or (several and not len(child)):
                continue
            is_embedding = bool(_EMBEDDING.fullmatch(name))
            follows = not embedded or is_embedding or (_FOLLOWS.search(name) and not several)
            if not follows or (outside and not _GIVEN.search(name)):
                continue
            if isinstance(child, nn.Dropout) and best is None:
                continue
            embedded = embedded or is_embedding
            if several:  # one a stage: the first
                here = _join(here, "0" if len(child) == len(tower.stages) > 1 else str(len(child) - 1))
            best = here
    return best


def find_norm(model: nn.Module, tower: Tower, towers: list[Tower]) -> str | None:
    """The norm that is called after the blocks, before any layer with weights of its own and before another tower."""
    if tower.ends is not None:
        return tower.ends.get("norm")
    if NORM_BETWEEN_BLOCKS.get(_type(model)) == tower.label:
        return None
    alone = len(towers) == 1 or isinstance(model.get_submodule(tower.root), nn.ModuleList)
    for path, host, inward in reversed(list(_levels(model, tower.root, tower.container, tower.blocks[-1]))):
        if not alone and _depth(path) < _depth(tower.root):
            break
        follows: list[tuple[str, nn.Module]] = []
        for name in around(host, inward)[1]:
            child, here = getattr(host, name), _join(path, name)
            if _holds_other(here, tower, towers):
                break
            if not isinstance(child, nn.ModuleList):
                follows.append((here, child))
            elif len(child) == len(tower.stages):  # one a stage: the last
                follows.append((_join(here, str(len(child) - 1)), child[-1]))
        own = next((here for here, child in follows if is_norm(child) or _mixes(child)), None)
        if own is not None and is_norm(model.get_submodule(own)):
            return own
        for here, child in follows:
            for inner, module in child.named_modules():
                if isinstance(module, (*_MIXING, nn.BatchNorm1d)):  # which belongs to the linear layer after it
                    return None
                if is_norm(module):
                    return _join(here, inner) if inner else here
    return None


def _holds_other(path: str, tower: Tower, towers: list[Tower]) -> bool:
    """Whether the module at `path` holds a tower, or a list of blocks, other than `tower`."""
    return any(_within(inner, path) for t in towers if t is not tower for inner in (t.container, t.blocks[0]))


def _mixes(module: nn.Module) -> bool:
    return any(isinstance(inner, _MIXING) for inner in module.modules())


# The head ------------------------------------------------------------------------------------------------------------

HEADS = (
    "lm_head", "classifier", "classification_head", "class_labels_classifier", "cls_classifier", "score", "qa_outputs",
    "qa_classifier", "logits_proj", "ctc_head", "proj_out", "output_projection", "embed_out", "cls", "predictions",
    "pred_layer", "decode_head", "segmentation_head", "class_embed", "class_predictor", "class_head", "head", "fc",
    "answer_head", "logits_dense", "splinter_qass", "audio_lm_head", "joint", "decoder", "char_head",
    "visual_projection", "text_projection", "audio_projection", "sequence_summary", "embedding_decoder",
)  # fmt: skip
_TASK = re.compile(r"For[A-Z]|Head|LM|WithProjection")


def find_head(model: nn.Module, towers: list[Tower]) -> str | None:
    """The module that gives the logits of a model with a task, or of the model with a task inside it."""
    if len(towers) == 1 and towers[0].ends is not None:
        return towers[0].ends.get("head")
    if _TASK.search(type(model).__name__) or "lm_head" in dict(model.named_children()):
        named = _named_head(model, towers)
        if named is not None:
            return named
    for path, inner in submodels(model):
        if not is_foreign(inner) and (found := find_head(inner, _inside(towers, path))) is not None:
            return _join(path, found)
    return None


def find_projections(model: nn.Module) -> dict[str | None, str]:
    """Of a contrastive model: tower -> the projection of its pooled output into the space that the towers share."""
    if not hasattr(model, "logit_scale"):
        return {}
    called = {mention.name for mention in mentions(model)}
    return {common_word(n): n for n in sorted(called) if n.endswith("_projection") and n.count("_") == 1}  # no "to_mm"


def _named_head(model: nn.Module, towers: list[Tower]) -> str | None:
    try:
        output = model.get_output_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        output = None
    if isinstance(output, nn.Module) and not isinstance(output, nn.Embedding):  # whose weights are used, not called
        path = next((path for path, module in model.named_modules() if module is output), None)
        return f"{path}.0" if path and isinstance(output, nn.ModuleList) else path  # of several heads the first
    children = dict(model.named_children())
    held = [tower.blocks[0] for tower in towers]
    named = next((n for n in HEADS if n in children and not any(_within(path, n) for path in held)), None)
    inside = HEAD_INSIDE.get(_type(model))
    if named is None and inside is not None:
        return next((path for path, _ in model.named_modules() if path.endswith(inside)), None)
    return named


def _inside(towers: list[Tower], path: str) -> list[Tower]:
    """The towers inside the module at `path`, seen from there."""
    start = len(path) + 1
    return [
        replace(t, stages=[[p[start:] for p in blocks] for blocks in t.stages], ends=None)
        for t in towers
        if _within(t.blocks[0], path)
    ]
