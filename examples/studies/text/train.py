"""Train the small causal language models of the study: `python examples/studies/text/train.py FOLDER [--seeds 0 1 2]`.

Each is a Llama of 6 blocks, 48 wide, on byte pairs of 512 kinds; every training sequence begins with the token `<s>`.
A model is left as a Hugging Face folder of float16 weights with its tokenizer, `FOLDER/lm-sSEED`; a run that was
stopped goes on from `FOLDER/lm-sSEED.checkpoint.pt`. A little over a minute of a core each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parent))
from texts import prose, sentences

VOCABULARY, LENGTH, BATCH, STEPS, RATE = 512, 48, 16, 1600, 4e-3
KEPT_EVERY = 200


def trained_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte pairs learned from the texts; a text begins with `<s>`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>")


def network(seed: int) -> LlamaForCausalLM:
    """The model, untrained."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    return LlamaForCausalLM(config)


def windows(stream: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count, LENGTH) token ids: `<s>`, then what stands at random places of the texts."""
    starts = torch.randint(len(stream) - LENGTH, (count,), generator=generator)
    ids = stream[starts[:, None] + torch.arange(LENGTH)]
    ids[:, 0] = 0
    return ids


@cache
def tokens() -> tuple[PreTrainedTokenizerFast, Tensor, Tensor]:
    """The tokenizer, the texts to train on as one row of token ids, and the sentences of the study."""
    held_out = set(sentences())
    texts = [text for text in prose() if not any(sentence in text for sentence in held_out)]
    tokenizer = trained_tokenizer(texts)
    rows = (
        tokenizer(texts, add_special_tokens=False)["input_ids"],
        tokenizer(sorted(held_out), add_special_tokens=False)["input_ids"],
    )
    stream, test = (torch.tensor([token for ids in row for token in ids]) for row in rows)
    return tokenizer, stream, test


@torch.no_grad()
def told_of(net: LlamaForCausalLM, test: Tensor) -> str:
    """Loss on the sentences of the study, and the norm of `<s>` as a multiple of that of others, layer by layer."""
    net.eval()
    ids = windows(test, 64, torch.Generator().manual_seed(0))
    seen = net(input_ids=ids, labels=ids, output_hidden_states=True)
    net.train()
    norms = [h[:, 0].norm(dim=-1).mean() / h[:, 1:].norm(dim=-1).mean() for h in seen.hidden_states[:-1]]
    return f"{seen.loss:.2f} held out, norm of <s> {' '.join(f'{norm:.1f}' for norm in norms)}"


def train(seed: int, folder: Path, steps: int) -> None:
    """Train one model unless it is there: AdamW, rate 0.004 by a cosine after a warm-up, weight decay 0.1."""
    out = folder / f"lm-s{seed}"
    if (out / "config.json").exists():
        return
    tokenizer, stream, test = tokens()
    net, generator = network(seed).train(), torch.Generator().manual_seed(seed)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim < 2]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, RATE, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.05)
    kept, start, seconds = folder / f"lm-s{seed}.checkpoint.pt", 0, 0.0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        start, seconds = state["step"], state["seconds"]
    for step in range(start, steps):
        began = time.process_time()
        ids = windows(stream, BATCH, generator)
        loss = net(input_ids=ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        seconds += time.process_time() - began
        if (step + 1) % KEPT_EVERY == 0:
            state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
            state |= {"generator": generator.get_state(), "step": step + 1, "seconds": seconds}
            torch.save(state, kept)
            told = f"seed {seed} step {step + 1}: {loss:.2f}, {told_of(net, test)}"
            print(told, flush=True)
    net.eval().half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    told = {"seed": seed, "steps": steps, "test": told_of(net.float(), test), "seconds": round(seconds)}
    (out / "training.json").write_text(json.dumps(told), encoding="utf-8")
    kept.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        train(seed, given.folder, given.steps)


if __name__ == "__main__":
    main()
