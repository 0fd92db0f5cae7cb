"""The tokenizer of a Hugging Face model: where it lies, which side it pads, how long a text it takes."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from cka_plugin.adapters.modules import unwrap
from cka_plugin.adapters.transformers.forward import text_config
from cka_plugin.adapters.transformers.sources import has_file, source_of

LEFT_PADDED = ("cpmant", "xlnet")  # made for it: the one masks by length, the other's summary token is the last
UNLIMITED = 1_000_000  # tokenizers that know no limit state int(1e30)
PAD_FREE_POSITIONS = ("vision", "visual", "image", "pixel", "patch", "audio", "speech", "decoder")


def tokenizer_of(model: nn.Module) -> Any | None:
    """The tokenizer saved beside the model; None where there is none."""
    source = source_of(model)
    if source is None:
        return None
    from transformers import AutoTokenizer

    name, kwargs = source
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **kwargs)
    except (ValueError, OSError) as error:
        if has_file(source, ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")):
            raise ValueError(f"the tokenizer in {name} cannot be read: {error}") from error
        return None
    # From a folder without a vocabulary transformers makes a tokenizer that knows the special tokens only.
    bare = bool(tokenizer.vocab_files_names) and len(tokenizer) <= len(set(tokenizer.all_special_tokens))
    return None if bare else tokenizer


def ready_tokenizer(tokenizer: Any, model: nn.Module) -> Any:
    """A copy that pads on the right, with a token it has: positions then count from each text's first token."""
    config = unwrap(model)[0].config
    tokenizer = copy.deepcopy(tokenizer)
    if config.model_type not in LEFT_PADDED:
        tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        stated = getattr(text_config(config), "pad_token_id", None)
        token = tokenizer.convert_ids_to_tokens(stated) if isinstance(stated, int) and stated >= 0 else None
        tokenizer.pad_token = token or tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def longest_text(tokenizer: Any, model: nn.Module) -> int | None:
    """The most tokens that both tokenizer and model take; None where neither states a limit."""
    inner, _ = unwrap(model)
    text = text_config(inner.config)
    limits = [tokenizer.model_max_length, getattr(text, "max_position_embeddings", None)]
    for path, module in inner.named_modules():
        name = path.rsplit(".", 1)[-1]
        if not isinstance(module, nn.Embedding) or not ("position" in name or name == "wpe"):
            continue
        if "relative" in name or "type" in name or any(word in path for word in PAD_FREE_POSITIONS):
            continue
        # RoBERTa counts positions from the padding index on, BART and OPT from an offset.
        first = 0 if module.padding_idx is None else module.padding_idx + 1
        limits.append(module.num_embeddings - max(first, getattr(module, "offset", 0)))
    stated = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < UNLIMITED]
    return min(stated, default=None)


__all__ = ["longest_text", "ready_tokenizer", "tokenizer_of"]
