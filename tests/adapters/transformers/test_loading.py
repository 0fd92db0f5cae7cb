"""Loading Hugging Face models: folders, model types, weights in files, the hub out of reach."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cka_plugin.adapters import load_model
from cka_plugin.adapters.hub import reachable
from cka_plugin.adapters.transformers.adapter import TransformersAdapter

transformers = pytest.importorskip("transformers")
ADAPTER = TransformersAdapter()
TINY = {
    "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50,
    "max_position_embeddings": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(**TINY, id2label={0: "no", 1: "yes", 2: "perhaps"})
    return transformers.BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def folder(classifier: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "classifier"
    classifier.save_pretrained(path)
    return path


def test_a_folder_gives_the_class_it_was_saved_from_with_its_weights(classifier, folder) -> None:
    model = load_model(str(folder))
    assert type(model) is transformers.BertForSequenceClassification
    assert torch.equal(model.classifier.weight, classifier.classifier.weight)
    assert model._cka_source == str(folder)
    assert model._cka_source_kwargs == {"trust_remote_code": False}


def test_a_folder_without_weights_gives_the_bare_architecture(classifier, folder) -> None:
    model = load_model(str(folder), pretrained=False)
    assert type(model) is transformers.BertForSequenceClassification
    assert not torch.equal(model.classifier.weight, classifier.classifier.weight)


def test_a_model_type_gives_its_default_configuration_with_settings_changed() -> None:
    model = load_model("hf:bert", pretrained=False, **TINY)
    assert type(model) is transformers.BertModel
    assert model.config.num_hidden_layers == 2
    assert model.config.type_vocab_size == transformers.BertConfig().type_vocab_size
    assert model._cka_source is None


def test_a_model_type_has_no_weights() -> None:
    with pytest.raises(ValueError, match=r"'bert' is a model type.*pretrained=False"):
        load_model("hf:bert")


def test_a_type_without_a_bare_model_gives_one_with_a_task() -> None:
    with torch.device("meta"):
        assert type(load_model("hf:depth_anything", pretrained=False)).__name__ == "DepthAnythingForDepthEstimation"


def test_a_type_that_is_only_a_part_of_others_says_so() -> None:
    with pytest.raises(ValueError, match="part of others"):
        load_model("hf:sam_mask_decoder", pretrained=False)


def test_what_from_pretrained_takes_passes_through(folder) -> None:
    model = load_model(str(folder), dtype=torch.bfloat16, attn_implementation="eager", revision="main")
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "eager"
    assert model._cka_source_kwargs["revision"] == "main"


def test_a_configuration_that_builds_nothing_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match=r"cannot build 'dots1' from this configuration.*local folder"):
        ADAPTER.load("dots1", pretrained=False)


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match="nonsense: no setting of BertConfig"):
        load_model("hf:bert", pretrained=False, nonsense=1)


@pytest.mark.parametrize("kind", ["pth", "safetensors", "wrapped"])
def test_a_checkpoint_file_gives_the_weights(classifier, folder, tmp_path, kind) -> None:
    state = {key: value.clone() for key, value in classifier.state_dict().items()}
    file = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(state, file)
    else:
        torch.save({"state_dict": state} if kind == "wrapped" else state, file)
    model = load_model(str(folder), checkpoint=str(file))
    assert torch.equal(model.classifier.weight, classifier.classifier.weight)
    assert torch.equal(
        model.bert.encoder.layer[1].output.dense.weight, state["bert.encoder.layer.1.output.dense.weight"]
    )


def test_tied_weights_saved_once_are_not_missing(tmp_path) -> None:
    config = transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=50, eos_token_id=1, bos_token_id=1)
    saved = transformers.GPT2LMHeadModel(config)
    saved.save_pretrained(tmp_path)
    model = load_model(str(tmp_path), checkpoint=str(tmp_path / "model.safetensors"))
    assert torch.equal(model.lm_head.weight, saved.transformer.wte.weight)


def test_a_checkpoint_that_does_not_fit_is_reported_key_by_key(classifier, folder, tmp_path) -> None:
    state = dict(classifier.state_dict())
    del state["classifier.bias"]
    state["classifier.weight"] = torch.ones(7, 16)
    state["stray"] = torch.ones(1)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not fit BertForSequenceClassification") as error:
        load_model(str(folder), checkpoint=str(tmp_path / "other.pth"))
    for part in (
        "missing from the file (classifier.bias)",
        "another shape (classifier.weight",
        "not in the model (stray)",
    ):
        assert part in str(error.value)


def test_a_checkpoint_that_would_run_code_is_refused(folder, tmp_path) -> None:
    torch.save({"weight": torch.nn.Linear(2, 2)}, tmp_path / "pickled.pth")
    with pytest.raises(ValueError, match="weights_only"):
        load_model(str(folder), checkpoint=str(tmp_path / "pickled.pth"))


def test_weights_initialised_at_random_are_named_in_a_warning(classifier, tmp_path) -> None:
    classifier.bert.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForSequenceClassification"]}))
    with pytest.warns(UserWarning, match=r"2 weights .* initialised at random \(classifier.bias, classifier.weight\)"):
        load_model(str(tmp_path))


def test_a_whole_checkpoint_loads_without_a_warning(folder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_model(str(folder))


def test_a_folder_without_a_weights_file_says_what_to_do(folder, tmp_path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(OSError, match="cannot load the weights.*pretrained=False"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "hf:~/nowhere"])
def test_a_missing_folder_is_named(name) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ADAPTER.load(name)


def test_a_folder_of_something_else_is_told_apart(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no config.json"):
        ADAPTER.load(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="PEFT adapter"):
        ADAPTER.load(str(tmp_path))


def test_a_hub_out_of_reach_is_an_error_at_once(monkeypatch) -> None:
    monkeypatch.setattr("cka_plugin.adapters.transformers.loading.reachable", lambda url: False)
    with pytest.raises(OSError, match=r"cannot reach the Hugging Face hub.*'owner/model'.*local folder"):
        load_model("owner/model")


def test_a_cached_model_loads_with_the_hub_out_of_reach(classifier, folder, monkeypatch) -> None:
    """The cache is stood in for by a folder: what matters is that only local files are asked for, and remembered."""
    asked = {}

    def configuration(source, **kwargs):
        asked.update(kwargs)
        return classifier.config

    monkeypatch.setattr("cka_plugin.adapters.transformers.loading.reachable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(folder / "config.json"))
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", configuration)
    model = load_model("owner/model", pretrained=False)
    assert asked["local_files_only"] is True
    assert model._cka_source == "owner/model"
    assert model._cka_source_kwargs["local_files_only"] is True


def test_remote_code_runs_only_when_asked_for(tmp_path) -> None:
    code = "from transformers import BertConfig, BertModel\nclass Mine(BertModel):\n    pass\n"
    (tmp_path / "mine.py").write_text(code)
    config = transformers.BertConfig(**TINY).to_dict()
    config |= {"model_type": "mine", "architectures": ["Mine"]}
    config["auto_map"] = {"AutoConfig": "mine.BertConfig", "AutoModel": "mine.Mine"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_model(str(tmp_path), pretrained=False)


def test_names_are_known_without_asking_anyone(folder) -> None:
    assert ADAPTER.knows(str(folder))
    assert ADAPTER.knows("owner/model")
    assert not ADAPTER.knows("bert")
    assert not ADAPTER.knows("./owner/model")
    assert not ADAPTER.knows(str(folder.parent))


def test_names_are_listed_with_their_prefix() -> None:
    assert ADAPTER.list_names("bert") == ["hf:bert"]
    assert {"hf:distilbert", "hf:bert"} <= set(ADAPTER.list_names("*bert"))
    assert len(ADAPTER.list_names()) > 500


def test_class_names_are_those_of_the_configuration_unless_they_are_made_up(classifier, folder) -> None:
    assert ADAPTER.class_names(classifier) == ["no", "yes", "perhaps"]
    assert ADAPTER.class_names(load_model(str(folder))) == ["no", "yes", "perhaps"]
    assert ADAPTER.class_names(transformers.BertForSequenceClassification(transformers.BertConfig(**TINY))) is None


def test_an_unreachable_address_is_found_out_within_seconds() -> None:
    assert not reachable("http://nowhere.invalid")


def test_the_command_lists_types_as_they_are_asked_for(capsys) -> None:
    from cka_plugin.cli.main import app

    app(["layers", "--list", "*mamba*"], standalone_mode=False)
    listed = capsys.readouterr().out.split()
    assert {"hf:mamba", "timm:mambaout_tiny"} <= set(listed)
