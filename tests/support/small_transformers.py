"""Small models of transformers with their processors, and texts, photos and sounds for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers as hf
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from cka_plugin.adapters.base import Layer
from cka_plugin.adapters.transformers.inputs import forward, mask
from cka_plugin.capture.pooling import pool

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "over", "hills"]
SHORT = "the cat sat"
LONG = "the dog ran over the hills and a cat sat on the mat"
TEXTS = [SHORT, LONG]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SPECIALS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
VOCABULARY = len(SPECIALS) + len(WORDS)


def word_tokenizer(pad: bool = True, frame: bool = True, **kwargs: object) -> hf.PreTrainedTokenizerFast:
    """One token a word: [CLS] words [SEP] (or the bare words), ids as in SPECIALS + WORDS."""
    vocabulary = {word: i for i, word in enumerate([*SPECIALS, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if frame:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    names = {
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "eos_token": "[SEP]",
        "bos_token": "[CLS]",
    }
    if pad:
        names["pad_token"] = "[PAD]"
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **kwargs)


def built(config: hf.PretrainedConfig, kind: type = hf.AutoModel, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return (kind.from_config(config) if hasattr(kind, "from_config") else kind(config)).eval()


def saved(model: nn.Module, folder: Path, *beside: object) -> nn.Module:
    """The model as loaded from a folder that holds these processors too."""
    for processor in beside:
        processor.save_pretrained(folder)
    model._cka_source = str(folder)
    model._cka_source_kwargs = {}
    return model


def bert(**kwargs: object) -> hf.BertConfig:
    return hf.BertConfig(vocab_size=VOCABULARY, **(SMALL | kwargs))


def gpt2(**kwargs: object) -> hf.GPT2Config:
    return hf.GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, **kwargs)


def clip_config() -> hf.CLIPConfig:
    text = SMALL | {"vocab_size": VOCABULARY, "eos_token_id": 2, "max_position_embeddings": 20}
    return hf.CLIPConfig(text_config=text, vision_config=SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=16)


def photos(n: int = 2, mode: str = "RGB") -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 40, 50, 3), dtype=np.uint8)
    return [Image.fromarray(p).convert(mode) for p in pixels]


def sounds(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) for n in lengths]


def t5() -> nn.Module:
    config = hf.T5Config(
        vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return built(config)


def bart(kind: str = "Bart", **kwargs: object) -> nn.Module:
    sizes = {"d_model": 16, "vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 24}
    return built(getattr(hf, f"{kind}Config")(**(sizes | kwargs)))


def wav2vec2(norm: str) -> hf.Wav2Vec2Config:
    front = {"conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2], "feat_extract_norm": norm}
    kwargs = SMALL | front | {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    return hf.Wav2Vec2Config(vocab_size=VOCABULARY, **kwargs)


def frames_left(samples: int) -> int:
    for kernel, stride in ((10, 5), (3, 2)):
        samples = (samples - kernel) // stride + 1
    return samples


def block(model: nn.Module, part: str = "", number: int = 1) -> Layer:
    """The last of the two blocks of a part of the model: a numbered module with parts of its own, in a list of such."""
    for path, module in model.named_modules():
        parent, _, name = path.rpartition(".")
        listed = name == str(number) and isinstance(model.get_submodule(parent), nn.ModuleList)
        if listed and path.startswith(part) and len(list(module.children())) > 1:
            return Layer(f"{part}.blocks.{number}".strip("."), path, "block", 0.5)
    raise LookupError(f"{type(model).__name__} has no numbered blocks in {part!r}")


def hidden(model: nn.Module, inputs: dict, layer: Layer) -> torch.Tensor:
    """What the layer returns when the model runs on the inputs."""
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(layer.path).register_forward_hook(
        lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.inference_mode():
        forward(model, inputs)
    handle.remove()
    return seen[0]


def averaged(model: nn.Module, inputs: dict, layer: Layer | None = None) -> torch.Tensor:
    """One row of features per example: the average over the positions that the mask counts."""
    layer = block(model) if layer is None else layer
    x = hidden(model, inputs, layer)
    seen = mask(model, layer, inputs, x.shape[1])
    assert seen is not None, f"no mask for {layer.path} of shape {tuple(x.shape)}"
    return pool(x, "auto", seen)
