"""A model against its baseline: making the baseline, checking, and saying what moved.

It may know everything below the command and the training callbacks. Its names are imported when first used, since
every run of pytest loads `regression.session`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
