"""Nothing given is dropped in silence: members go in by `forward` or by name, or are named in a warning or an error."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka

N = 24
GENERATOR = torch.Generator().manual_seed(0)
X, Z = torch.randn(N, 6, generator=GENERATOR), torch.randn(N, 6, generator=GENERATOR)
Y, LENGTHS = torch.arange(N) % 3, torch.arange(N) % 7 + 1


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def of(self, x: Tensor) -> Tensor:
        return self.head(self.first(x).tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.of(x)


class Optional(Net):
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.of(x if context is None else x + context)


class Two(Net):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.of(a - b)


class Lengths(Net):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.of(x * lengths[:, None])


class OptionalLengths(Net):
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.of(x if lengths is None else x * lengths[:, None])


class Whole(Net):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.of(batch["x"])


class Read(Net):
    def forward(self, d):  # type: ignore[no-untyped-def]
        return self.of(d["x"] + d["context"])


class Keywords(Net):
    def forward(self, **members: Tensor) -> Tensor:
        return self.of(members["x"])


def represent(net: nn.Module, data: Any, **options: Any) -> cka.Representation:
    return cka.represent({"net": net}, data, granularity="module", progress=False, **options)


def assert_gave(found: cka.Representation, right: Tensor, labelled: bool = True) -> None:
    assert found.logits is not None
    places = np.array([int(i) for i in found.example_ids])
    assert np.allclose(found.logits, right.detach().numpy()[places], atol=1e-5)
    assert (found.labels is not None) == labelled
    assert found.labels is None or found.labels.tolist() == Y[places].tolist()


def pairs(*members: Tensor) -> DataLoader:
    return DataLoader(TensorDataset(*members), batch_size=8)


def mappings(x: Tensor, y: Tensor) -> DataLoader:
    return DataLoader([{"x": one, "y": label} for one, label in zip(x, y, strict=True)], batch_size=8)


@pytest.mark.parametrize(
    ("net", "data", "right", "labelled"),
    [
        (Optional(), lambda: pairs(X, Z, Y), lambda net: net(X, Z), True),
        (Optional(), lambda: pairs(X, Y), lambda net: net(X), True),
        (Optional(), lambda: {"x": X, "context": Z, "label": Y}, lambda net: net(X, Z), True),
        (Optional(), lambda: {"image": X, "context": Z, "label": Y}, lambda net: net(X, Z), True),
        (Two(), lambda: pairs(X, Z, Y), lambda net: net(X, Z), True),
        (Two(), lambda: pairs(X, Z), lambda net: net(X, Z), False),
        (Two(), lambda: [((a, b), int(y)) for a, b, y in zip(X, Z, Y, strict=True)], lambda net: net(X, Z), True),
        (Two(), lambda: (X, Z, Y), lambda net: net(X, Z), True),
        (Two(), lambda: {"b": Z, "a": X, "label": Y}, lambda net: net(X, Z), True),
        (Lengths(), lambda: pairs(X, LENGTHS, Y), lambda net: net(X, LENGTHS), True),
        (Lengths(), lambda: pairs(X, LENGTHS), lambda net: net(X, LENGTHS), False),
        (OptionalLengths(), lambda: pairs(X, LENGTHS, Y), lambda net: net(X, LENGTHS), True),
        (Whole(), lambda: {"x": X, "label": Y}, lambda net: net({"x": X}), True),
        (Whole(), lambda: mappings(X, Y), lambda net: net({"x": X}), True),
        (Read(), lambda: {"x": X, "context": Z, "label": Y}, lambda net: net({"x": X, "context": Z}), True),
        (Keywords(), lambda: {"x": X, "label": Y}, lambda net: net(x=X), True),
    ],
)  # fmt: skip
def test_members_go_in_as_forward_takes_them(net: nn.Module, data: Any, right: Any, labelled: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", cka.CKAWarning)
        assert_gave(represent(net, data()), right(net), labelled)


@pytest.mark.parametrize(
    ("data", "left", "labelled"),
    [
        (lambda: pairs(X, Z, Y), r"member 1 \(float32", True),
        (lambda: pairs(X, torch.rand(N)), r"member 1 \(float32", False),
        (lambda: pairs(X, torch.randint(0, 2, (N, 5))), r"member 1 \(int64", False),
        (lambda: pairs(X, Y, LENGTHS), r"member 2 \(int64", True),
        (lambda: {"image": X, "label": Y, "path": [f"{i}.png" for i in range(N)]}, r"'path' \(text\)", True),
        (lambda: [((x, z), int(y)) for x, z, y in zip(X, Z, Y, strict=True)], r"'0\.1' \(float32", True),
    ],
)
def test_what_is_left_is_named_once(data: Any, left: str, labelled: bool) -> None:
    net = Net()
    with pytest.warns(cka.CKAWarning, match=f"not used of the examples, and left out: {left}.*inputs=") as said:
        assert_gave(represent(net, data()), net(X), labelled)
    assert len([one for one in said if "left out" in str(one.message)]) == 1


def test_where_nobody_can_tell_an_error_lists_the_members() -> None:
    with pytest.raises(ValueError, match=r"net takes \(a, b\).*'p' \(float32 .*'q'.*inputs=, or give forward="):
        represent(Two(), {"p": X, "q": Z})


def test_inputs_says_which_members_go_in() -> None:
    net = Two()
    for inputs in (["p", "q"], {"a": "p", "b": "q"}, {"b": "q", "a": "p"}):
        assert_gave(represent(net, {"q": Z, "p": X, "label": Y}, inputs=inputs), net(X, Z))
    assert_gave(represent(net, pairs(Z, X, Y), inputs=[1, 0]), net(X, Z))
    with pytest.raises(ValueError, match=r"inputs=\['r'\]: the examples have no 'r', they hold 'q'"):
        represent(net, {"q": Z, "p": X}, inputs="r")


def test_label_key_says_which_member_is_the_label() -> None:
    data = {"x": X, "label": LENGTHS, "truth": Y}
    with pytest.warns(cka.CKAWarning, match="'label'"):
        assert_gave(represent(Net(), data, label_key="truth", inputs=None), represent_logits(data), True)
    with pytest.raises(ValueError, match=r"label_key='kind': the examples hold 'x'"):
        represent(Net(), data, label_key="kind")
    with pytest.raises(ValueError, match="label_key=1: labels are not whole numbers"):
        represent(Net(), (X, torch.rand(N)), label_key=1)


def represent_logits(data: dict[str, Tensor]) -> Tensor:
    torch.manual_seed(0)
    return Net()(data["x"])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_forward_is_given_each_minibatch_as_it_came() -> None:
    net, seen = Two(), []

    def run(model: nn.Module, batch: Any) -> Tensor:
        seen.append(batch)
        return model(batch[1], batch[0])

    assert_gave(represent(net, pairs(Z, X, Y), forward=run), net(X, Z))
    assert all(len(batch) == 3 and isinstance(batch[2], Tensor) for batch in seen)
    by_name = cka.compare({"a": net, "b": Net()}, data=pairs(X, Z, Y), forward={"a": run}, progress=False)
    assert by_name.names == ["a", "b"]


def test_numbers_without_a_dtype_of_torch_are_given_in_that_of_the_model() -> None:
    for net in (Net(), Net().double()):
        right = net(X.to(next(net.parameters()).dtype)).float()
        for data in (X.double().numpy(), X.numpy(), X.tolist()):
            assert_gave(represent(net, data), right, labelled=False)
    assert_gave(represent(net := Net(), (X * 10).byte().numpy()), net((X * 10).byte().float()), labelled=False)


def test_channels_that_are_last_are_told() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(RuntimeError, match=r"the channels seem to be last.*permute\(0, 3, 1, 2\)"):
        represent(net, torch.rand(8, 9, 9, 3))


def test_a_model_of_lists_gets_a_list_and_others_a_tensor() -> None:
    class Lists(Net):
        def forward(self, images: list[Tensor], targets: Any = None) -> Tensor:
            assert isinstance(images, list)
            return self.of(torch.stack([image.mean(0) for image in images]))

    images = [torch.rand(3, 6) for _ in range(N)]
    for net, right in ((Lists(), lambda net: net(images)), (Net(), lambda net: net(torch.stack(images)).mean(1))):
        loader = DataLoader(images, batch_size=8, collate_fn=list)
        found = represent(net, loader)
        assert found.n_examples == N
        assert found.logits is None or np.allclose(found.logits, right(net).detach().numpy(), atol=1e-5)


def bert() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=60, max_position_embeddings=32, **sizes)
    return transformers.BertModel(config, add_pooling_layer=False).eval()


def test_tokens_of_a_tuple_go_by_what_they_hold() -> None:
    lengths = torch.randint(4, 17, (N, 1))
    mask = (torch.arange(16)[None] < lengths).long()
    ids, types = torch.randint(5, 60, (N, 16)) * mask, ((torch.arange(16)[None] > 3) & (mask > 0)).long()
    model = bert()
    right = represent(model, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "label": Y})
    for data in (
        (ids, mask, types, Y),
        (ids, types, mask, Y),
        [(a, b, c, int(y)) for a, b, c, y in zip(ids, mask, types, Y, strict=True)],
    ):
        found = represent(model, data)
        assert found.labels is not None
        assert np.allclose(cka.compare(right.renamed("a"), found.renamed("b"), match="ids").matrix().diagonal(), 1)


def test_tokens_of_unequal_length_are_filled_up() -> None:
    rows = [{"input_ids": list(range(5, 9 + i % 5)), "label": i % 3} for i in range(N)]
    model = bert()
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows])
    right = represent(model, {"input_ids": ids, "attention_mask": (ids > 0).long()}, name=None)
    found = represent(model, rows)
    assert np.allclose(cka.compare(right.renamed("a"), found.renamed("b"), match="ids").matrix().diagonal(), 1)
