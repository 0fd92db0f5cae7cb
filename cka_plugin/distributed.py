"""What a script under `torchrun` says of its process group: `alone()` works for itself, `world()` tells the rank."""

from cka_plugin.engine.ranks import DistributedError, alone, world

__all__ = ["DistributedError", "alone", "world"]
