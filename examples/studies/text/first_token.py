"""What the first token of a language model does to CKA: as it was trained, and with a large norm planted."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats
from tokens import Layers, correlation_with_length, first_token_norms, hidden_states, language_model, planted
from torch import nn

import cka_plugin as cka

OPTIONS = {"batch_size": 32, "progress": False}
POOLINGS = {"mean": "mean", "mean after the first": "mean_after_first"}
TOKENS = ("tokens", "tokens after the first")
N_STATES, N_TOKENS = 200, 80  # texts taken token by token, and whose tokens are examples
MIDDLE = slice(2, 6)  # of the layers: blocks 1 to 4, after the embedding and block 0


class Seen(NamedTuple):
    """Of one language model: norms of `<s>`, a comparison a view, and what its first component goes with."""

    norms: np.ndarray
    views: dict[str, cka.Comparison]
    with_length: dict[str, np.ndarray]


def interval(values: Iterable[float]) -> str:
    """Mean over seeds and its 95% interval by Student's t."""
    x = np.array(list(values), dtype=float)
    half = stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return f"{x.mean():.2f} [{x.mean() - half:.2f}, {x.mean() + half:.2f}]"


def views(model: nn.Module, tok: Any, texts: list[str]) -> Seen:
    """What CKA sees of a language model with and without its first token: of texts, and of tokens as examples."""
    states = hidden_states(model, tok, texts[:N_STATES])
    options = OPTIONS | {"transforms": tok, "layers": ["embed", "blocks.*"]}
    made = {view: cka.compare({view: model}, data=texts, pooling=how, **options) for view, how in POOLINGS.items()}
    for start, view in enumerate(TOKENS):
        x = torch.cat([text[start:] for text in states[: min(N_TOKENS, len(texts) // 2)]])
        made[view] = cka.compare(
            {view: Layers(x.shape[1])}, data=x, granularity="module", batch_size=256, progress=False
        )
    with_length = {view: correlation_with_length(states, start) for start, view in enumerate(POOLINGS)}
    return Seen(first_token_norms(states), made, with_length)


def language_models(folder: Path, texts: list[str], quick: bool) -> dict[str, list[Seen]]:
    """The models of all seeds as they were trained, and with a first token of a large norm planted."""
    seen: dict[str, list[Seen]] = {}
    for path in sorted(folder.glob("lm-s*/"))[: 2 if quick else None]:
        model, tok = language_model(path)
        usual = float(torch.cat([x[1:, 3].norm(dim=-1) for x in hidden_states(model, tok, texts[:20])]).median())
        seen.setdefault("as trained", []).append(views(model, tok, texts))
        for times in (100,) if quick else (10, 100):
            seen.setdefault(f"{times} x planted", []).append(views(planted(model, times * usual), tok, texts))
    return seen


def by_layer(seen: list[Seen]) -> pd.DataFrame:
    """Layer by layer, means over seeds."""
    columns = {
        "norm of the first token, times that of others": [interval(x) for x in np.array([one.norms for one in seen]).T]
    }
    for view in (*POOLINGS, *TOKENS):
        shares = np.array([one.views[view].block_structure(view).first_component_share for one in seen])
        columns[f"first component, {view}"] = [interval(x) for x in shares.T]
    return pd.DataFrame(columns).reset_index(names="layer")


def in_numbers(seen: dict[str, list[Seen]]) -> pd.DataFrame:
    """Blocks 1 to 4, where a first token is planted: are they one block, and why?"""
    rows = []
    for model, each in seen.items():
        for view in (*POOLINGS, *TOKENS):
            found = [one.views[view].block_structure(view) for one in each]
            upper = np.triu_indices(4, 1)
            row = {"first token": model, "view": view, "verdicts": ", ".join(f.verdict for f in found)}
            row["largest block"] = ", ".join(str(len(f.blocks[0])) if f.blocks else "-" for f in found)
            row["CKA"] = interval(f.matrix[MIDDLE, MIDDLE][upper].mean() for f in found)
            row["first component"] = interval(f.first_component_share[MIDDLE].mean() for f in found)
            lengths = [one.with_length[view][MIDDLE].mean() for one in each] if view in POOLINGS else []
            rows.append(row | {"its correlation with 1 / length": interval(lengths) if lengths else "-"})
    return pd.DataFrame(rows)
