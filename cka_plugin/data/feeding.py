"""From the members of a minibatch to the inputs of one model; what is not used is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from cka_plugin.data.arguments import Takes
from cka_plugin.data.by_place import by_place
from cka_plugin.data.columns import NAMING, pick
from cka_plugin.data.content import Content, Key, Member
from cka_plugin.data.fed import Fed
from cka_plugin.data.kinds import RAW_KINDS
from cka_plugin.data.labels import LABEL_KEYS
from cka_plugin.data.roles import only_names
from cka_plugin.warnings import warn
from cka_plugin.wording import listed

USUAL = ("image", "images", "img", "x", "input", "inputs", "pixel_values", "data", "features", "input_values", "video")


def fed(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
    """Decide it.

    Args:
        content: the examples.
        takes: what the model takes.
        labels: members that can be labels.

    Raises:
        ValueError: nobody can tell which members are meant.
    """
    if takes.alone:
        return Fed(whole=True)
    if takes.inputs is not None:
        return _as_said(content, takes)
    content = replace(content, members=tuple(m for m in content.members if not m.known or m.key in takes.required))
    if takes.whole and content.named and not _prepares(content, takes):
        return Fed(whole=True)
    found = _raw(content, takes, labels) if _prepares(content, takes) else None
    if found is None:
        found = _by_name(content, takes, labels) if content.named else by_place(content, takes, labels)
    return found


def say_what_is_left(content: Content, takes: Takes, found: Fed, label: Key) -> None:
    """Warn, once a model, of members that were given and are used neither as input nor as label."""
    left = [m for m in found.left if m.key != label and not m.known and not _goes_without_saying(m, found)]
    keys = frozenset(m.key for m in left)
    if not left or keys in takes.said:
        return
    takes.said.add(keys)
    arguments = listed(takes.placed, 4) or "whatever comes"
    warn(
        f"{takes.name}: not used of the examples, and left out: {', '.join(m.described() for m in left)}, neither an "
        f"input (its forward takes {arguments}) nor the label; say inputs= or label_key=, or give forward=, a function "
        "of model and minibatch"
    )


def _goes_without_saying(member: Member, found: Fed) -> bool:
    """Texts beside their own tokens; token types that say nothing."""
    if "input_ids" in found.named and member.kind == "text":
        return True
    return member.key == "token_type_ids" and isinstance(member.values, Tensor) and not bool(member.values.any())


# As the user said


def _as_said(content: Content, takes: Takes) -> Fed:
    assert takes.inputs is not None
    said = takes.inputs
    pairs = list(said.items()) if isinstance(said, Mapping) else [(None, key) for key in said]
    members = []
    for _, key in pairs:
        member = content.get(key)
        if member is None:
            held = ", ".join(m.described() for m in content.members)
            raise ValueError(f"inputs={said!r}: the examples have no {key!r}, they hold {held}")
        members.append(member)
    if any(member.kind in RAW_KINDS for member in members):
        return Fed(raw=members)
    if isinstance(said, Mapping):
        return Fed(named={str(name): member for (name, _), member in zip(pairs, members, strict=True)})
    if all(isinstance(m.key, str) and (m.key in takes.named) for m in members):
        return Fed(named={str(m.key): m for m in members})
    return Fed(placed=members)


# Raw examples


def _prepares(content: Content, takes: Takes) -> bool:
    """Whether the minibatch is of raw examples: no member is ready for the model, by name or as the first of all."""
    raw = [m for m in content.members if m.kind in RAW_KINDS]
    if content.named:
        ready = [m for m in content.members if m.kind == "tensor" and m.key not in LABEL_KEYS and m.key not in NAMING]
        raw = [m for m in raw if not only_names(m) and m.key not in LABEL_KEYS] or ([] if ready else raw)
        return bool(raw) and not any(m.key in takes.named for m in ready)
    return content.members[0].kind in RAW_KINDS or _sounds(content.members[0], takes)


def _sounds(member: Member, takes: Takes) -> bool:
    """Whether arrays of one axis are the sounds that a model takes."""
    prepares = takes.preparation is not None and takes.preparation.kinds == ("audio",)
    if not prepares or not member.plain or member.kind != "tensor":
        return False
    return all(row.ndim == 1 and row.is_floating_point() for row in member.values[:1])


def _raw(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
    raw = [m for m in content.members if (m.kind in RAW_KINDS and m.key not in labels) or _sounds(m, takes)]
    if content.named:
        raw = _meant([m for m in raw if not only_names(m) and m.key not in LABEL_KEYS] or raw, takes)
    kinds = [kind for kind in takes.preparation.kinds if kind in RAW_KINDS] if takes.preparation else []
    used = [m for m in raw if not kinds or (m.kind if m.kind != "tensor" else "audio") in kinds] or raw
    left = [m for m in content.members if m not in used and m.key not in labels]
    return Fed(raw=used, left=[*left, *_other_labels(content, labels)])


def _meant(raw: Sequence[Member], takes: Takes) -> list[Member]:
    """Of several columns of one kind those that are meant."""
    kinds = list(dict.fromkeys(member.kind for member in raw))
    chosen: list[Member] = []
    for kind in kinds:
        names = [str(member.key) for member in raw if member.kind == kind]
        picked = pick(kind, names, f"what {takes.name} is given") if kind in RAW_KINDS else names
        chosen += [member for name in picked for member in raw if str(member.key) == name]
    return chosen


def _other_labels(content: Content, labels: Sequence[Key]) -> list[Member]:
    return [m for m in content.members if m.key in labels[1:]]


# Ready members by name


def _by_name(content: Content, takes: Takes, labels: Sequence[Key]) -> Fed:
    candidates = [m for m in content.members if m.key not in LABEL_KEYS or m.key in takes.required]
    here = {str(m.key): m for m in candidates if m.key in takes.named}
    rest = [m for m in candidates if str(m.key) not in here]
    lacking = [name for name in takes.required if name not in here]
    tensors = [m for m in rest if m.kind == "tensor" and m.key not in NAMING]
    if here:
        if len(lacking) == 1 and len(tensors) == 1 and not takes.tokens:
            here[lacking[0]], rest = tensors[0], [m for m in rest if m is not tensors[0]]
        elif takes.more_named and not takes.tokens:
            here |= {str(m.key): m for m in rest}
            rest = []
        return Fed(named=here, left=[*rest, *_left_labels(content, here, labels)])
    if takes.more_named and not takes.required:
        return Fed(named={str(m.key): m for m in tensors}, left=[m for m in rest if m not in tensors])
    usual = [m for m in tensors if m.key in USUAL]
    chosen = tensors if len(tensors) == 1 else usual if len(usual) == 1 else []
    if not chosen and not tensors:
        chosen = [m for m in rest if m.kind == "other" and takes.lists][:1]
    if not chosen or len(takes.required) > 1:
        held = ", ".join(m.described() for m in content.members)
        raise ValueError(
            f"{takes.name} takes ({', '.join(takes.placed) or '...'}), and none of these is a member of the examples: "
            f"they hold {held}; say which go in with inputs=, or give forward=, a function of model and minibatch"
        )
    left = [m for m in rest if m is not chosen[0]]
    return Fed(placed=chosen, left=[*left, *_left_labels(content, {}, labels)])


def _left_labels(content: Content, here: Mapping[str, Member], labels: Sequence[Key]) -> list[Member]:
    """Members called like labels that neither are the labels nor go in."""
    return [m for m in content.members if m.key in LABEL_KEYS and m.key not in here and m.key not in labels[:1]]
