"""This package's warnings: their category, and how they come to point at the user's own line."""

import contextlib
import sys
import threading
import warnings
from collections.abc import Iterator

from cka_plugin.wording import for_terminal


class CKAWarning(UserWarning):
    """Something about the numbers that a careful reader should know: a dead layer, sorted data, an unused option.

    It is a category of its own, so that these warnings can be filtered or turned into errors.
    """


Told = list[tuple[str, type[Warning]]]
_kept = threading.local()


def warn(message: str, category: type[Warning] = CKAWarning) -> None:
    """Warn at the line outside of this package that led here, however deep in it that is noticed.

    Names in the message are shown as they are, whatever a terminal would take them for.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn("layer 'head' is constant")
        >>> caught[0].category.__name__, str(caught[0].message)
        ('CKAWarning', "layer 'head' is constant")
    """
    told: Told | None = getattr(_kept, "told", None)
    if told is not None:
        told.append((message, category))
        return
    outermost, depth, frame = 0, 0, sys._getframe()
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
        if frame.f_globals.get("__name__", "").partition(".")[0] == "cka_plugin":
            outermost = depth
    warnings.warn(for_terminal(message, lines=True), category, stacklevel=outermost + 2)


@contextlib.contextmanager
def kept_warnings() -> Iterator[Told]:
    """Keep what this thread would warn of, for `warn` in another: no line of the user's leads to a thread of ours.

    Example:
        >>> with kept_warnings() as told:
        ...     warn("layer 'head' is constant")
        >>> told
        [("layer 'head' is constant", <class 'cka_plugin.warnings.CKAWarning'>)]
    """
    told: Told = []
    _kept.told = told
    try:
        yield told
    finally:
        del _kept.told
