"""Small configurations of any Hugging Face type: the default one, its widths, depths and vocabularies cut down."""

from __future__ import annotations

import re
from typing import Any

VOCABULARY = 300
CUTS: list[tuple[str, int]] = [  # what the name of a setting ends in, and the most that it may be
    (r"head_dim|d_kv|rotary_dim", 16),
    (
        r"num_hidden_layers|num_layers|n_layers?|(encoder|decoder|attention)_layers|depth|num_hidden_groups|num_blocks",
        2,
    ),
    (r"hidden_size|d_model|n_embd|(embed|hidden|model|emb|embedding|projection)_dim|dim|embedding_size|channels", 64),
    (r"hidden_size_per_layer_input|intermediate_size|intermediate_dim|mlp_dim|linear_units", 64),
    (r"ffn_dim|d_ff|n_inner|dim_feedforward|ffn_hidden_size", 64),
    (r"num_attention_heads|n_heads?|num_heads|attention_heads", 4),
    (r"num_key_value_heads|num_kv_heads|n_kv_heads", 2),
    (r"num_experts|num_local_experts|n_routed_experts|num_routed_experts", 16),
    (r"vocab_size", VOCABULARY),
]


def tiny(config_class: Any) -> Any:
    """A small configuration; raises whatever the type's own checks raise where the cuts do not fit one another."""
    given = _cut(config_class())
    default = config_class()
    kinds = vars(default).get("layer_types")
    if kinds and "layer_types" not in given:  # one layer of each kind first
        count = given.get("num_hidden_layers", len(kinds))
        given["layer_types"] = [*dict.fromkeys(kinds), *kinds][:count]
    return config_class(**given)


def _cut(config: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}
    depths = getattr(config, "depths", None)
    if isinstance(depths, list | tuple):  # stages, whose widths and heads are made for one another
        return {"depths": [1] * len(depths)}
    heads = getattr(config, "num_attention_heads", None)
    for name, value in vars(config).items():
        if name.startswith("_"):
            continue
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            given[name] = {"model_type": value.model_type} | _cut(type(value)())
        elif isinstance(value, dict) and "mrope_section" in value:
            given[name] = value | {"mrope_section": [2, 3, 3]}  # half of a head of 16
        elif isinstance(value, int) and not isinstance(value, bool):
            less = 4 if name == "num_key_value_heads" and value == heads else _less(name, value)
            if less < value:
                given[name] = less
    return given


def _less(name: str, value: int) -> int:
    if name.endswith("_token_id") and value >= VOCABULARY:
        return 7
    for pattern, most in CUTS:
        if re.search(rf"(^|_)({pattern})$", name) and value < 10**6:
            return min(value, most)
    return value
