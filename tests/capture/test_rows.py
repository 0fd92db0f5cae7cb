"""What belongs to an example is known, never guessed from sizes that happen to be equal."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from tests.support.folded import FoldedTokens, FramesThenLSTM, Packed, Pairs, SequenceFirst, Several
from tests.support.layers import assert_layers
from tests.support.nets import ConvNet, images


def represented(net: nn.Module, data, n: int, **options):
    return cka.represent({"net": net}, data, batch_size=n, granularity="module", progress=False, **options)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize(("n", "last"), [(16, 16), (8, 5), (6, 4)])
def test_frames_folded_into_the_batch(time_first: bool, n: int, last: int) -> None:
    """Also with as many channels as examples, and in a shorter last minibatch."""
    net, video = FramesThenLSTM(16, time_first).eval(), torch.randn(2 * n + last, 3, 3, 8, 8)
    found = represented(net, video, n)
    with torch.no_grad():
        assert_layers(found, net.right(video))
    rows = found.options["rows"]
    together = "n apart" if time_first else "side by side"
    assert rows["conv"] == f"axis 0, 3 rows an example, {together}"
    assert rows.get("lstm") == ("axis 1" if time_first else None)
    assert "head" not in rows


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(("length", "n"), [(16, 16), (12, 12), (7, 16), (16, 8), (8, 16)])
def test_sequences_first(kind: type[nn.Module], length: int, n: int) -> None:
    """Also as long as a minibatch, or half or twice as long, or with as many features."""
    net, ids = SequenceFirst(kind).eval(), torch.randint(0, 50, (32 if n != 12 else 36, length))
    found = represented(net, ids, n)
    with torch.no_grad():
        assert_layers(found, net.right(ids))
    assert found.options["rows"] == dict.fromkeys(("words", "recurrent", "norm"), "axis 1")


def test_pairs_joined_along_the_batch() -> None:
    net, (a, b) = Pairs().eval(), torch.randn(2, 32, 6)
    with torch.no_grad():
        assert_layers(represented(net, {"a": a, "b": b}, 8), net.right(a, b))


@pytest.mark.parametrize(("length", "n"), [(8, 8), (16, 8), (5, 8), (8, 16)])
def test_tokens_heads_and_features_anywhere(length: int, n: int) -> None:
    net, x = FoldedTokens().eval(), torch.randn(48, length, 8)
    with torch.no_grad():
        assert_layers(represented(net, x, n), net.right(x))


@pytest.mark.parametrize("enforce_sorted", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_packed_sequences_are_read_by_example(enforce_sorted: bool, equal: bool) -> None:
    net, x = Packed(enforce_sorted).eval(), torch.randn(32, 8, 5)
    lengths = torch.full((32,), 8) if equal else torch.randint(1, 9, (32,))
    if not enforce_sorted:
        found = represented(net, {"x": x, "lengths": lengths}, 8)
    else:  # in minibatches whose longest sequences come first
        lengths = lengths.sort(descending=True).values
        examples = [{"x": x[i], "lengths": lengths[i]} for i in range(32)]
        loader = torch.utils.data.DataLoader(examples, batch_size=8)
        found = cka.represent({"net": net}, loader, granularity="module", progress=False)
    with torch.no_grad():
        assert_layers(found, net.right(x, lengths))


@pytest.mark.parametrize("n", [8, 16])
def test_of_several_tensors_the_first_that_moves_with_the_examples_is_read(n: int) -> None:
    net, x = Several(n).eval(), torch.randn(48, 6)
    found = cka.represent({"net": net}, x, batch_size=n, progress=False)
    right = {path: value.detach() for path, value in net.right(x).items()}
    assert_layers(found, right)
    told = {"blocks.0": "tensor 2, axis 0", "blocks.1": "tensor 1, axis 1", "blocks.2": "tensor 2, axis 0"}
    paths = {layer.name: layer.path for layer in found.layers}
    assert {paths[name]: rows for name, rows in found.options["rows"].items()} == told


class Table(nn.Module):
    """A layer of a table of positions, and one with an expert that gets the tokens routed to it."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.expert, self.head = nn.Embedding(16, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions(torch.arange(16))
        order = x.flatten(0, 1)[:, 0].argsort()
        routed = torch.empty_like(x.flatten(0, 1))
        routed[order] = self.expert(x.flatten(0, 1)[order])
        return self.head(routed.view_as(x).mean(1))


@pytest.mark.parametrize("n", [4, 8, 16])
def test_layers_of_nobody_are_left_out_by_name(n: int) -> None:
    with pytest.warns(cka.CKAWarning, match=r"'positions'.*'expert'"):
        found = represented(Table().eval(), torch.randn(48, 16, 6), n)
    assert found.layer_names == ["head"]


def test_a_layer_that_is_constant_at_first_is_told_when_it_is_not() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor, on: Tensor) -> Tensor:
            return self.head(self.first((x * on[:, None])[None])[0])

    net, x = Gated().eval(), torch.randn(48, 16)
    on = (torch.arange(48) >= 16).float()
    loader = torch.utils.data.DataLoader([{"x": x[i], "on": on[i]} for i in range(48)], batch_size=16)
    found = cka.represent({"net": net}, loader, granularity="module", progress=False)
    assert found.options["rows"] == {"first": "axis 1"}
    first = net.first(x * on[:, None]).detach()
    assert_layers(found, {"first": first, "head": net.head(first).detach()})


def test_models_that_draw_random_numbers_are_read_by_example() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.noise, self.head = nn.Linear(6, 32), nn.Dropout(0.3), nn.Linear(32, 24)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x).T  # (d, n), with d == n
            h = nn.functional.dropout(h, 0.5) + torch.randn_like(h)
            return self.head(self.noise(h).T)

    found = represented(Noisy(), torch.randn(96, 6), 32)
    assert found.layer_names == ["first", "noise", "head"]
    assert found.options["rows"] == {"noise": "axis 1"}


def test_norms_over_the_batch_change_nothing() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU(), nn.Linear(8, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "rows" not in represented(net, torch.randn(48, 6), 8).options


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_plain_networks_are_plain_in_any_precision(precision: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = represented(ConvNet(16), images(48, 16), 16, precision=precision)
    assert "rows" not in found.options


def test_dead_layers_are_nan_and_not_left_out() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(net[0].bias, -100.0)
    with pytest.warns(cka.CKAWarning, match="constant"):
        comparison = cka.compare(
            {"net": net}, data=torch.randn(48, 6), batch_size=8, granularity="module", progress=False
        )
    assert len(comparison.layers("net")) == 3


def test_equal_examples_tell_nothing_and_are_nan() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.warns(cka.CKAWarning, match="constant"):
        cka.compare({"net": net}, data=torch.ones(16, 6), batch_size=8, granularity="module", progress=False).matrix()


def test_what_the_second_pass_does_leaves_no_trace() -> None:
    class Remembering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
            self.register_buffer("sum", torch.zeros(8))

        def forward(self, x: Tensor) -> Tensor:
            x.mul_(2.0)  # what it is given is its own
            h = self.first(x) + self.sum
            self.sum = self.sum + h.mean(0)
            return self.head(h)

    net, x = Remembering(), torch.randn(32, 6)
    found = represented(copy.deepcopy(net), x.clone(), 8)
    order = [int(i) for i in found.example_ids]
    # Every minibatch meets the model as it was lent.
    outputs = torch.cat([copy.deepcopy(net)(x[order[i : i + 8]].clone()) for i in range(0, 32, 8)]).detach()
    heads = torch.empty(32, 3)
    heads[order] = outputs
    assert torch.allclose(torch.as_tensor(found.logits), outputs, atol=1e-5)
    assert_layers(found, {"head": heads})


def test_models_of_known_frameworks_run_once() -> None:
    import timm

    passes = []
    net = timm.create_model("test_resnet")
    net.register_forward_pre_hook(lambda *_: passes.append(1))
    cka.represent(net, torch.randn(16, 3, 32, 32), batch_size=8, progress=False)
    assert len(passes) == 2
    represented(net, torch.randn(16, 3, 32, 32), 8)
    assert len(passes) == 4


def test_complex_activations_are_named_and_compared_by_the_real_part_of_their_inner_products() -> None:
    class Fourier(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft(x)

    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.fourier, self.head = nn.Linear(6, 8), Fourier(), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.fourier(self.first(x)).abs())

    net, x = Spectral().eval(), torch.randn(48, 6)
    with pytest.warns(cka.CKAWarning, match="complex activations of net, 'fourier'"):
        found = represented(net, x, 8)
    z = torch.fft.rfft(net.first(x))
    assert_layers(found, {"first": net.first(x), "fourier": torch.cat([z.real, z.imag], 1)})


def test_sparse_activations_are_read() -> None:
    class Sparse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * (x > 0)).to_sparse()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.sparse, self.head = nn.Linear(6, 8), Sparse(), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.sparse(self.first(x)).to_dense())

    net, x = Net().eval(), torch.randn(48, 6)
    assert_layers(represented(net, x, 8), {"first": net.first(x), "sparse": net.first(x).relu()})


def test_an_expert_that_is_not_always_asked_is_named() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.early, self.late, self.head = (nn.Linear(6, 6) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            return self.head(self.late(h) if float(x[:, 5].mean()) > 5 else self.early(h))

    x = torch.randn(48, 6)
    x[32:, 5] = 10.0
    examples = torch.utils.data.DataLoader([{"x": row} for row in x], batch_size=16)
    with pytest.warns(cka.CKAWarning) as warned:
        found = cka.represent({"net": Gate().eval()}, examples, granularity="module", progress=False)
    paths = {layer.name: layer.path for layer in found.layers}
    assert list(paths.values()) == ["first", "early", "head"]
    assert [paths[name] for name in found.problems] == ["early"]
    said = " ".join(str(warning.message) for warning in warned)
    assert "of net is NaN: it did not run on every minibatch" in said
    assert "(late)': it did not run on the first minibatch" in said


@pytest.mark.parametrize("pooling", ["mean", "last", "cls", "max"])
def test_packed_sequences_are_pooled_over_their_own_length(pooling: str) -> None:
    net, x, lengths = Packed(False).eval(), torch.randn(32, 8, 5), torch.randint(1, 9, (32,))
    found = represented(net, {"x": x, "lengths": lengths}, 8, pooling=pooling)
    with torch.no_grad():
        states = net.right(x, lengths)["lstm"]
    own = [row[:length] for row, length in zip(states, lengths.tolist(), strict=True)]
    pooled = {"mean": lambda s: s.mean(0), "last": lambda s: s[-1], "cls": lambda s: s[0], "max": lambda s: s.amax(0)}
    assert_layers(found, {"lstm": torch.stack([pooled[pooling](s) for s in own])})


def test_blocks_of_transformers_that_hold_the_length_first_are_read_by_example() -> None:
    from transformers import FSMTConfig, FSMTModel

    config = FSMTConfig(
        langs=["en", "de"],
        src_vocab_size=40,
        tgt_vocab_size=40,
        d_model=8,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
    )
    model, ids = FSMTModel(config).eval(), torch.randint(4, 40, (24, 6))
    found = cka.represent(
        {"net": model}, {"input_ids": ids}, batch_size=6, progress=False
    )  # as many tokens as examples
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True).encoder_hidden_states
    assert found.options["rows"]["encoder.blocks.0"] == "axis 1"
    assert_layers(found, {"encoder.layers.0": states[1].mean(1)})
