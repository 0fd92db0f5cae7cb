"""The category of this package's warnings, so that they can be filtered or turned into errors on their own."""


class CKAWarning(UserWarning):
    """Something about the numbers that a careful reader should know: a dead layer, sorted data, an unused option."""
