"""What running channels last does to single networks: CPU time and outputs against PyTorch's default format."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from cka_plugin.capture.inputs import own_copy
from cka_plugin.capture.layouts import gains_from_channels_last, weights_channels_last
from cka_plugin.capture.packed_weights import weights_packed

NETWORKS = (
    "resnet18", "resnet50", "vgg11", "densenet121", "regnety_004", "mobilenetv3_small_100", "efficientnet_b0",
    "convnext_atto", "darknet53", "selecsls42", "repvgg_a0", "inception_v3", "ghostnet_100", "mixnet_s",
    "vit_tiny_patch16_224", "edgenext_xx_small", "mobilevit_xxs", "poolformer_s12",
)  # fmt: skip


def measure(repeats: int) -> dict[str, Any]:
    """Per network: whether it is run channels last, the ratio of CPU times, the largest relative change of outputs."""
    import timm

    found = {}
    for name in NETWORKS:
        torch.manual_seed(0)
        model = timm.create_model(name).eval()
        x = torch.randn(8, 3, 224 if name.startswith("vit") else 96, 224 if name.startswith("vit") else 96)
        plain, last = [], []
        for _ in range(repeats + 1):
            seconds, before = _timed(model, x)
            plain.append(seconds)
            with weights_channels_last(model), weights_packed(model):
                _timed(model, own_copy(x, channels_last=True))  # packs
                seconds, after = _timed(model, own_copy(x, channels_last=True))
            last.append(seconds)
        found[name] = {
            "channels_last": gains_from_channels_last(model, torch.device("cpu")),
            "ratio": statistics.median(last[1:]) / statistics.median(plain[1:]),
            "difference": float((before - after).abs().max() / before.abs().max()),
        }
    return found


def _timed(model: torch.nn.Module, x: torch.Tensor) -> tuple[float, torch.Tensor]:
    with torch.inference_mode():
        start = time.process_time()
        output = model(x)
        return time.process_time() - start, output


def table(found: dict[str, Any]) -> str:
    lines = [
        "| network | run channels last | time, channels last to default | largest change of the logits |",
        "|---|---|---|---|",
    ]
    for name, row in found.items():
        chosen = "yes" if row["channels_last"] else "no"
        lines.append(f"| {name} | {chosen} | {row['ratio']:.2f} | {row['difference']:.0e} |")
    return "\n".join(lines)
