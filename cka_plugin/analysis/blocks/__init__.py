"""The block structure: found, placed, explained, and whether two models share it.

It may know components, statistics and Gram matrices; nothing of errors.
"""

from cka_plugin.analysis.blocks.detector import block_structure, find_block_structure
from cka_plugin.analysis.blocks.result import Block, BlockStructure

__all__ = ["Block", "BlockStructure", "block_structure", "find_block_structure"]
