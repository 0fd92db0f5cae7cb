"""What a model made of a data set: in memory, in a file, merged, matched with another.

It may know the numbers and how large arrays are kept; not models, not data.
"""

from cka_plugin.representation.representation import Minibatch, Representation, check_comparable

__all__ = ["Minibatch", "Representation", "check_comparable"]
