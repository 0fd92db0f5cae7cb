"""(5) What TF32 and bfloat16 products would cost and gain; and how slices and parts of products are best cut."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from cka_plugin.core import products
from cka_plugin.core.centring import u_center
from cka_plugin.core.packing import pack
from tests.gpu.record import Record, wall

# (examples, features): a first map of ResNet at 224 px, a block of ViT-B, a map of ResNet-18 at 32 px and n = 1,000.
SHAPES = {"64 x 802,816": (64, 802_816), "256 x 151,296": (256, 151_296), "1000 x 65,536": (1000, 65_536)}


def precisions(record: Record) -> None:
    """Error of CKA, and time, of products in each precision."""
    n, d = record.size.of((256, 200_000), (32, 2000))
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(n, 40, generator=generator)
    layers = [
        (torch.randn(n, d, generator=generator) + 3 * shared @ torch.randn(40, d, generator=generator) + 2).relu()
        for _ in range(4)
    ]
    here = [layer.to(record.device) for layer in layers]
    truth = _cka([u_center(_centred(layer.double()) @ _centred(layer.double()).T)[0] for layer in here])
    for kind in ("float32", "tf32", "bfloat16"):

        def measured(kind: str = kind) -> dict[str, Any]:
            found = _cka([u_center(_product(layer, kind).double())[0] for layer in here])
            seconds = wall(record, lambda: [_product(layer, kind) for layer in here], record.size.of(5, 1))
            error = float((found - truth).abs().max())
            return {"error of CKA": error, "milliseconds a layer": 1e3 * statistics.median(seconds) / len(here)}

        what = f"products of {n} x {d} in {kind}"
        if kind == "tf32" and not record.on_cuda:
            record.check(what, lambda: "", cuda_only=True)
        else:
            record.measure(what, measured)


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(0)


def _product(x: Tensor, kind: str) -> Tensor:
    centred = _centred(x)
    if kind == "bfloat16":
        half = centred.bfloat16()
        return (half @ half.T).float()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    try:
        return centred @ centred.T
    finally:
        torch.set_float32_matmul_precision(before)


def _cka(grams: list[Tensor]) -> Tensor:
    vectors = torch.stack([pack(gram / gram.abs().max()) for gram in grams]).double()
    vectors /= vectors.norm(dim=1, keepdim=True)
    return vectors @ vectors.T


def cuts(record: Record) -> None:
    """Times of one layer's product by the size of slices and the number of parts: what the defaults should be."""
    shapes = SHAPES if not record.size.quick else {"16 x 4,096": (16, 4096)}
    for title, (n, d) in shapes.items():
        x = torch.randn(n, d, device=record.device)

        def measured(x: Tensor = x) -> dict[str, Any]:
            found = {}
            sizes = record.size.of((22, 24, 26), (24,))
            for size, tiles in itertools.product(sizes, record.size.of((1, 32, 128, 512), (1, 128))):
                with _cut(1 << size, tiles):
                    seconds = wall(record, lambda: products.centred_products(x), record.size.of(7, 1))
                found[f"{(1 << size) >> 20} MiB, {tiles} tiles: ms"] = 1e3 * statistics.median(seconds)
            used = (products._SLICE_BYTES_ELSEWHERE >> 20, products._TILES_ELSEWHERE)
            return {"used": f"{used[0]} MiB, {used[1]} tiles", **found}

        record.measure(f"centred products of {title}", measured)


@contextlib.contextmanager
def _cut(size: int, tiles: int) -> Iterator[None]:
    before = products._SLICE_BYTES_ELSEWHERE, products._TILES_ELSEWHERE
    products._SLICE_BYTES_ELSEWHERE, products._TILES_ELSEWHERE = size, tiles
    try:
        yield
    finally:
        products._SLICE_BYTES_ELSEWHERE, products._TILES_ELSEWHERE = before
