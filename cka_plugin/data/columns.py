"""What columns and fields are by their names: texts, images, sounds, pairs of texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cka_plugin.data.labels import LABEL_KEYS

NAMING = (  # fields that say which example it is, not what it holds
    "id",
    "ids",
    "idx",
    "index",
    "indices",
    "path",
    "paths",
    "file",
    "filename",
    "file_name",
    "image_id",
    "example_id",
    "sample_id",
    "uid",
    "guid",
    "url",
    "__key__",
    "__url__",
)
IMAGE_KEYS = ("image", "img", "images", "file_name", "file", "path", "filename")
TEXT_KEYS = ("text", "sentence", "caption", "content", "document", "texts", "messages", "conversation", "prompt")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
AUDIO_KEYS = ("audio", "speech")
NAMED = {"image": IMAGE_KEYS, "text": TEXT_KEYS, "audio": AUDIO_KEYS}
PAIRS = (  # columns of two texts that a model reads together, in this order
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "context"),
    ("query", "passage"),
    ("anchor", "positive"),
)


def pick(kind: str, given: Sequence[str], what: str) -> list[str]:
    """Of several columns of one kind those that are meant: one by its name, the only one, or a pair of texts.

    Args:
        kind: `text`, `image` or `audio`.
        given: names of the columns of this kind.
        what: the data, for messages.

    Raises:
        ValueError: several could be meant.
    """
    pair = next((pair for pair in PAIRS if kind == "text" and set(pair) <= set(given)), None)
    if pair is not None:
        return list(pair)
    usual = [name for name in NAMED[kind] if name in given]
    if usual:
        return usual[:1]
    left = [name for name in given if name not in LABEL_KEYS and name not in NAMING] or list(given)
    if len(left) > 1:
        raise ValueError(
            f"{what} has several columns of {kind}s ({', '.join(left)}): leave one, call it {NAMED[kind][0]!r}, or say "
            "inputs="
        )
    return left


def is_beside(name: str, others: Collection[str] = ()) -> bool:
    """Whether a column is a label or only names the example."""
    return name in LABEL_KEYS or name in NAMING or name in others
