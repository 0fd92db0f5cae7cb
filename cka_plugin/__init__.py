"""Compare the representations of any networks, layer by layer, and say what the differences mean.

import cka_plugin as cka
comparison = cka.compare("resnet18", "vit_tiny_patch16_224", data="photos/")

The public names are listed once, in `__init__.pyi`, and imported when first used: every run of pytest loads this
package, and none should wait for torch in vain.
"""

import lazy_loader

from cka_plugin.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
