"""What a model made of a data set: in memory, in a file, merged, matched with another.

It may know the numbers and how large arrays are kept; not models, not data.
"""

from cka_plugin.representation.classes import labels_as_classes, telling_names
from cka_plugin.representation.content import INPUT, UNTRAINED, Content, ExampleId
from cka_plugin.representation.files import Saved, is_saved
from cka_plugin.representation.matching import check_comparable, differences
from cka_plugin.representation.merging import join
from cka_plugin.representation.minibatch import Minibatch
from cka_plugin.representation.problems import find_problems
from cka_plugin.representation.representation import Representation
from cka_plugin.representation.scales import ScaleKeeper

__all__ = [
    "INPUT",
    "UNTRAINED",
    "Content",
    "ExampleId",
    "Minibatch",
    "Representation",
    "Saved",
    "ScaleKeeper",
    "check_comparable",
    "differences",
    "find_problems",
    "is_saved",
    "join",
    "labels_as_classes",
    "telling_names",
]
