"""The small language models token by token; hidden states as a model, so that tokens are the examples."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase


def language_model(folder: Path) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """A model that `train.py` left, as float32, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def hidden_states(model: nn.Module, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Tensor]:
    """For each text (tokens, layers, d): the embedding and what each block returns."""
    seen: list[Tensor] = []
    layers = (model.model.embed_tokens, *model.model.layers)
    hooks = [layer.register_forward_hook(lambda _, __, out: seen.append(out[0])) for layer in layers]
    for text in texts:
        model(**tokenizer(text, return_tensors="pt"))
    for hook in hooks:
        hook.remove()
    return [torch.stack(seen[i : i + len(layers)], 1) for i in range(0, len(seen), len(layers))]


def first_token_norms(states: list[Tensor]) -> np.ndarray:
    """(layers,) norm of the first token as a multiple of the median norm of the others."""
    first = torch.stack([x[0].norm(dim=-1) for x in states]).mean(0)
    others = torch.cat([x[1:].norm(dim=-1) for x in states]).median(0).values
    return (first / others).numpy()


def planted(model: nn.Module, norm: float) -> nn.Module:
    """A copy whose first token leaves all blocks but the first and last with a constant of this norm added.

    The next block is given what it was given before, so that nothing else changes, predictions neither.
    """
    model = copy.deepcopy(model)
    blocks = model.model.layers
    direction = torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    constant = norm * direction / direction.norm()

    def with_first(x: Tensor, first: Tensor) -> Tensor:
        return torch.cat([x[:, :1] + first, x[:, 1:]], 1)

    for block, after in pairwise(blocks[1:]):
        block.register_forward_hook(lambda _, __, x: with_first(x, constant))
        after.register_forward_pre_hook(lambda _, given: (with_first(given[0], -constant), *given[1:]))
    return model


class Layer(nn.Module):
    """One layer of `Layers`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.number].clone()


class Layers(nn.Module):
    """Hidden states as a model: of data (tokens, layers, d) its layer i is `x[:, i]`."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(i) for i in range(count))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(x) for layer in self.layers], 1)


def correlation_with_length(states: list[Tensor], start: int) -> np.ndarray:
    """(layers,) size of the correlation over texts of the first component of means over tokens with 1 / tokens."""
    means = torch.stack([x[start:].mean(0) for x in states], 1).double()
    first = torch.linalg.svd(means - means.mean(1, keepdim=True), full_matrices=False).U[:, :, 0]
    inverse = torch.tensor([1 / len(x) for x in states], dtype=torch.float64)
    return np.abs([np.corrcoef(u, inverse)[0, 1] for u in first.numpy()])
