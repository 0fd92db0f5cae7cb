"""Raw texts to token ids and their mask, by the model's tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.modules import unwrap
from cka_plugin.adapters.transformers.forward import accepted
from cka_plugin.adapters.transformers.parts import POOLING_MASK, Part, digest
from cka_plugin.adapters.transformers.tokenizers import longest_text, ready_tokenizer, tokenizer_of

# Types whose texts are all filled up to one length: they were trained so, or spread their positions over the length.
FILLED = ("siglip", "siglip_text_model", "siglip2", "siglip2_text_model", "sam3_lite_text", "sam3_lite_text_text_model")
PREFIXED = ("paligemma",)  # texts are prompts, whose tokens see one another; without this only padded ones are causal


def text_part(model: nn.Module, processor: Any = None, max_length: int | None = None) -> Part | None:
    """Strings to token ids and their mask; None where there is no tokenizer.

    A conversation, a list of messages with `role` and `content`, is written out by the tokenizer's chat template; a
    pair of strings is given as one text and another beside it.

    Args:
        model: the model.
        processor: a tokenizer, or a processor that holds one, to use in place of the model's own.
        max_length: where texts are cut; as late as tokenizer and model allow by default.

    Raises:
        ValueError: a `max_length` beyond what tokenizer and model take.
    """
    from transformers import PreTrainedTokenizerBase

    given = getattr(processor, "tokenizer", processor)
    found = given if isinstance(given, PreTrainedTokenizerBase) else tokenizer_of(model)
    if found is None:
        return None
    tokenizer = ready_tokenizer(found, model)
    longest = longest_text(tokenizer, model)
    takes = accepted(model)
    name = type(tokenizer).__name__
    if max_length is not None and longest is not None and max_length > longest:
        taker = type(unwrap(model)[0]).__name__
        raise ValueError(f"max_length {max_length}: {taker} and its tokenizer take {longest} tokens at most")
    longest = max_length or longest
    filled = longest is not None and unwrap(model)[0].config.model_type in FILLED
    kept = sorted(takes & {*tokenizer.model_input_names, "attention_mask"})
    if filled and "attention_mask" not in tokenizer.model_input_names:
        kept.remove("attention_mask")  # SigLIP's texts end in padding that the model reads

    prefix = unwrap(model)[0].config.model_type in PREFIXED and "token_type_ids" in takes
    counted = Counted(longest)

    def one(text: Any) -> str:
        if isinstance(text, list) and all(isinstance(message, Mapping) for message in text):
            return written_out(tokenizer, text)
        if not isinstance(text, str):
            raise TypeError(f"{name} takes strings; given {type(text).__name__}")
        return text

    def collate(texts: Sequence[Any]) -> dict[str, Any]:
        paired = isinstance(texts[0], tuple)
        columns = zip(*texts, strict=True) if paired else [texts]
        given = [[one(text) for text in column] for column in columns]
        if len(given) > 2:
            raise ValueError(f"{name} takes a text, or a text and another beside it; given {len(given)}")
        encoded = tokenizer(
            *given,
            # What a chat template writes out has its special tokens.
            add_special_tokens=isinstance(texts[0], str | tuple),
            padding="max_length" if filled else True,
            truncation=longest is not None,
            max_length=longest,
            return_tensors="pt",
            return_attention_mask=True,
        )
        counted.add(tokenizer, list(zip(*given, strict=True)), encoded["attention_mask"])
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
        remarks=counted.remarks,
    )


def written_out(tokenizer: Any, messages: Any) -> str:
    """A conversation as one text, by the tokenizer's chat template.

    Raises:
        ValueError: it has none.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            f"{type(tokenizer).__name__} has no chat template: conversations need one; give texts, or set "
            "tokenizer.chat_template"
        )
    return str(tokenizer.apply_chat_template(messages, tokenize=False))


@dataclass
class Counted:
    """How many texts were prepared, and how many of them were cut.

    Attributes:
        longest: where they are cut; None: nowhere.
        texts: how many there were.
        cut: how many of them were longer.
    """

    longest: int | None
    texts: int = 0
    cut: int = 0

    def add(self, tokenizer: Any, texts: Sequence[tuple[str, ...]], mask: Tensor) -> None:
        """Count texts and those cut: only one that fills all its places may have been longer.

        Args:
            tokenizer: that made it.
            texts: of one minibatch, each with what is beside it.
            mask: (n, length) of their tokens.

        Raises:
            ValueError: a text of which no token is left, whose activations would be those of padding alone.
        """
        counts = mask.sum(1).tolist()
        if 0 in counts:
            text = texts[counts.index(0)][0]
            raise ValueError(f"the text {text!r} has no tokens for {type(tokenizer).__name__}: leave such texts out")
        self.texts += len(texts)
        for text, count in zip(texts, counts, strict=True):
            if self.longest is not None and count >= self.longest:
                whole = tokenizer(*text, truncation=False, verbose=False)["input_ids"]
                self.cut += len(whole) > self.longest

    def remarks(self) -> list[str]:
        """The sentence on those cut, where there are any."""
        return [f"{self.cut} of {self.texts} texts were cut at {self.longest} tokens"] if self.cut else []


__all__ = ["Counted", "text_part", "written_out"]
