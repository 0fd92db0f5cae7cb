"""What the towers of a Hugging Face model are called: the common word for what their paths differ in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from cka_plugin.adapters.order.calls import call_order
from cka_plugin.adapters.transformers.blocks import Tower

WORDS = {
    "vision": "vision", "visual": "vision", "image": "vision",
    "text": "text", "language": "text",
    "audio": "audio", "speech": "audio",
}  # fmt: skip
SUFFIXES = ("", "model", "tower", "backbone")


def common_word(component: str) -> str | None:
    """The common word for an attribute, if it has one.

    Example:
        >>> common_word("visual_projection"), common_word("vision_tower"), common_word("qformer")
        ('vision', 'vision', None)
    """
    return next((WORDS[part] for part in component.split("_") if part in WORDS), None)


def name_towers(model: nn.Module, towers: Sequence[Tower]) -> list[Tower]:
    """The towers with their labels and roots, sorted as they are called; one alone is the trunk and has none.

    Where the paths of two towers part, each gets the common word for its component (`vision_tower`: `vision`), or the
    component itself; a list of blocks beside other towers is the trunk of the module that holds them all.
    """
    if len(towers) == 1:
        return list(towers)
    parts = [(t.container if t.ends is not None else t.blocks[0].rpartition(".")[0]).split(".") for t in towers]
    labels: list[list[str]] = [[] for _ in towers]
    roots = [""] * len(towers)

    def split(members: list[int], depth: int) -> list[int]:
        """Label `members`, whose paths agree up to `depth`; return them in the order of their calls."""
        if len(members) == 1:
            return members
        groups: dict[str, list[int]] = {}
        for member in members:
            groups.setdefault(parts[member][depth] if depth < len(parts[member]) else "", []).append(member)
        if len(groups) == 1 and "" in groups:
            return members
        names = list(groups)
        if len(groups) > 1:
            path = ".".join(parts[members[0]][:depth])
            host = model.get_submodule(path)
            order = call_order(host)
            names.sort(key=lambda name: order.index(name) if name in order else len(order))
            if {"encoder", "decoder"} <= set(names):  # a decoder may be asked something first
                names.sort(
                    key=lambda name: ["encoder", "decoder"].index(name) if name in ("encoder", "decoder") else -1
                )
            above = labels[members[0]][-1:]
            for name, word in _words(host, names, above).items():
                if name.isdigit():  # of a list: its name and the number, as a number by itself is that of a block
                    attribute = parts[members[0]][depth - 1]
                    word = f"{attribute}_{name}"
                for member in groups[name]:
                    if name.isdigit() and labels[member][-1:] == [attribute]:
                        labels[member].pop()
                    labels[member].append(word)
                    roots[member] = (f"{path}.{name}" if path else name) if word else path
        return [member for name in names for member in split(groups[name], depth + 1)]

    order = split(list(range(len(towers))), 0)
    return [
        replace(towers[i], label=label, root=roots[i]) for i, label in zip(order, _short(labels, order), strict=True)
    ]


def _words(host: nn.Module, names: list[str], above: list[str]) -> dict[str, str]:
    """What to call the children of `host` that lead to towers."""
    lists = [name for name in names if isinstance(getattr(host, name, None), nn.ModuleList | nn.Sequential)]
    words = {name: "" if lists == [name] else name for name in names}
    for name in names:
        if name in lists:
            continue
        first, _, rest = name.partition("_")
        common = common_word(name)
        rivals = [n for n in names if n not in lists and common_word(n) == common]
        plain = [n for n in rivals if n.partition("_")[0] in WORDS and n.partition("_")[2] in SUFFIXES]
        if common and [common] != above and (rivals == [name] or plain == [name]):
            words[name] = common
        elif name.endswith(("_encoder", "_decoder")) and not common:
            pair = {f"{first}_encoder", f"{first}_decoder"}
            if pair <= set(names) and rest in ("encoder", "decoder"):
                words[name] = rest
    return words


def _short(labels: list[list[str]], order: list[int]) -> list[str]:
    """Labels without what says nothing (`model`) or stands above a common word, as long as they stay apart."""
    full = [".".join(word for word in labels[i] if word) for i in order]
    plain = _apart([".".join(word for word in labels[i] if word not in ("", "model")) for i in order], full)
    return _apart([_from_common(label) for label in plain], plain)


def _from_common(label: str) -> str:
    words = label.split(".")
    start = next((i for i, word in enumerate(words) if word in WORDS.values()), 0)
    return ".".join(words[start:])


def _apart(wanted: list[str], given: list[str]) -> list[str]:
    """What is wanted where no other label begins like it, else what is given."""
    chosen = []
    for i, (short, long) in enumerate(zip(wanted, given, strict=True)):
        others = wanted[:i] + wanted[i + 1 :] + given[:i] + given[i + 1 :]
        alone = not any(f"{other}.".startswith(f"{short}.") for other in others)
        chosen.append(short if alone or (short == "" and "" not in others) else long)
    return chosen
