"""A folder that PEFT saved: what was learned beside a base model, which its configuration names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from cka_plugin.adapters.transformers.sources import has_file

CONFIGURATION = "adapter_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")
CLASSES = {  # PEFT's words for what a model was tuned for -> the class that gives the base its head
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "CAUSAL_LM": "AutoModelForCausalLM",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}


def is_tuned(folder: Path) -> bool:
    """Whether this is a folder that PEFT saved: an adapter, no whole model.

    Example:
        >>> is_tuned(Path("nowhere"))
        False
    """
    return (folder / CONFIGURATION).is_file() and not (folder / "config.json").is_file()


def build_tuned(folder: Path, pretrained: bool, base: Callable[[str, str | None], nn.Module]) -> nn.Module:
    """The base model with what was learned beside it, which stay two: nothing is merged.

    Args:
        folder: that PEFT saved.
        pretrained: load what was learned; otherwise what is beside the base is as it is before any tuning.
        base: builds a model by name, of the class named, or of that which its configuration names.

    Raises:
        RuntimeError: peft is not installed.
        ValueError: the folder does not name its base model, or what it holds does not fit that.
        OSError: the base model cannot be reached.
    """
    try:
        import peft
    except ImportError as error:
        raise RuntimeError(f"{folder} holds a PEFT adapter, for which peft is needed: pip install peft") from error
    said = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
    name = said.get("base_model_name_or_path")
    if not name:
        raise ValueError(
            f"{folder} holds a PEFT adapter whose {CONFIGURATION} does not name the base model "
            "(base_model_name_or_path): load the model with peft, and pass the module"
        )
    beside = folder / name
    name = str(beside) if (beside / "config.json").is_file() else str(name)
    mapping = said.get("auto_mapping") or {}
    model = base(name, mapping.get("base_model_class") or CLASSES.get(said.get("task_type") or ""))
    remembered: Any = model
    if has_file((str(folder), {}), TOKENIZER_FILES):
        remembered._cka_source = str(folder)
    if not pretrained:
        return peft.get_peft_model(model, peft.PeftConfig.from_pretrained(str(folder)))
    try:
        return peft.PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the adapter in {folder} does not fit its base model {name!r}: {error}") from error


__all__ = ["CONFIGURATION", "build_tuned", "is_tuned"]
