"""From disk to the model: reading and preparing, beside what PyTorch's own `DataLoader` does with the same transforms.

Wall time, as it is about parallelism: run it on a machine that does nothing else; beside it the CPU time of all threads
and processes. Both sides begin with nothing read ahead and no worker started; the files lie in the system's cache. A
rate is of examples prepared for all models.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import cka_plugin as cka
from cka_plugin.data import ReadOptions, open_data
from cka_plugin.engine.feeding import feeding
from cka_plugin.models.subject import subjects
from cka_plugin.options import Options
from cka_plugin.workers import cores

PHOTOGRAPHS = 256
TEXTS = 8_192
SOUNDS = 192
SIDE = 224
BATCH = 64
SOURCES = ("astronaut", "coffee", "rocket", "retina", "hubble_deep_field", "immunohistochemistry")


class Photographs(Dataset[Tensor]):
    """As in everybody's training script."""

    def __init__(self, files: Sequence[Path], transform: Callable[[Any], Tensor]) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(self.files[index]).convert("RGB"))


class CostsNothing(nn.Module):
    """A model whose forward pass looks at a few pixels only."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.body(pixels[:, 0, 0, :8]))


def photographs(folder: Path, count: int = PHOTOGRAPHS) -> None:
    """Pieces of the photographs of scikit-image, of the size of ImageNet's, as JPEGs in two class folders."""
    from skimage import data

    rng = np.random.default_rng(0)
    sources = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in SOURCES]
    for number in range(count):
        source = sources[number % len(sources)]
        scale = rng.uniform(0.6, 1.0)
        width, height = int(min(500, source.width) * scale), int(min(400, source.height) * scale)
        left, top = rng.integers(0, source.width - width + 1), rng.integers(0, source.height - height + 1)
        piece = source.crop((int(left), int(top), int(left) + width, int(top) + height)).resize((500, 400))
        path = folder / ("even", "odd")[number % 2] / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        piece.save(path, quality=90)


def measure(repeats: int) -> dict[str, Any]:
    """Rates of ours to the DataLoader's, by job, and what they are made of."""
    with tempfile.TemporaryDirectory() as folder:
        photographs(Path(folder))
        jobs = {**_images(Path(folder)), **_texts(), **_sounds()}
        return {name: _ratio(ours, theirs, repeats) for name, (ours, theirs) in jobs.items()} | {"cores": cores()}


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    lines = [
        f"Ours to `DataLoader(num_workers={found['cores']})` (medians of runs in turn)\n",
        "| job | ours, s | DataLoader, s | rate, ours to DataLoader | CPU time, ours to DataLoader |",
        "|---|---|---|---|---|",
    ]
    for name, job in found.items():
        if isinstance(job, dict):
            lines.append(
                f"| {name} | {job['ours_s']:.2f} | {job['loader_s']:.2f} | {job['rate']:.2f} | {job['cpu']:.2f} |"
            )
    return "\n".join(lines)


def _ratio(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Medians of the two, run in turn, and of the ratios of neighbours."""
    runs = [(_costs(ours), _costs(theirs)) for _ in range(repeats + 1)]
    kept = runs[1:]  # the first begins what stays begun: libraries, the system's cache
    return {
        "ours_s": statistics.median(own[0] for own, _ in kept),
        "loader_s": statistics.median(other[0] for _, other in kept),
        "rate": statistics.median(other[0] / own[0] for own, other in kept),
        "cpu": statistics.median(own[1] / other[1] for own, other in kept),
    }


def _costs(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of wall time, and of CPU time of this process and of those that it has waited for."""
    wall, before = time.perf_counter(), os.times()
    run()
    after = os.times()
    return time.perf_counter() - wall, sum(after[:4]) - sum(before[:4])


Job = tuple[Callable[[], Any], Callable[[], Any]]


def _images(folder: Path) -> dict[str, Job]:
    import timm
    from timm.data import create_transform, resolve_model_data_config

    model = timm.create_model("resnet50").eval()
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    files = sorted(folder.rglob("*.jpg"))
    alone = partial(_all_of, DataLoader(Photographs(files, transform), BATCH, num_workers=cores()))
    three = {"a": model, "b": model, "c": model}
    unlike = {"a": model, "b": timm.create_model("vit_tiny_patch16_224"), "c": timm.create_model("convnext_atto")}
    transforms = [create_transform(**resolve_model_data_config(one), is_training=False) for one in unlike.values()]
    each = [DataLoader(Photographs(files, one), BATCH, num_workers=cores()) for one in transforms]
    nothing = {"a": CostsNothing().eval()}
    represent = partial(
        cka.represent, nothing, folder, transforms=transform, granularity="module", batch_size=BATCH, progress=False
    )
    return {
        "photographs, one model": (_prepared({"a": model}, folder), alone),
        "photographs, three models of equal preparation": (_prepared(three, folder), partial(_times, alone, 3)),
        "photographs, three models of other sizes and statistics": (
            _prepared(unlike, folder),
            lambda: [_all_of(loader) for loader in each],
        ),
        "photographs, represent on a model that costs nothing": (represent, alone),
    }


def _texts() -> dict[str, Job]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 9))) for _ in range(4000)]
    texts = [" ".join(rng.choice(words, rng.integers(20, 120))) for _ in range(TEXTS)]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.pre_tokenizer = pre_tokenizers.Whitespace()
    trained.train_from_iterator(
        texts[:500], trainers.WordPieceTrainer(vocab_size=2000, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, pad_token="[PAD]", unk_token="[UNK]")
    config = BertConfig(vocab_size=2000, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    model = BertModel(config).eval()

    def collate(some: list[str]) -> Any:
        return tokenizer(some, padding=True, truncation=True, max_length=512, return_tensors="pt")

    loader = partial(_all_of, DataLoader(texts, BATCH, num_workers=cores(), collate_fn=collate))
    return {
        "texts, one model": (_prepared({"a": model}, texts, tokenizer), loader),
        "texts, three models of equal preparation": (
            _prepared({"a": model, "b": model, "c": model}, texts, tokenizer),
            partial(_times, loader, 3),
        ),
    }


def _sounds() -> dict[str, Job]:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    rng = np.random.default_rng(0)
    sounds = [rng.standard_normal(32_000).astype(np.float32) for _ in range(SOUNDS)]
    extractor = ASTFeatureExtractor(max_length=256)
    config = ASTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, max_length=256)
    model = ASTModel(config).eval()

    def collate(some: list[Any]) -> Any:
        return extractor(some, sampling_rate=16_000, return_tensors="pt")

    loader = partial(_all_of, DataLoader(sounds, BATCH, num_workers=cores(), collate_fn=collate))
    return {
        "sounds, one model": (_prepared({"a": model}, sounds, extractor), loader),
        "sounds, three models of equal preparation": (
            _prepared({"a": model, "b": model, "c": model}, sounds, extractor),
            partial(_times, loader, 3),
        ),
    }


def _prepared(models: dict[str, nn.Module], data: Any, processor: Any = None) -> Callable[[], None]:
    """Ours: what a run does, without running the models."""
    options = Options(batch_size=BATCH, transforms=processor, granularity="module")
    takes = [one.takes for one in subjects(list(models.items()), options)]
    read = ReadOptions.of(options)

    def run() -> None:
        with feeding(open_data(data), read, takes, options) as batches:
            for batch in batches:
                for each in takes:
                    batch.for_model(each)

    return run


def _all_of(loader: Iterator[Any] | DataLoader[Any]) -> None:
    for _ in loader:
        pass


def _times(run: Callable[[], Any], count: int) -> None:
    for _ in itertools.repeat(None, count):
        run()


__all__ = ["measure", "photographs", "table"]
