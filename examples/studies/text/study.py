"""Text: a sentence encoder changed in known ways, and what the first token of language models does to CKA.

`python study.py [FOLDER] [--quick]`: FOLDER holds the language models that `train.py` leaves; without it, those kept in
`weights`. Writes `tables.md`, `changes.png` and `first_token.png` to `--out`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from first_token import by_layer, in_numbers, language_models
from pictures import draw_changes, draw_first_token
from texts import sentences
from variants import FOLDER, changed, minilm, tokenizer, with_typos

import cka_plugin as cka

HERE = Path(__file__).parent
OPTIONS = {"batch_size": 32, "progress": False}


def changes(texts: list[str], quick: bool) -> cka.Comparison:
    """The encoder beside its changed selves, all on the same texts but for typing errors."""
    nets = {"as it is": minilm(), **changed(quick), "untrained": cka.untrained(minilm())}
    made = [cka.represent({name: net}, texts, transforms=tokenizer(), **OPTIONS) for name, net in nets.items()]
    for share in (0.03,) if quick else (0.01, 0.03, 0.1):
        name = f"{share:.0%} of letters swapped"
        made.append(cka.represent(str(FOLDER), with_typos(texts, share, 0), name=name, **OPTIONS))
    return cka.compare(*made, match="ids", **OPTIONS)


def of_changes(c: cka.Comparison) -> pd.DataFrame:
    """How like the encoder each changed model is, at its first and last block, and which blocks match."""
    rows = []
    for name in c.names[1:]:
        (low, high), own = c.interval("as it is", name), c.matrix("as it is", name)
        near = c.matrix("as it is", name, measure="mutual_knn")[-1, -1]
        row = {"changed": name, "first block": f"{own[1, 1]:.3f} [{low[1, 1]:.3f}, {high[1, 1]:.3f}]"}
        row["last block"] = f"{own[-1, -1]:.3f} [{low[-1, -1]:.3f}, {high[-1, -1]:.3f}]"
        matches = c.correspondence(name, "as it is").matches[1:]
        numbers = " ".join(str(m.match).removeprefix("blocks.") for m in matches)
        rows.append(row | {"10 nearest of 31 in common": f"{near:.2f}", "best matches": numbers})
    return pd.DataFrame(rows)


def padding(texts: list[str]) -> pd.DataFrame:
    """How far CKA of the encoder with itself moves when its texts are padded otherwise."""
    net, tok, rows = minilm(), tokenizer(), []
    usual = cka.represent({"usual": net}, texts, transforms=tok, **OPTIONS)
    for length in (96, 192):
        encoded = tok(texts, padding="max_length", max_length=length, return_tensors="pt")
        data = [{key: value[i] for key, value in encoded.items()} for i in range(len(texts))]
        for pooling in ("mean", "flatten"):
            padded = cka.represent({"padded": net}, data, pooling=pooling, **OPTIONS)
            c = cka.compare(usual, padded, match="ids", **OPTIONS)
            apart = np.abs(c.matrix("usual", "padded") - c.matrix("usual")).max()
            rows.append({"padded to": length, "pooling": pooling, "largest change of CKA": f"{apart:.1e}"})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "weights")
    parser.add_argument("--quick", action="store_true", help="fewer texts, changes and seeds")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    texts = sentences()[: 64 if given.quick else None]
    compared = changes(texts, given.quick)
    seen = language_models(given.folder, texts, given.quick)
    text = "# Tables\n"
    for title, table in {
        "The encoder, changed": of_changes(compared),
        "The same texts, padded": padding(texts[: len(texts) // 5]),
        "The first token, as trained": by_layer(seen["as trained"]),
        "With and without it": in_numbers(seen),
    }.items():
        text += f"\n## {title}\n\n{table.to_markdown(index=False, floatfmt='.3f', disable_numparse=True)}\n"
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    draw_changes(compared, given.out)
    draw_first_token(seen, given.out)
    print(text)


if __name__ == "__main__":
    main()
