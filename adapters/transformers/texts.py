"""Raw texts to token ids and their mask, by the model's tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from cka_plugin.adapters.modules import unwrap
from cka_plugin.adapters.transformers.forward import accepted
from cka_plugin.adapters.transformers.parts import POOLING_MASK, Part, digest
from cka_plugin.adapters.transformers.tokenizers import longest_text, ready_tokenizer, tokenizer_of

# Types whose texts are all filled up to one length: they were trained so, or spread their positions over the length.
FILLED = ("siglip", "siglip_text_model", "siglip2", "siglip2_text_model", "sam3_lite_text", "sam3_lite_text_text_model")
PREFIXED = ("paligemma",)  # texts are prompts, whose tokens see one another; without this only padded ones are causal


def text_part(model: nn.Module, processor: Any = None) -> Part | None:
    """Strings to token ids and their mask; None where there is no tokenizer."""
    from transformers import PreTrainedTokenizerBase

    given = getattr(processor, "tokenizer", processor)
    found = given if isinstance(given, PreTrainedTokenizerBase) else tokenizer_of(model)
    if found is None:
        return None
    tokenizer = ready_tokenizer(found, model)
    longest = longest_text(tokenizer, model)
    takes = accepted(model)
    name = type(tokenizer).__name__
    filled = longest is not None and unwrap(model)[0].config.model_type in FILLED
    kept = sorted(takes & {*tokenizer.model_input_names, "attention_mask"})
    if filled and "attention_mask" not in tokenizer.model_input_names:
        kept.remove("attention_mask")  # SigLIP's texts end in padding that the model reads

    prefix = unwrap(model)[0].config.model_type in PREFIXED and "token_type_ids" in takes

    def one(text: Any) -> str:
        if not isinstance(text, str):
            raise TypeError(f"{name} takes strings; given {type(text).__name__}")
        return text

    def collate(texts: Sequence[Any]) -> dict[str, Any]:
        encoded = tokenizer(
            [one(text) for text in texts],
            padding="max_length" if filled else True,
            truncation=longest is not None,
            max_length=longest,
            return_tensors="pt",
            return_attention_mask=True,
        )
        inputs = {key: value for key, value in encoded.items() if key in kept}
        if "attention_mask" not in inputs:
            inputs[POOLING_MASK] = encoded["attention_mask"]
        if prefix:
            inputs["token_type_ids"] = torch.zeros_like(encoded["input_ids"])
        return inputs

    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    side, pad = tokenizer.padding_side, tokenizer.pad_token
    limit = "any length" if longest is None else f"{'all' if filled else 'at most'} {longest} tokens"
    return Part(
        collate,
        f"{name}, {limit}, padded on the {side} with {pad!r}",
        digest("text", name, content, longest, filled, pad, side, kept),
        one,
    )


__all__ = ["text_part"]
