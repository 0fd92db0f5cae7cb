"""One small model of every family that the adapters know, its inputs, and how many blocks its framework states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

N = 4  # examples


@dataclass(frozen=True)
class Case:
    """A model of one family.

    Attributes:
        name: unique in the suite.
        adapter: that should own it.
        build: makes it.
        inputs: of N examples, for what was built.
        blocks: how many blocks it has, counted from what the framework states and not from the adapter.
        head: whether it classifies or generates.
        heads: how many heads its logits are the mean of.
    """

    name: str
    adapter: str
    build: Callable[[], nn.Module]
    inputs: Callable[[nn.Module], Any]
    blocks: Callable[[nn.Module], int]
    head: bool = True
    heads: int = 1


def pixels(size: int = 32, channels: int = 3) -> Callable[[nn.Module], Tensor]:
    return lambda model: torch.randn(N, channels, size, size, generator=torch.Generator().manual_seed(0))


def clip(frames: int = 8, size: int = 32) -> Callable[[nn.Module], Tensor]:
    return lambda model: torch.randn(N, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def tokens(**more: Any) -> Callable[[nn.Module], dict[str, Any]]:
    ids = torch.randint(4, 60, (N, 9), generator=torch.Generator().manual_seed(0))
    return lambda model: {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}


def of_class(*names: str) -> Callable[[nn.Module], int]:
    """The number of modules of these classes, which make one block each."""
    return lambda model: sum(type(module).__name__ in names for module in model.modules())


def lengths(*paths: str) -> Callable[[nn.Module], int]:
    """How many children the containers at these paths have together."""
    return lambda model: sum(len(list(model.get_submodule(path).children())) for path in paths)


# timm --------------------------------------------------------------------------------------------------------------


def timm_cases() -> list[Case]:
    def case(
        name: str, blocks: Callable[[nn.Module], int], size: int = 64, head: bool = True, heads: int = 1, **kwargs: Any
    ) -> Case:
        def build() -> nn.Module:
            import timm

            return timm.create_model(name, **kwargs)

        label = name if head else f"{name} (features)"
        return Case(label, "timm", build, pixels(size), blocks, head, heads)

    def in_stages(model: nn.Module) -> int:
        return sum(len(stage.blocks) for stage in model.stages)

    def in_lists(model: nn.Module) -> int:
        return sum(len(stage) for stage in getattr(model, "stages", None) or model.blocks)

    layers = lengths("layer1", "layer2", "layer3", "layer4")
    swin = {"img_size": 64, "window_size": 4, "embed_dim": 24}
    return [
        case("test_resnet", layers),
        case("test_resnet", layers, head=False, num_classes=0),
        case("test_byobnet", in_lists),
        case("test_nfnet", in_lists),
        case("test_efficientnet", in_lists),
        case("test_efficientnet_gn", in_lists),
        case("test_convnext", in_stages),
        case("test_mambaout", in_stages),
        case("test_coatnet", in_stages, img_size=64),
        case("test_maxvit", in_stages, img_size=64),
        case("test_vit", lengths("blocks"), img_size=64),
        case("test_vit2", lengths("blocks"), img_size=64),
        case("test_vit3", lengths("blocks"), img_size=64),
        case("test_vit_relpos", lengths("blocks"), img_size=64),
        case("deit_tiny_distilled_patch16_224", lengths("blocks"), heads=2, img_size=64, depth=3),
        case("vgg11_bn", lambda m: of_class("Conv2d")(m.features), 32, mlp_ratio=0.01),
        case("densenet121", of_class("DenseLayer")),
        case("mobilenetv3_small_050", in_lists),
        case("regnetx_002", of_class("Bottleneck")),
        case("swin_tiny_patch4_window7_224", of_class("SwinTransformerBlock"), **swin),
        case("mixer_s32_224", lengths("blocks"), img_size=64),
    ]


# transformers ------------------------------------------------------------------------------------------------------

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 64}
STAGED = {"hidden_sizes": [8, 16], "depths": [2, 3], "num_labels": 5}


def transformers_cases() -> list[Case]:
    import transformers as hf

    def case(
        cls: str,
        inputs: Callable[[nn.Module], Any],
        blocks: Callable[[nn.Module], int] | None = None,
        head: bool = True,
        heads: int = 1,
        **settings: Any,
    ) -> Case:
        def build() -> nn.Module:
            model = getattr(hf, cls)
            return model(model.config_class(**settings))

        return Case(cls, "transformers", build, inputs, blocks or (lambda m: m.config.num_hidden_layers), head, heads)

    vision = {**SMALL, "image_size": 32, "patch_size": 8, "num_labels": 5}
    vision.pop("vocab_size")
    distil = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "vocab_size": 64}
    gpt2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 64}
    t5 = {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_decoder_layers": 3,
        "num_heads": 2,
        "vocab_size": 64,
    }
    bart = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 3, "vocab_size": 64, "encoder_attention_heads": 2}
    bart |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    text = {**SMALL, "projection_dim": 16, "eos_token_id": 2}
    towers = {"text_config": text, "vision_config": {**vision, "projection_dim": 16}, "projection_dim": 16}
    speech = {**SMALL, "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3), "num_feat_extract_layers": 2}
    speech |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "vocab_size": 12}
    swin = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
    deep = {"both": lambda m: m.config.num_layers + m.config.num_decoder_layers}
    deep |= {"bart": lambda m: m.config.encoder_layers + m.config.decoder_layers}
    deep |= {"stages": lambda m: sum(m.config.depths)}

    def both(model: nn.Module) -> dict[str, Any]:
        return {**tokens()(model), "pixel_values": pixels()(model)}

    def ended(model: nn.Module) -> dict[str, Any]:
        inputs = tokens()(model)
        inputs["input_ids"] = torch.cat([inputs["input_ids"][:, 1:], torch.full((N, 1), model.config.eos_token_id)], 1)
        return inputs

    def waves(model: nn.Module) -> dict[str, Any]:
        return {"input_values": torch.randn(N, 1600, generator=torch.Generator().manual_seed(0))}

    def image(model: nn.Module) -> dict[str, Any]:
        return {"pixel_values": pixels()(model)}

    return [
        case("BertModel", tokens(), head=False, **SMALL),
        case("BertForSequenceClassification", tokens(), **SMALL),
        case("RobertaForMaskedLM", tokens(), **SMALL),
        case("DistilBertModel", tokens(), head=False, **distil),
        case("DistilBertForSequenceClassification", tokens(), **distil),
        case("GPT2Model", tokens(), head=False, **gpt2),
        case("GPT2LMHeadModel", tokens(), **gpt2),
        case("LlamaForCausalLM", tokens(), **SMALL),
        case("T5ForConditionalGeneration", tokens(), deep["both"], **t5),
        case("T5EncoderModel", tokens(), lambda m: m.config.num_layers, head=False, **t5),
        case("BartForConditionalGeneration", tokens(), deep["bart"], **bart),
        case("BartForSequenceClassification", ended, deep["bart"], **bart),
        case("ViTModel", image, head=False, **vision),
        case("ViTForImageClassification", image, **vision),
        case("DeiTForImageClassificationWithTeacher", image, heads=2, **vision),
        case("SwinForImageClassification", image, deep["stages"], **swin, num_labels=5),
        case("ConvNextModel", image, deep["stages"], head=False, **STAGED, num_stages=2),
        case("ConvNextForImageClassification", image, deep["stages"], **STAGED, num_stages=2),
        case("ResNetForImageClassification", image, deep["stages"], **STAGED, embedding_size=8, layer_type="basic"),
        case("CLIPModel", both, lambda m: 6, head=False, **towers),
        case("CLIPVisionModel", image, head=False, **{k: v for k, v in vision.items() if k != "num_labels"}),
        case("Wav2Vec2Model", waves, head=False, **speech),
        case("Wav2Vec2ForCTC", waves, **speech),
    ]


# torchvision -------------------------------------------------------------------------------------------------------


def torchvision_cases() -> list[Case]:
    from torchvision import models as tv
    from torchvision.models import convnext, efficientnet, maxvit, video

    def named(
        name: str, blocks: Callable[[nn.Module], int], inputs: Any = None, head: bool = True, **kwargs: Any
    ) -> Case:
        def build() -> nn.Module:
            return tv.get_model(name, weights=None, **kwargs)

        return Case(name, "torchvision", build, inputs or pixels(64), blocks, head)

    def made(name: str, build: Callable[[], nn.Module], blocks: Callable[[nn.Module], int], inputs: Any) -> Case:
        return Case(name, "torchvision", build, inputs, blocks)

    layers = lengths("layer1", "layer2", "layer3", "layer4")
    mb = efficientnet.MBConvConfig
    mbconvs = [mb(1, 3, 1, 8, 8, 1), mb(6, 3, 2, 8, 16, 2)]
    cn = convnext.CNBlockConfig
    vit = {"image_size": 32, "patch_size": 8, "num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    swin = {"patch_size": [2, 2], "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": [4, 4]}
    pyramid = {"input_size": (64, 64), "stem_channels": 8, "partition_size": 2, "block_channels": [8, 16]}
    pyramid |= {"block_layers": [1, 2], "head_dim": 4, "stochastic_depth_prob": 0.0}
    ms = video.mvit.MSBlockConfig
    widen = ms(2, 8, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 1, 1])
    mvit = [
        ms(1, 8, 8, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2]),
        widen,
        ms(2, 16, 16, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 1, 1]),
    ]
    no_backbone = {"weights_backbone": None}

    def vgg() -> nn.Module:
        with torch.device("meta"):  # its classifier has 120 million weights
            model = tv.VGG(tv.vgg.make_layers([8, "M", 16, 16, "M"], batch_norm=True), init_weights=False)
        model.classifier = nn.Sequential(nn.Linear(16 * 49, 8), nn.ReLU(), nn.Linear(8, 5))
        for module in model.to_empty(device="cpu").modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        return model

    def s3d() -> nn.Module:
        model = tv.get_model("s3d")
        model.avgpool = nn.AdaptiveAvgPool3d(1)  # its own asks for clips of 224 pixels
        return model

    def boxes(model: nn.Module) -> dict[str, Any]:
        return {"images": list(pixels(64)(model).sigmoid())}

    return [
        named("resnet18", layers),
        named("resnext50_32x4d", layers, pixels(32)),
        made("VGG", vgg, of_class("Conv2d"), pixels(32)),
        named("efficientnet_b0", of_class("MBConv"), pixels(32)),
        named("efficientnet_v2_s", of_class("MBConv", "FusedMBConv"), pixels(32)),
        made("EfficientNet", lambda: tv.EfficientNet(mbconvs, 0.1), lambda m: 3, pixels(32)),
        made("VisionTransformer", lambda: tv.VisionTransformer(**vit), lambda m: 3, pixels(32)),
        made("SwinTransformer", lambda: tv.SwinTransformer(**swin), lambda m: 4, pixels(32)),
        made(
            "SwinTransformer v2",
            lambda: tv.SwinTransformer(
                **swin,
                block=tv.swin_transformer.SwinTransformerBlockV2,
                downsample_layer=tv.swin_transformer.PatchMergingV2,
            ),
            lambda m: 4,
            pixels(32),
        ),
        made("ConvNeXt", lambda: tv.ConvNeXt([cn(8, 16, 2), cn(16, None, 3)]), lambda m: 5, pixels(32)),
        named("densenet121", of_class("_DenseLayer"), pixels(32)),
        named("regnet_y_400mf", of_class("ResBottleneckBlock"), pixels(32)),
        named("mobilenet_v2", of_class("InvertedResidual"), pixels(32)),
        named("mobilenet_v3_small", lambda m: of_class("InvertedResidual")(m) + 1, pixels(32)),
        named("mnasnet0_5", lambda m: of_class("_InvertedResidual")(m) + 1, pixels(32)),
        named("inception_v3", of_class(*(f"Inception{c}" for c in "ABCDE")), pixels(96), init_weights=False),
        named("googlenet", of_class("Inception"), pixels(32), init_weights=False, aux_logits=False),
        named("shufflenet_v2_x0_5", of_class("InvertedResidual"), pixels(32)),
        named("squeezenet1_1", of_class("Fire")),
        made("MaxVit", lambda: maxvit.MaxVit(**pyramid), of_class("MaxVitLayer"), pixels(64)),
        named("r3d_18", layers, clip(4, 16)),
        made("s3d", s3d, of_class("SepInceptionBlock3D"), clip(16, 32)),
        made(
            "MViT",
            lambda: tv.video.MViT((32, 32), 8, mvit, True, True, True, True),
            lambda m: 3,
            clip(),
        ),
        named("fcn_resnet50", lambda m: 16, pixels(32), **no_backbone),
        named("lraspp_mobilenet_v3_large", lambda m: 16, pixels(32), **no_backbone),
        named(
            "fasterrcnn_resnet50_fpn",
            lambda m: 16,
            boxes,
            head=False,
            **no_backbone,
            min_size=64,
            rpn_post_nms_top_n_test=8,
            rpn_pre_nms_top_n_test=8,
        ),
    ]


# Anything else -----------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        attended, weights = self.attend(x, x, x)
        x = self.norm(x + attended)
        return x + self.mlp(x), weights


class Reader(nn.Module):
    """A Transformer over tokens whose blocks return tuples and whose definition is in another order than its firing."""

    def __init__(self, width: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.score = nn.Linear(width, 5)
        self.final = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Attention(width) for _ in range(depth))
        self.embed = nn.Embedding(64, width)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.embed(ids)
        for block in self.blocks:
            x, _ = block(x)
        return {"logits": self.score(self.final(x).mean(1))}


class Staged(nn.Module):
    """`layer1` and `layer2` of residual blocks, as people write them after ResNet."""

    def __init__(self) -> None:
        super().__init__()
        from tests.support.nets import Residual

        self.conv1 = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(Residual(4), Residual(4))
        self.down = nn.Conv2d(4, 8, 2, 2)
        self.layer2 = nn.Sequential(Residual(8), Residual(8), Residual(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer2(self.down(self.layer1(self.conv1(x)))).mean((2, 3)))


def generic_cases() -> list[Case]:
    from tests.support.nets import ConvNet

    def ids(model: nn.Module) -> Tensor:
        return torch.randint(0, 64, (N, 7), generator=torch.Generator().manual_seed(0))

    def vectors(model: nn.Module) -> Tensor:
        return torch.randn(N, 6, generator=torch.Generator().manual_seed(0))

    def sequences(model: nn.Module) -> tuple[Tensor, Tensor]:
        return torch.randn(N, 5, 8), torch.randn(N, 5, 8)

    def perceptron() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))

    def seq2seq() -> nn.Module:
        return nn.Transformer(8, 2, 2, 3, 16, batch_first=True)

    return [
        Case("perceptron", "generic", perceptron, vectors, lambda m: 2),
        Case("ConvNet", "generic", ConvNet, pixels(8), lambda m: 3),
        Case("Staged", "generic", Staged, pixels(8), lambda m: 5),
        Case("Reader", "generic", Reader, ids, lambda m: 3),
        Case("nn.Transformer", "generic", seq2seq, sequences, lambda m: 5, head=False),
    ]
