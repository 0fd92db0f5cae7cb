"""What other tools read: arrays for netrep, rsatoolbox and ReSi, node data for Google's Model Explorer.

It knows representations and results of analyses, and writes files.
"""
