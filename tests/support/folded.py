"""Networks whose layers do not hold one row an example on their first axis, and what their activations are by example.

Each `right()` gives (N, ...) activations by path, made without the package.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class FramesThenLSTM(nn.Module):
    """A convolution on each frame of a video, then an LSTM; frames folded into the batch, or all first frames first."""

    def __init__(self, channels: int = 16, time_first: bool = False) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, channels, 3, padding=1), nn.AdaptiveAvgPool2d(2)
        self.lstm, self.head = nn.LSTM(4 * channels, 6, batch_first=not time_first), nn.Linear(6, 3)
        self.time_first = time_first

    def forward(self, video: Tensor) -> Tensor:
        n, t = video.shape[:2]
        frames = (video.transpose(0, 1) if self.time_first else video).flatten(0, 1)
        pooled = self.pool(self.conv(frames)).flatten(1)
        states = self.lstm(pooled.view(t, n, -1) if self.time_first else pooled.view(n, t, -1))[0]
        return self.head(states[-1] if self.time_first else states[:, -1])

    def right(self, video: Tensor) -> dict[str, Tensor]:
        conv = torch.stack([self.conv(frame) for frame in video.unbind(1)], 1)
        pooled = torch.stack([self.pool(frame) for frame in conv.unbind(1)], 1)
        own = pooled.flatten(2)
        states = self.lstm(own.transpose(0, 1))[0].transpose(0, 1) if self.time_first else self.lstm(own)[0]
        return {"conv": conv, "pool": pooled, "lstm": states, "head": self.head(states[:, -1])}


class SequenceFirst(nn.Module):
    """Embedding, a recurrent net, a norm and a linear layer on (length, n, d)."""

    def __init__(self, kind: type[nn.Module], d: int = 12) -> None:
        super().__init__()
        self.words, self.recurrent = nn.Embedding(50, d), kind(d, d)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.recurrent(self.words(ids.T))[0])[-1])

    def right(self, ids: Tensor) -> dict[str, Tensor]:
        words = self.words(ids)
        states = self.recurrent(words.transpose(0, 1))[0].transpose(0, 1)
        normed = self.norm(states)
        return {"words": words, "recurrent": states, "norm": normed, "head": self.head(normed[:, -1])}


class Pairs(nn.Module):
    """Two views of each example joined along the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(16, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        n = len(a)
        both = self.trunk(torch.cat([a, b]))
        return self.head(torch.cat([both[:n], both[n:]], 1))

    def right(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        one, other = self.trunk[0](a), self.trunk[0](b)
        return {"trunk.0": torch.stack([one, other], 1), "head": self.head(torch.cat([one, other], 1).tanh())}


class FoldedTokens(nn.Module):
    """Tokens folded into the batch for a linear layer, heads for the attention, and features first for a norm."""

    def __init__(self, d: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.inner, self.attention, self.turned = nn.Linear(d, d), nn.Softmax(dim=-1), nn.Dropout(0.5)
        self.head, self.heads = nn.Linear(d, 3), heads

    def forward(self, x: Tensor) -> Tensor:
        n, length, d = x.shape
        x = self.inner(x.reshape(n * length, d)).view(n, length, d)
        q = x.view(n, length, self.heads, -1).transpose(1, 2).flatten(0, 1)
        x = (self.attention(q @ q.transpose(1, 2)) @ q).view(n, self.heads, length, -1).transpose(1, 2).flatten(2)
        return self.head(self.turned(x.mean(1).T).T)

    def right(self, x: Tensor) -> dict[str, Tensor]:
        n, length, _ = x.shape
        inner = self.inner(x)
        q = inner.view(n, length, self.heads, -1).transpose(1, 2)
        weights = (q @ q.transpose(2, 3)).softmax(-1)
        mixed = (weights @ q).transpose(1, 2).flatten(2).mean(1)
        return {"inner": inner, "attention": weights, "turned": mixed, "head": self.head(mixed)}


class Packed(nn.Module):
    """A linear layer and an LSTM on packed sequences."""

    def __init__(self, enforce_sorted: bool) -> None:
        super().__init__()
        self.lstm, self.again = nn.LSTM(5, 7, batch_first=True), nn.GRU(7, 4, batch_first=True)
        self.head, self.enforce_sorted = nn.Linear(4, 3), enforce_sorted

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=self.enforce_sorted)
        return self.head(self.again(self.lstm(packed)[0])[1][-1])

    def right(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        def alone(net: nn.Module, x: Tensor) -> Tensor:
            states = [net(row[None, :length])[0][0] for row, length in zip(x, lengths.tolist(), strict=True)]
            return nn.utils.rnn.pad_sequence(states, batch_first=True)

        states = alone(self.lstm, x)
        again = alone(self.again, states)
        last = again[torch.arange(len(x)), lengths - 1]
        return {"lstm": states, "again": again, "head": self.head(last)}


class Several(nn.Module):
    """A module that returns a mapping of which one entry belongs to the examples, and one that returns a tuple."""

    class Mapped(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 5)
            self.register_buffer("table", torch.randn(n, 5))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {
                "loss": self.table.mean(),
                "table": self.table,
                "expanded": self.table[:1].expand(len(x), -1),
                "hidden": self.linear(x),
            }

    class Tupled(Mapped):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.table, self.linear(x["hidden"][:, [0, 1, 2, 3, 4, 0]]).T.contiguous()

    def __init__(self, n: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([self.Mapped(n), self.Tupled(n), self.Mapped(n)])
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[1](self.blocks[0](x))[1].T
        return self.head(self.blocks[2](x[:, [0, 1, 2, 3, 4, 0]])["hidden"])

    def right(self, x: Tensor) -> dict[str, Tensor]:
        six = [0, 1, 2, 3, 4, 0]
        first = self.blocks[0].linear(x)
        second = self.blocks[1].linear(first[:, six])
        third = self.blocks[2].linear(second[:, six])
        return {"blocks.0": first, "blocks.1": second, "blocks.2": third, "head": self.head(third)}
