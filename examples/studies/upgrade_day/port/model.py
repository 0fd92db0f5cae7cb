"""The network that is released, on transformers now: the weights of timm's Vision Transformer under other names."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

SHAPE = {"image_size": 16, "patch_size": 4, "hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4}
NAMES = {
    "cls_token": "vit.embeddings.cls_token",
    "pos_embed": "vit.embeddings.position_embeddings",
    "patch_embed.proj.": "vit.embeddings.patch_embeddings.projection.",
    "blocks.": "vit.encoder.layer.",
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".attn.proj.": ".attention.output.dense.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
    "norm.": "vit.layernorm.",
    "head.": "classifier.",
}


def load() -> nn.Module:
    config = ViTConfig(**SHAPE, intermediate_size=128, num_labels=14, layer_norm_eps=1e-6)
    ours = {}
    for name, weight in load_file(Path(__file__).with_name("model.safetensors")).items():
        for old, new in NAMES.items():
            name = name.replace(old, new) if old.startswith((".", "blocks")) or name.startswith(old) else name
        if ".attn.qkv." in name:
            for part, rows in zip(("query", "key", "value"), weight.chunk(3), strict=True):
                ours[name.replace("attn.qkv", f"attention.attention.{part}")] = rows.float()
        else:
            ours[name] = weight.float()
    return ViTForImageClassification.from_pretrained(None, config=config, state_dict=ours).eval()
