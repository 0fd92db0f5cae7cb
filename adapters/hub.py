"""Asking a model hub that may not be there: fail in a second, or use the cache, instead of retrying for a minute."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 5.0


@contextmanager
def cached_if_unreachable() -> Iterator[None]:
    """Within it, Hugging Face downloads use the local cache only, if the hub cannot be reached.

    `huggingface_hub` asks six times for each file before it gives up, even for files in its cache. Nothing is changed
    where `HF_HUB_OFFLINE` is set already, or where the hub answers, whatever it answers.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or reachable(constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def reachable(url: str, seconds: float = _SECONDS) -> bool:
    """Whether there is a server at `url`: no name, no route or no answer within `seconds` is a no, an error page a yes.

    Example:
        >>> reachable("http://nowhere.invalid")
        False
    """
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:  # a certificate that Python's own store lacks is still a server
        return not isinstance(error.reason, socket.gaierror | ConnectionError | TimeoutError)
    except (ConnectionError, TimeoutError):
        return False
    return True
