"""Blocks of the model types that neither record them nor count them, or count something other than blocks.

Each entry gives paths, `*` standing for a number (of two, the first is the stage), or a function of the model that
gives the paths of the blocks, stage by stage.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from torch import nn

Stages: TypeAlias = list[list[str]]


def by_width(model: nn.Module, paths: list[str]) -> Stages:
    """Blocks one after the other as stages: those that give equally many channels."""
    stages: Stages = []
    width = None
    for path in paths:
        convolutions = [m for m in model.get_submodule(path).modules() if isinstance(m, nn.Conv2d)]
        if convolutions[-1].out_channels != width or not stages:
            stages.append([])
        width = convolutions[-1].out_channels
        stages[-1].append(path)
    return stages


def efficientnet(model: nn.Module) -> Stages:
    """One list holds the blocks of all stages; the stages are the rows of the configuration, each of its own width."""
    return by_width(model, numbered(model, "encoder.blocks.*"))


def mobilenet_v1(model: nn.Module) -> Stages:
    """A block is a depthwise and a pointwise convolution, which are registered one after the other."""
    return by_width(model, numbered(model, "layer.*")[1::2])


def mobilenet_v2(model: nn.Module) -> Stages:
    """The first block, without expansion, is a part of what transformers calls the stem; its output is the stem's."""
    layers = numbered(model, "layer.*")
    return by_width(model, ["conv_stem.reduce_1x1", *layers]) if layers else []


def mobilevit(model: nn.Module) -> Stages:
    """A stage of Transformers begins with an inverted residual; what follows it ends where the stage does."""
    stages: Stages = []
    for stage in numbered(model, "encoder.layer.*"):
        inner = numbered(model, f"{stage}.layer.*")
        if isinstance(getattr(model.get_submodule(stage), "downsampling_layer", None), nn.Module):
            stages.append([f"{stage}.downsampling_layer", stage])
        else:
            stages.append(inner)
    return stages


def levit(model: nn.Module) -> Stages:
    """Attention and MLP are registered one after the other; the last two of a stage are the subsampling."""
    depths: list[int] = model.config.depths  # type: ignore[union-attr, assignment]
    return [numbered(model, f"encoder.stages.{i}.layers.*")[1 : 2 * depth : 2] for i, depth in enumerate(depths)]


def vibevoice_tokenizer(model: nn.Module) -> Stages:
    """The first stage is a part of what is called the stem."""
    stages = [numbered(model, "stem.stage.*")]
    return stages + [numbered(model, f"{path}.stage.*") for path in numbered(model, "conv_layers.*")]


def flaubert(model: nn.Module) -> Stages:
    """No module is a block: attentions, feed-forward layers and norms are lists; a block ends with its second norm."""
    if getattr(model.config, "pre_norm", False):
        return []  # it ends with a sum that no module gives
    return [numbered(model, "layer_norm2.*")]


SAID_FOR: dict[str, tuple[str, ...] | Callable[[nn.Module], Stages]] = {
    # Convolutional networks that list their blocks without stages.
    "efficientnet": efficientnet,
    "align_vision_model": efficientnet,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilevit": mobilevit,
    "mobilevitv2": mobilevit,
    "levit": levit,
    "swiftformer": ("encoder.network.*.blocks.*",),
    # Lists beside the blocks are as long as they are: patch embeddings, heads.
    "glpn": ("encoder.block.*.*",),
    "poolformer": ("encoder.block.*.*",),
    "pvt": ("encoder.block.*.*",),
    "pvt_v2": ("encoder.layers.*.blocks.*",),
    "funnel": ("encoder.blocks.*.*", "decoder.layers.*"),
    "lightglue": ("transformer_layers.*",),
    # What is counted goes by names of its own.
    "dac": ("encoder.block.*", "decoder.block.*"),
    "encodec": ("encoder.layers.*:EncodecResnetBlock", "decoder.layers.*:EncodecResnetBlock"),
    "wavtokenizer_encoder": ("encoder.layers.*:WavTokenizerResnetBlock",),
    "flaubert": flaubert,
    "xlm": flaubert,
    "gemma3n_audio": ("conformer.*",),
    "lxmert": ("encoder.layer.*", "encoder.r_layers.*", "encoder.x_layers.*"),
    "mask2former": ("pixel_level_module.decoder.encoder.layers.*", "transformer_module.decoder.layers.*"),
    "mllama_vision_model": ("transformer.layers.*", "global_transformer.layers.*"),
    "oneformer": ("pixel_level_module.decoder.encoder.layers.*", "transformer_module.decoder.layers.*"),
    "perceiver": ("encoder.self_attends.*",),
    "squeezebert": ("encoder.layers.*.output",),  # the block itself is not called, only its forward
    "superglue": ("gnn.layers.*",),
    "superpoint": ("encoder.conv_blocks.*",),
    "phi4_multimodal_audio": ("encoder.encoders.*|encoders.*",),
    "vjepa2": ("encoder.layer.*", "predictor.layer.*"),
    "univnet": ("resblocks.*",),
    "uvdoc_backbone": ("resnet.resnet_down.*.layers.*", "bridge.bridge.*"),
    # One run of residual blocks, which are registered in three places.
    "chameleon_vqgan": ("encoder.down.*.block.*|encoder.mid.block_*",),
    "emu3_vqgan": (  # its decoder, which only generates, runs its list backwards
        "encoder.down_block.down.*.block.*|encoder.middle_block.block_*|encoder.time_res_stack.*",
    ),
    "janus_vqgan": ("encoder.down.*.block.*|encoder.mid.block_*", "decoder.mid.block_*|decoder.up.*.block.*"),
    "vibevoice_acoustic_tokenizer_encoder": vibevoice_tokenizer,
    "vibevoice_acoustic_tokenizer_decoder": vibevoice_tokenizer,
}


# Types whose norm, by its place in the source the final one, runs between the blocks too.
NORM_BETWEEN_BLOCKS = {"bridgetower": "vision"}

# Where the logits are made by a module deep inside, which transformers does not name: type -> what its path ends in.
HEAD_INSIDE = {"fsmt": "decoder.output_projection", "perceiver": "decoder.final_layer"}

# What enters the blocks where the model around them embeds in their stead: type -> tower -> what its path ends in.
EMBEDDED_BY = {
    "mobilenet_v2": {"": "conv_stem.first_conv"},  # the rest of its stem is the first block
    "diffusion_gemma": {"decoder": "decoder.self_conditioning"},
    "csm": {"backbone_model": "embed_text_tokens"},
    # A convolution over the frames, added to them in the same module.
    "omniasr": {"audio": "encode_positions"},
    "omniasr_audio": {"": "encode_positions"},
    "omniasr_ctc": {"": "encode_positions"},
}


def numbered(model: nn.Module, pattern: str) -> list[str]:
    """Paths of the modules that fit a pattern such as `encoder.layers.*`, or `encoder.layers.*:Block` for one class.

    A `|` separates patterns either of which may fit.
    """
    path, _, kind = pattern.partition(":")
    expression = re.compile(re.escape(path).replace(r"\*", r"\d+").replace(r"\|", "|"))
    return [p for p, m in model.named_modules() if expression.fullmatch(p) and kind in ("", type(m).__name__)]
