"""Which axes hold channels is told by the operations that made them, whatever their sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.capture.axes import Channels
from tests.support.layers import assert_layers

S = 8  # every axis but that of the examples has this size, so that sizes tell nothing


def channels(x: Tensor, function) -> tuple[int, ...] | None:
    with Channels() as followed:
        return followed.of(function(x))


MAPS = torch.randn(2, S, S, S)
TOKENS = torch.randn(2, S, S)
conv, linear = nn.Conv2d(S, S, 1), nn.Linear(S, S)


@pytest.mark.parametrize(
    ("made", "axes"),
    [
        (lambda: nn.Conv1d(S, S, 1)(TOKENS), (1,)),
        (lambda: nn.Conv1d(S, S, 1)(MAPS[0]), (1,)),
        (lambda: nn.Conv3d(1, S, 1)(MAPS[:, None]), (1,)),
        (lambda: nn.ConvTranspose2d(S, S, 1)(MAPS), (1,)),
        (lambda: nn.Conv2d(S, S, 1)(MAPS[0]), (0,)),  # without an axis for the examples
        (lambda: linear(MAPS), (3,)),
        (lambda: nn.LayerNorm(S)(TOKENS), (2,)),
        (lambda: nn.Embedding(S, S)(torch.zeros(2, S, dtype=torch.int64)), (2,)),
        (lambda: nn.LSTM(S, S)(TOKENS)[0], (2,)),
        (lambda: nn.GRU(S, S, batch_first=True)(TOKENS)[0], (2,)),
        (lambda: nn.MultiheadAttention(S, 2)(TOKENS, TOKENS, TOKENS)[0], (2,)),
        (lambda: nn.TransformerEncoderLayer(S, 2, S)(TOKENS), (2,)),
        (lambda: nn.BatchNorm2d(S)(MAPS), (1,)),
        (lambda: nn.BatchNorm1d(S)(TOKENS), (1,)),
        (lambda: nn.GroupNorm(2, S)(MAPS), (1,)),
        (lambda: nn.InstanceNorm2d(S)(MAPS), (1,)),
        (lambda: nn.MaxPool2d(2)(MAPS), (1,)),
        (lambda: nn.AdaptiveAvgPool1d(4)(TOKENS), (1,)),
        (lambda: nn.PixelShuffle(2)(MAPS), (1,)),
        (lambda: nn.Upsample(scale_factor=2)(conv(MAPS)), (1,)),
        (lambda: F.pad(conv(MAPS), (1, 1)), (1,)),
        (lambda: F.unfold(MAPS, 2), (1,)),
        (lambda: nn.GLU(1)(conv(MAPS)), (1,)),
        (lambda: conv(MAPS).relu_().add_(1) * 2 - MAPS, (1,)),
        (lambda: F.gelu(F.dropout(conv(MAPS))), (1,)),
        (lambda: conv(MAPS) * conv(MAPS).mean((2, 3), keepdim=True).sigmoid(), (1,)),
        (lambda: conv(MAPS).permute(0, 2, 3, 1), (3,)),
        (lambda: linear(MAPS).permute(0, 3, 1, 2).contiguous(), (1,)),
        (lambda: conv(MAPS).flatten(2).transpose(1, 2), (2,)),
        (lambda: linear(TOKENS).mT, (1,)),
        (lambda: torch.movedim(linear(MAPS), -1, 1), (1,)),
        (lambda: conv(MAPS)[:, :, ::2], (1,)),
        (lambda: linear(MAPS)[:, 0::2, 1::2], (3,)),
        (lambda: linear(MAPS)[:, 0], (2,)),
        (lambda: linear(MAPS)[..., None], (3,)),
        (lambda: linear(TOKENS)[torch.tensor([1, 0])], (2,)),
        (lambda: torch.roll(linear(MAPS), (1, 1), (1, 2)), (3,)),
        (lambda: torch.cat([torch.zeros(2, 1, S), linear(TOKENS)], 1), (2,)),
        (lambda: torch.stack([linear(TOKENS), linear(TOKENS)], 1), (3,)),
        (lambda: conv(MAPS).mean(2), (1,)),
        (lambda: linear(MAPS).amax((1, 2)), (1,)),
        (lambda: linear(MAPS).chunk(2, -1)[1], (3,)),
        (lambda: linear(TOKENS).view(2, S, 2, S // 2), (2, 3)),  # heads
        (lambda: linear(TOKENS).view(2, S, 2, S // 2).transpose(1, 2), (1, 3)),
        (lambda: linear(TOKENS).view(2, S, 2, S // 2).transpose(1, 2).transpose(1, 2).reshape(2, S, S), (2,)),
        (lambda: conv(MAPS).view(2, 2, S // 2, S, S).transpose(1, 2).reshape(MAPS.shape), (1,)),  # shuffled
        (lambda: linear(MAPS).view(2, 2, 4, 2, 4, S).transpose(2, 3).reshape(-1, 16, S), (2,)),  # windows
        (lambda: nn.Unflatten(1, (2, 4))(conv(MAPS)), (1, 2)),
        (lambda: torch.einsum("nld,de->nle", linear(TOKENS), torch.randn(S, S)), (2,)),
        (lambda: torch.einsum("ncl,lk->nck", nn.Conv1d(S, S, 1)(TOKENS), torch.randn(S, S)), (1,)),
        (lambda: linear(TOKENS) @ torch.randn(S, S), (2,)),
        (lambda: torch.randn(S, S) @ linear(TOKENS), (2,)),  # places mixed
        (lambda: nn.Linear(S, S)(linear(TOKENS).mT).mT, (1,)),  # the mixer's tokens: its last linear layer says
        (lambda: MAPS + 1, None),
        (lambda: linear(TOKENS).reshape(2, S * S), None),
        (lambda: linear(TOKENS) + linear(TOKENS).mT, None),
    ],
)
def test_operations_say_which_axes_are_channels(made, axes: tuple[int, ...] | None) -> None:
    with Channels() as followed:
        assert followed.of(made()) == axes


def test_attention_keeps_the_channels_of_its_values() -> None:
    with Channels() as followed:
        q = linear(TOKENS).view(2, S, 2, S // 2).transpose(1, 2)
        weights = (q @ q.transpose(-2, -1)).softmax(-1)
        assert followed.of(weights) == (1,)  # a map for each head
        assert followed.of(weights @ q) == (1, 3)
        assert followed.of(F.scaled_dot_product_attention(q, q, q)) == (1, 3)
        assert followed.of((weights @ q).transpose(1, 2).flatten(2)) == (2,)


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(4)), again=st.permutations(range(4)))
def test_any_order_of_axes_is_followed(order: list[int], again: list[int]) -> None:
    places = [order.index(1), [order[k] for k in again].index(1)]
    with Channels() as followed:
        x = conv(MAPS).permute(order)
        assert followed.of(x) == (places[0],)
        assert followed.of(x.permute(again).clone()) == (places[1],)


class ChannelsLastBlock(nn.Module):
    """As in Swin and ConvNeXt: (n, height, width, channels)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(S), nn.Linear(S, S)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


class MixedAxes(nn.Module):
    """Maps, maps with channels last, tokens, all axes of one size but the examples'."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, S, 3, padding=1)
        self.blocks = nn.ModuleList(ChannelsLastBlock() for _ in range(3))
        self.tokens, self.head = nn.Linear(S, S), nn.Linear(S, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.tokens(x.flatten(1, 2)).mean(1))

    def right(self, x: Tensor, pooled) -> dict[str, Tensor]:
        stem = self.stem(x)
        last, found = stem.permute(0, 2, 3, 1), {"stem": pooled(stem, (2, 3))}
        for k, block in enumerate(self.blocks):
            last = block(last)
            found[f"blocks.{k}"] = pooled(last, (1, 2))
        tokens = self.tokens(last.flatten(1, 2))
        return found | {"tokens": pooled(tokens, (1,)), "head": self.head(tokens.mean(1))}


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("size", [(8, 8), (8, 16), (16, 8), (6, 10)])
def test_maps_are_pooled_over_their_places(pooling: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net, x = MixedAxes().eval(), torch.randn(32, 3, *size)
    found = cka.represent({"net": net}, x, batch_size=8, pooling=pooling, progress=False)
    with torch.no_grad():
        assert_layers(found, net.right(x, Tensor.mean if pooling == "mean" else Tensor.amax))


@pytest.mark.parametrize(("pooling", "place"), [("cls", 0), ("last", -1)])
def test_the_first_and_the_last_place_of_sequences_in_any_order_of_axes(pooling: str, place: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(3, S, 1), nn.ReLU(), nn.Conv1d(S, S, 1)).eval()
    x = torch.randn(32, 3, S)
    found = cka.represent({"net": net}, x, batch_size=8, granularity="module", pooling=pooling, progress=False)
    assert_layers(found, {"0": net[0](x)[..., place], "1": net[:2](x)[..., place], "2": net(x)[..., place]})


def test_frames_of_one_example_are_places_too() -> None:
    from tests.support.folded import FramesThenLSTM

    torch.manual_seed(0)
    net, video = FramesThenLSTM(8).eval(), torch.randn(32, 3, 3, 8, 8)
    found = cka.represent({"net": net}, video, batch_size=8, granularity="module", pooling="mean", progress=False)
    with torch.no_grad():
        right = net.right(video)
        means = {"conv": right["conv"].mean((1, 3, 4)), "lstm": right["lstm"].mean(1), "head": right["head"]}
        assert_layers(found, means)


def test_where_nobody_knows_the_layer_is_named() -> None:
    class Opaque(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.numpy().copy())  # what comes back has no history

    options = {"batch_size": 8, "granularity": "module", "progress": False}
    net, x = nn.Sequential(nn.Conv1d(3, S, 1), Opaque(), nn.Flatten(), nn.Linear(S * S, 3)), torch.randn(32, 3, S)
    with pytest.warns(cka.CKAWarning, match=r"'1'.*places"):
        found = cka.represent({"net": net}, x, pooling="mean", **options)
    assert [layer.path for layer in found.layers] == ["0", "2", "3"]
    assert len(cka.represent({"net": net}, x, **options).layers) == 4  # flattened, it need not be known
    net, x = nn.Sequential(nn.Conv1d(3, S, 1), Opaque(), nn.Flatten(), nn.Linear(5 * S, 3)), torch.randn(32, 3, 5)
    found = cka.represent({"net": net}, x, pooling="mean", **options | {"batch_size": 16})
    assert len(found.layers) == 4  # no other order of axes has this shape
