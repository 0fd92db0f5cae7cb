"""The files of baselines: where they lie, and a name for each test and check that no other has. Standard library only.

    tests/__cka__/test_net/TestNet.test_small[0.5-relu].safetensors

Names are read by people, so that class, function and parameters stand in them. Where characters had to go, or would
not be told apart by a file system that takes upper case for lower, a hash of the name as it was stands behind.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

FOLDER = "__cka__"
SUFFIX = ".safetensors"
MOST_BYTES = {"test": 120, "check": 60}  # with hashes and what stands between and behind: file systems take 255
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_HASH_BYTES = 5


def owner_of(nodeid: str) -> str:
    """The name of a test as part of a file name: class and function, with a hash where it says less than the test's id.

    Example:
        >>> owner_of("tests/test_net.py::TestNet::test_small[0.5-relu]")
        'TestNet.test_small[0.5-relu]'
        >>> owner_of("test_net.py::test_path[a/b]"), owner_of("test_net.py::test_path[a_b]")
        ('test_path[a_b]-1f9195f8ad', 'test_path[a_b]')
        >>> owner_of("test_net.py::test_layer[ReLU]")
        'test_layer[ReLU]-1473ccda99'
    """
    name = nodeid.partition("::")[2]
    function, bracket, parameters = name.partition("[")
    parts = function.split("::")
    plain = ".".join(parts) + bracket + parameters
    # Classes are left as they are: `Baseline.owner` tells apart those that differ in case alone.
    same_in_lower_case = parts[-1] + parameters == (parts[-1] + parameters).lower()
    plainly = name.isascii() and same_in_lower_case and all(part.isidentifier() for part in parts)
    return _named(plain, name, plainly, MOST_BYTES["test"])


def file_name(name: str) -> str:
    """The name of one of several checks of a test as part of a file name.

    Example:
        >>> file_name("after quantisation"), file_name("a/b")
        ('after quantisation', 'a_b-9a159f8121')
    """
    plain = re.sub(r"[\[\]]", "_", name)
    return _named(plain, name, name.isascii() and name == name.lower(), MOST_BYTES["check"])


def _named(plain: str, full: str, plainly: bool, most: int) -> str:
    safe = _UNSAFE.sub("_", plain).encode("utf-8", "replace")[:most].decode("utf-8", "ignore").rstrip(" .")
    if plainly and safe == plain == full.replace("::", ".") and safe:
        return safe
    return f"{safe}-{hashlib.blake2b(full.encode('utf-8', 'surrogatepass'), digest_size=_HASH_BYTES).hexdigest()}"


def folder_of(test_file: Path) -> Path:
    """Where the baselines of a test file lie."""
    return test_file.parent / FOLDER / test_file.stem


def is_there(path: Path) -> bool:
    """Whether a file of exactly this name exists, also where the file system takes upper case for lower."""
    return path.exists() and path.name in os.listdir(path.parent)


# The names of version 0.1.0: not all are told apart


def earlier_owner_of(nodeid: str) -> str:
    """The name of a test before names were told apart in all cases.

    Example:
        >>> earlier_owner_of("test_net.py::test_path[a/b]"), earlier_owner_of("test_net.py::test_layer[ReLU]")
        ('test_path[a_b]-7fec59', 'test_layer[ReLU]')
    """
    return earlier_file_name(".".join(nodeid.split("::")[1:]))


def earlier_file_name(name: str) -> str:
    """The name of a check before names were told apart in all cases."""
    safe = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)[:150].rstrip(" .")
    return safe if safe == name else f"{safe}-{hashlib.blake2b(name.encode(), digest_size=3).hexdigest()}"


def is_shared(nodeid: str, others: Iterable[str]) -> bool:
    """Whether the earlier name of a test is, but for case, that of another one of its file too."""
    own = earlier_owner_of(nodeid).lower()
    return any(other != nodeid and earlier_owner_of(other).lower() == own for other in others)
