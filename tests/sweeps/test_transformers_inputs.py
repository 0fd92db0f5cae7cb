"""Every Hugging Face type: what it takes, and that raw examples run through it, padded or not, to the same averages."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import Tensor, nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from cka_plugin.adapters.base import Layer, first_tensor
from cka_plugin.adapters.transformers.adapter import TransformersAdapter
from cka_plugin.adapters.transformers.forward import EITHER
from cka_plugin.adapters.transformers.inputs import forward, has_placeholders, mask, preparation
from cka_plugin.capture.pooling import pool
from tests.support.meta_run import meta_run
from tests.support.small_transformers import TEXTS, sounds, word_tokenizer
from tests.support.tiny_transformers import tiny
from tests.support.transformers_types import COMPLETED, UNBUILT, classes_of, restore_sizes
from tests.sweeps.test_transformers import Slow, within

ADAPTER = TransformersAdapter()
SECONDS = 90
PARAMETERS = 120_000_000
KNOWN = {  # types whose raw examples do not run right, and why; one that does by now fails the test
    "blt": "it runs over patches, whose bounds its patcher finds within `forward`, in the padding too: "
    "the inputs do not tell which patches are text",
}
WRONG = ("failed", "unmasked", "leaks", "slow")
INHERENT = {  # types of which a short text, by their own design, becomes something else beside a longer one
    "aimv2": "transformers drops the causal mask of its text tower where no text of the minibatch is padded",
    "canine": "local attention and strided convolution over characters, padding too",
    "convbert": "span-based convolutions read across the end of a text",
    "cpmant": "its prompt stands before the padding: distances from prompt to text grow with it",
    "fastspeech2_conformer": "the convolutions of its Conformer blocks have no mask",
    "fastspeech2_conformer_with_hifigan": "the convolutions of its Conformer blocks have no mask",
    "fnet": "Fourier transforms mix all positions and have no mask",
    "funnel": "its pooling cuts the last position off, a token or padding",
    "nystromformer": "landmarks are means over segments of the padded length",
    "prophetnet": "its prediction streams see the padding",
    "yoso": "hashed attention counts padded keys",
}
NOT_ALONE = ("alone", "does not take without text")  # what the adapter says of a kind that needs another beside it
IMAGES = [
    Image.fromarray(np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8))
    for i, shape in enumerate([(48, 64, 3), (80, 48, 3)])
]
EXAMPLES: dict[str, list[Any]] = {"image": IMAGES, "text": TEXTS, "audio": sounds(16_000, 25_000)}


@dataclass(frozen=True)
class Outcome:
    """What became of one type: `right`, `ran`, `refused`, `unbuilt`, `large`, `slow`, `failed`, `unmasked`, `leaks`
    or `mixes`.

    `right`: the first example has the same average of every block alone and beside a longer one; `ran`: the shapes of
    the default configuration fit; `mixes`: padding reaches what is averaged by the model's own design: the convolutions
    of a front end of sounds, training without mask, or what `INHERENT` says.
    """

    verdict: str
    reason: str = ""


def types() -> list[str]:
    return list(MODEL_MAPPING_NAMES)


def on_meta(model_type: str, small: bool = False) -> nn.Module:
    config_class = CONFIG_MAPPING[model_type]
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = tiny(config_class) if small else config_class(**COMPLETED.get(model_type, {}))
        model = of_config(config)
    restore_sizes(model)
    return model.eval()


def of_config(config: hf.PretrainedConfig) -> nn.Module:
    """The bare model of a configuration; where it has none, or one that it does not fit, the first with a task."""
    refused: Exception | None = None
    for name in classes_of(config.model_type):
        try:
            return getattr(hf, name)._from_config(config)
        except Exception as error:  # a configuration may fail a class in any way; the next class may take it
            refused = refused or error
    raise refused or ValueError(f"{config.model_type} has no model class")


def outcome(model_type: str) -> Outcome:
    """What becomes of a type: of a small model of it, else of its default configuration on the meta device."""
    torch.set_num_threads(1)
    try:
        with within(SECONDS):
            return _outcome(model_type)
    except Slow:
        return Outcome("slow", f"more than {SECONDS} s")


def _outcome(model_type: str) -> Outcome:
    found = in_small(model_type)
    return on_shapes(model_type, found) if found.verdict in ("unbuilt", "large", "slow", "failed") else found


def on_shapes(model_type: str, small: Outcome) -> Outcome:
    """Whether prepared raw examples run through the type's default configuration, where only shapes are computed."""
    try:
        model = on_meta(model_type)
    except Exception as error:
        return Outcome("unbuilt", f"{type(error).__name__}: {error}")
    try:
        prepared = preparation(model, word_tokenizer())
    except (ValueError, RuntimeError) as error:
        return Outcome("refused", str(error))
    try:
        with meta_run():
            for examples in raw_sets(model, prepared.kinds):
                run_or_say(model, prepared, examples)
    except Exception as error:
        return Outcome("failed", f"{type(error).__name__}: {error}; small: {small.reason}")
    return Outcome("ran", small.reason)


def run_or_say(model: nn.Module, prepared: Any, examples: list[Any]) -> None:
    """Run, or hear that the model does not run on examples of one kind alone."""
    try:
        forward(model, prepared.collate(examples))
    except ValueError as error:
        if len(prepared.kinds) == 1 or not any(said in str(error) for said in NOT_ALONE):
            raise


def raw_sets(model: nn.Module, kinds: tuple[str, ...]) -> list[list[Any]]:
    """Tuples of all kinds, or each kind by itself where only the model's own processor could join them."""
    sets = [EXAMPLES[kind] for kind in kinds]
    alone = len(sets) == 1 or has_placeholders(model) or model.config.model_type in EITHER
    return sets if alone else [list(zip(*sets, strict=True))]


def in_small(model_type: str) -> Outcome:
    """Build the type small, prepare two raw examples, and compare the first alone and beside the second."""
    try:
        model = on_meta(model_type, small=True)
    except Exception as error:
        return Outcome("unbuilt", f"{type(error).__name__}: {error}")
    if sum(p.numel() for p in model.parameters()) > PARAMETERS:
        return Outcome("large")
    torch.manual_seed(0)
    model = of_config(tiny(CONFIG_MAPPING[model_type])).eval()
    try:
        prepared = preparation(model, word_tokenizer())
    except (ValueError, RuntimeError) as error:
        return Outcome("refused", str(error))
    sets = raw_sets(model, prepared.kinds)
    found = []
    for examples in sets:
        try:
            found.append(compared(model, prepared.collate(examples), prepared.collate(examples[:1])))
        except Exception as error:
            if len(sets) > 1 and any(said in str(error) for said in NOT_ALONE):
                continue
            return Outcome("failed", f"{type(error).__name__}: {error}")
    if not found:
        return Outcome("refused", "no kind alone")
    return next((o for o in found if o.verdict != "right"), Outcome("right"))


def compared(model: nn.Module, both: Any, alone: Any) -> Outcome:
    """Whether every block of tokens or frames has a mask, under which padding changes nothing."""
    sequences = isinstance(both, dict) and any(key in both for key in ("input_ids", "input_values", "input_features"))
    together, single = activations(model, both, 2), activations(model, alone, 1)
    for layer, x in together.items():
        if x.ndim != 3 or layer not in single or not sequences:
            continue
        seen, own = mask(model, layer, both, x.shape[1]), mask(model, layer, alone, single[layer].shape[1])
        if seen is None or own is None:
            if set(both) & {"pixel_values", "pixel_values_videos"} or _one_length(both, alone):
                continue  # patches of an image, or of a spectrogram that is always as long
            return Outcome("unmasked", f"{layer.name}: {tuple(x.shape)}")
        expected = pool(single[layer], "auto", own)
        found = pool(x, "auto", seen)[:1]
        if found.shape != expected.shape or (found - expected).norm() > 1e-4 * expected.norm():
            sound = "input_values" in both or "input_features" in both
            verdict = "mixes" if sound or model.config.model_type in INHERENT else "leaks"
            reason = INHERENT.get(model.config.model_type, "")
            return Outcome(verdict, f"{layer.name}: {(found - expected).norm() / expected.norm():.1e} {reason}".strip())
    return Outcome("right")


def _one_length(both: Any, alone: Any) -> bool:
    """Whether an example is as large alone as beside a longer one."""
    made = [key for key in ("input_values", "input_features") if key in both]
    return bool(made) and all(both[key].shape[1:][-2:] == alone[key].shape[1:][-2:] for key in made)


def activations(model: nn.Module, inputs: Any, n: int) -> dict[Layer, Tensor]:
    """What each numbered block returned, the first time that it ran."""
    seen: dict[Layer, Tensor] = {}

    def hook(layer: Layer) -> Any:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            x = first_tensor(ADAPTER.activation(model, layer, output), n)
            if x is not None and layer not in seen:
                seen[layer] = (
                    x if x.shape[0] == n else x.transpose(0, 1) if x.shape[1] == n else x.unflatten(0, (n, -1))
                )

        return keep

    handles = [module.register_forward_hook(hook(layer)) for layer, module in blocks(model)]
    try:
        with torch.inference_mode():
            torch.manual_seed(0)
            forward(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def blocks(model: nn.Module) -> Iterator[tuple[Layer, nn.Module]]:
    from cka_plugin.adapters.transformers.layers import layers

    for layer in layers(model, "block"):
        if layer.kind == "block":
            yield layer, model.get_submodule(layer.path)


# The tests -----------------------------------------------------------------------------------------------------------

TEXT = (
    "bert squeezebert roberta albert distilbert xlnet gpt2 llama mistral mamba t5 bart mbart pegasus marian bloom opt"
)
IMAGE = "vit deit beit dinov2 swin convnext resnet segformer detr clip_vision_model siglip_vision_model poolformer "
IMAGE += "glm_image_vision lw_detr uvdoc"
AUDIO = "wav2vec2 hubert wavlm whisper audio-spectrogram-transformer speech_to_text "
AUDIO += "muse_spark_audio nemotron3_5_transcribe_audio voxtral_realtime"
SEVERAL = "clip siglip blip clap vilt diffusion_gemma nemo_speechlm"


def outcome_if_known(model_type: str) -> Outcome:
    if model_type not in CONFIG_MAPPING:
        pytest.skip("not in this version of transformers")
    return outcome(model_type)


@pytest.mark.parametrize("model_type", [*TEXT.split(), *IMAGE.split(), *SEVERAL.split()])
def test_raw_examples_run_and_padding_changes_no_average(model_type: str) -> None:
    found = outcome_if_known(model_type)
    assert found.verdict in ("right", "ran"), found


@pytest.mark.parametrize("model_type", AUDIO.split())
def test_raw_sounds_run_and_have_masks(model_type: str) -> None:
    found = outcome_if_known(model_type)
    assert found.verdict in ("right", "ran", "mixes"), found


@pytest.mark.parametrize("model_type", ["patchtst", "decision_transformer", "videomae", "lxmert"])
def test_types_of_other_inputs_say_what_they_take(model_type: str) -> None:
    found = outcome(model_type)
    assert found.verdict == "refused"
    assert "cannot be prepared from raw examples; give tensors in a mapping" in found.reason


def report(outcomes: dict[str, Outcome]) -> str:
    """How many types have which outcome, and the reasons of those that are not right."""
    counts = Counter(found.verdict for found in outcomes.values())
    lines = [
        f"{counts['right'] + counts['ran'] + counts['mixes']} of {len(outcomes)} take raw examples; {dict(counts)}"
    ]
    lines += [
        f"  {name}: {found.verdict}: {found.reason}" for name, found in outcomes.items() if found.verdict != "right"
    ]
    return "\n".join(lines)


@pytest.mark.sweep
def test_every_type_takes_raw_examples_or_says_what_it_takes() -> None:
    names = types()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        outcomes = dict(zip(names, pool.map(outcome, names, chunksize=4), strict=True))
    print("\n" + report(outcomes))
    wrong = {name for name, found in outcomes.items() if found.verdict in WRONG}
    wrong |= {name for name, found in outcomes.items() if found.verdict == "unbuilt" and name not in UNBUILT}
    unknown, right_by_now = sorted(wrong - set(KNOWN)), sorted(set(KNOWN) & set(outcomes) - wrong)
    assert not unknown, f"to repair, or to name in KNOWN: {unknown}\n{report(outcomes)}"
    assert not right_by_now, f"to take out of KNOWN: {right_by_now}"
