"""The sample that comes with the package: real digits, real photographs, four networks that have learnt the digits."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cka_plugin import sample
from tests.support import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def held_out():
    return sample.digits("test")


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return sample.models()


def logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        outputs = [network(part) for part in images.split(100)]
    return torch.cat([output if isinstance(output, torch.Tensor) else output.logits for output in outputs])


# -- digits


def test_digits_are_those_of_scikit_learn_with_its_labels():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    images, labels = load_digits(return_X_y=True)
    file = np.load(Path(sample.__file__).with_name("digits.npz"))
    np.testing.assert_array_equal(file["images"].reshape(1797, 64), images)
    np.testing.assert_array_equal(sample.digits("all")[1], labels)


def test_train_and_test_are_disjoint_and_make_up_the_whole():
    ids = {split: sample.digits(split)[2] for split in ("train", "test", "all")}
    assert (len(ids["train"]), len(ids["test"]), len(ids["all"])) == (1000, 797, 1797)
    assert not set(ids["train"]) & set(ids["test"])
    assert sorted(ids["train"] + ids["test"]) == ids["all"]


def test_no_held_out_picture_is_also_in_training():
    train, test = (sample.digits(split)[0].flatten(1).numpy() for split in ("train", "test"))
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}


def test_every_class_has_the_same_share_of_both_splits():
    train, test = (np.bincount(sample.digits(split)[1], minlength=10) for split in ("train", "test"))
    np.testing.assert_allclose(test / (train + test), 797 / 1797, atol=0.01)


def test_ids_say_where_the_example_lies_in_scikit_learns_digits():
    images, labels, ids = sample.digits("test")
    everything, all_labels, _ = sample.digits("all")
    positions = [int(identifier.removeprefix("digits/")) for identifier in ids]
    assert torch.equal(images, everything[positions])
    np.testing.assert_array_equal(labels, all_labels[positions])
    assert ids[:5] == ["digits/0000", "digits/0001", "digits/0004", "digits/0010", "digits/0011"]


def test_enlarging_is_bilinear_interpolation_to_within_rounding_to_256_levels():
    images, _, _ = sample.digits("all")
    small = torch.from_numpy(np.load(Path(sample.__file__).with_name("digits.npz"))["images"]).to(torch.float64)
    exact = nn.functional.interpolate(small[:, None], size=(32, 32), mode="bilinear", align_corners=False) / 8 - 1
    assert images.shape == (1797, 3, 32, 32)
    assert images.dtype == torch.float32
    assert (images - exact).abs().max() <= 1 / 255 + 1e-7  # half a level, in [-1, 1]


def test_pictures_prepared_with_mean_and_deviation_one_half_are_the_tensors(held_out):
    pictures, labels, ids = sample.digit_images("test")
    stacked = np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2)
    assert torch.equal(torch.from_numpy(stacked).to(torch.float32).div(255).sub(0.5).div(0.5), held_out[0])
    np.testing.assert_array_equal(labels, held_out[1])
    assert ids == held_out[2]


def test_what_is_handed_out_can_be_changed_without_changing_the_next(held_out):
    images, labels, ids = sample.digits("test")
    images.zero_()
    labels[:] = -1
    ids.clear()
    again = sample.digits("test")
    assert torch.equal(again[0], held_out[0])
    np.testing.assert_array_equal(again[1], held_out[1])
    assert again[2] == held_out[2]


def test_an_unknown_split_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'valid'.*train, test, all"):
        sample.digits("valid")


# -- photographs


@pytest.fixture(scope="module")
def crops():
    pytest.importorskip("skimage")
    return sample.photos(48, size=96)


def test_photos_are_rgb_crops_of_one_size_under_unique_ids(crops):
    images, ids = crops
    assert {image.size for image in images} == {(96, 96)}
    assert {image.mode for image in images} == {"RGB"}
    assert len(set(ids)) == 48
    assert ids[0] == "astronaut/0000"
    assert ids[17] == "cat/0001"
    assert {identifier.split("/")[0] for identifier in ids} == set(sample.PHOTOGRAPHS)


def test_all_photo_crops_differ_and_show_something(crops):
    images, _ = crops
    assert len({image.tobytes() for image in images}) == len(images)
    assert min(np.asarray(image).std() for image in images) > 1


def test_a_crop_depends_on_its_id_and_seed_and_not_on_how_many_are_asked_for(crops):
    images, ids = crops
    fewer, fewer_ids = sample.photos(20, size=96)
    other, _ = sample.photos(20, size=96, seed=1)
    assert fewer_ids == ids[:20]
    assert [image.tobytes() for image in fewer] == [image.tobytes() for image in images[:20]]
    assert all(a.tobytes() != b.tobytes() for a, b in zip(fewer, other, strict=True))


def test_photos_do_not_import_or_download_with_scikit_image():
    pytest.importorskip("skimage")
    script = "import sys; from cka_plugin import sample; sample.photos(16, 32); assert 'skimage' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_scikit_image_photos_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-image"):
        sample.photos(4)


def test_no_photos_are_refused():
    with pytest.raises(ValueError, match=r"photos\(n=0, size=224\)"):
        sample.photos(0)


# -- networks


@pytest.mark.parametrize("name", sample.MODELS)
def test_each_network_is_right_on_more_than_95_percent_of_the_digits_it_never_saw(name, networks, held_out):
    images, labels, _ = held_out
    assert (logits(networks[name], images).argmax(dim=1).numpy() == labels).mean() > 0.95


@pytest.mark.parametrize("name", sample.MODELS)
def test_files_of_a_network_are_under_a_megabyte(name):
    sizes = {file.name: file.stat().st_size for file in sample.model_folder(name).iterdir()}
    assert {"config.json", "model.safetensors"} <= set(sizes)
    assert max(sizes.values()) < 1_000_000


@pytest.mark.parametrize("name", sample.MODELS)
def test_networks_come_ready_to_use_as_float32_in_eval(name, networks):
    assert not any(module.training for module in networks[name].modules())
    assert {parameter.dtype for parameter in networks[name].parameters()} == {torch.float32}


def test_networks_are_real_timm_and_transformers_models(networks):
    from timm.models.resnet import ResNet
    from transformers import ViTForImageClassification

    assert {name: type(network) for name, network in networks.items()} == {
        "narrow": ResNet,
        "wide": ResNet,
        "deep": ResNet,
        "vit": ViTForImageClassification,
    }


def test_wide_is_wider_and_deep_is_deeper_than_narrow_and_nothing_else_differs():
    arguments = {
        name: json.loads((sample.model_folder(name) / "config.json").read_text())["arguments"]
        for name in ("narrow", "wide", "deep")
    }
    narrow, wide, deep = arguments.values()
    assert deep == narrow | {"layers": [8, 8, 8, 8]}
    assert wide == narrow | {"channels": [20, 40, 60, 80], "stem_width": 10}


def test_networks_know_their_classes(networks):
    assert networks["narrow"].pretrained_cfg["label_names"] == sample.CLASS_NAMES
    assert [networks["vit"].config.id2label[i] for i in range(10)] == sample.CLASS_NAMES


@pytest.mark.parametrize("name", ["narrow", "wide", "deep"])
def test_timms_own_transform_prepares_the_pictures_as_the_tensors_are(name, networks, held_out):
    from timm.data import create_transform, resolve_data_config

    transform = create_transform(**resolve_data_config(model=networks[name]), is_training=False)
    pictures, _, _ = sample.digit_images("test")
    prepared = torch.stack([transform(picture) for picture in pictures[:50]])
    torch.testing.assert_close(prepared, held_out[0][:50], rtol=0, atol=1e-6)


def test_the_folder_of_the_transformer_is_a_hugging_face_folder(networks, held_out):
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    folder = sample.model_folder("vit")
    network = AutoModelForImageClassification.from_pretrained(folder)
    prepared = AutoImageProcessor.from_pretrained(folder)(sample.digit_images("test")[0][:50], return_tensors="pt")
    torch.testing.assert_close(prepared["pixel_values"], held_out[0][:50], rtol=0, atol=1e-6)
    assert network.dtype == torch.float32
    expected = logits(networks["vit"], held_out[0][:50])
    torch.testing.assert_close(logits(network.eval(), prepared["pixel_values"]), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "right"), [("crops-shallow", 456), ("crops-deep", 375), ("crops-vit", 465)])
def test_networks_of_crops_are_right_as_often_as_is_said(name, right):
    images, labels, _ = sample.crops()
    found = (logits(sample.model(name), images).argmax(dim=1).numpy() == labels).sum()
    assert abs(int(found) - right) <= 2  # other processors round otherwise


def test_networks_of_crops_prepare_the_pictures_as_the_tensors_are():
    from timm.data import create_transform, resolve_data_config

    pictures, _, _ = sample.crop_images()
    for name in sample.CROP_MODELS:
        transform = create_transform(**resolve_data_config(model=sample.model(name)), is_training=False)
        prepared = torch.stack([transform(picture) for picture in pictures[:20]])
        torch.testing.assert_close(prepared, sample.crops()[0][:20], rtol=0, atol=1e-6)


def test_files_of_networks_of_crops_are_under_two_megabytes():
    for name in sample.CROP_MODELS:
        sizes = [file.stat().st_size for file in sample.model_folder(name).iterdir()]
        assert max(sizes) < 2_000_000


def test_crops_are_those_of_the_study_and_no_two_are_the_same(monkeypatch, tmp_path):
    pytest.importorskip("skimage")
    monkeypatch.syspath_prepend(EXAMPLES / "studies" / "photographs")
    import train_sample

    train_sample.write_crops(tmp_path / "crops.npz")
    there = np.load(Path(sample.__file__).with_name("crops.npz"))["pixels"]
    np.testing.assert_array_equal(np.load(tmp_path / "crops.npz")["pixels"], there)
    assert len({picture.tobytes() for picture in there}) == len(there) == 560


def test_an_unknown_network_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'huge'.*narrow, wide, deep, vit"):
        sample.model("huge")


@pytest.mark.parametrize(("name", "package"), [("narrow", "timm"), ("vit", "transformers")])
def test_without_its_framework_a_network_says_what_to_install(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f"pip install {package}"):
        sample.model(name)


def test_importing_the_sample_imports_no_framework():
    script = (
        "import sys, cka_plugin.sample; assert not {'timm', 'transformers', 'skimage', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# -- the script that made it all


@pytest.mark.parametrize("name", ["narrow", "vit"])
def test_training_is_reproducible_and_what_is_stored_is_what_was_trained(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import train_demo_zoo as zoo

    from cka_plugin.sample.zoo import load_folder

    images, labels, _ = sample.digits("train")
    monkeypatch.setitem(zoo.RECIPES, name, replace(zoo.RECIPES[name], epochs=1))
    first, second = (zoo.train(name, images[:100], torch.from_numpy(labels[:100])) for _ in range(2))
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    zoo.save(name, first, tmp_path)
    torch.testing.assert_close(
        logits(load_folder(tmp_path), images[:50]), logits(second, images[:50]), rtol=0, atol=0.02
    )


def test_the_script_writes_the_digits_that_are_there(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(EXAMPLES)
    import train_demo_zoo as zoo

    zoo.write_digits(tmp_path / "digits.npz")
    written, there = np.load(tmp_path / "digits.npz"), np.load(zoo.PACKAGE / "digits.npz")
    assert set(written) == set(there) == {"images", "labels", "held_out"}
    for key in there:
        np.testing.assert_array_equal(written[key], there[key], err_msg=key)
