"""The changes of the day, one commit each: a file is replaced by another, or a text in it by another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Change:
    """One commit.

    Attributes:
        name: its message.
        kind: `code` should change nothing, `upgrade` is meant and may change little, `bug` should not pass.
        file: that is changed.
        old: what stands there.
        new: what comes in its place.
        instead: a file of this folder that replaces it first.
    """

    name: str
    kind: str
    file: str
    old: str = ""
    new: str = ""
    instead: str = ""

    @property
    def branch(self) -> str:
        return re.sub(r"\W+", "-", self.name)

    def make(self, repository: Path) -> None:
        """Write it into the repository."""
        text = (HERE / self.instead if self.instead else repository / self.file).read_text(encoding="utf-8")
        if self.old not in text:
            raise ValueError(f"{self.name}: {self.file} does not hold {self.old!r}")
        (repository / self.file).write_text(text.replace(self.old, self.new), encoding="utf-8")


LOADED = "return network.eval()"
FUSED = "for block in network.blocks:\n        block.attn.fused_attn = False\n    "
INT8 = "from torch.ao.quantization import quantize_dynamic\n\n    return quantize_dynamic(network.eval(), {nn.Linear})"
SMALL = "small = Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)"
COLOURS = 'np.array(picture.convert("RGB"))'
NORMAL = "MEAN, STD = [0.45, 0.45, 0.45], [0.25, 0.25, 0.25]"
IMAGENET = "MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]"
PORT = "port/model.py"
QUICK = ("nothing", "blue, green, red")

CHANGES = [
    Change("nothing", "code", "model.py"),
    Change("attention written out", "code", "model.py", LOADED, FUSED + LOADED),
    Change("port to transformers", "code", "model.py", instead=PORT),
    Change("layers 2.0: eps of 1e-5", "upgrade", "layers.py", "eps=1e-6", "eps=1e-5"),
    Change("layers 3.0: GELU by tanh", "upgrade", "layers.py", "= nn.GELU", '= partial(nn.GELU, approximate="tanh")'),
    Change("imaging 2.0: bilinear", "upgrade", "imaging.py", "BICUBIC", "BILINEAR"),
    Change("imaging 3.0: no antialiasing", "upgrade", "imaging.py", SMALL, SMALL.replace("BICUBIC", "NEAREST")),
    Change("int8, dynamic", "upgrade", "model.py", LOADED, INT8),
    Change("bfloat16 weights", "upgrade", "model.py", LOADED, "return network.bfloat16().float().eval()"),
    Change("port, q, k and v mixed up", "bug", "model.py", ".chunk(3)", ".unflatten(0, (-1, 3)).unbind(1)", PORT),
    Change("port without GELU", "bug", "model.py", "layer_norm_eps", 'hidden_act="relu", layer_norm_eps', PORT),
    Change("mean and deviation of ImageNet", "bug", "imaging.py", NORMAL, IMAGENET),
    Change("not normalised", "bug", "imaging.py", NORMAL, "MEAN, STD = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]"),
    Change("blue, green, red", "bug", "imaging.py", COLOURS, f"{COLOURS}[..., ::-1].copy()"),
]
