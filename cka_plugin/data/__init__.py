"""What was given as data: folders, tables, arrays, loaders, data sets; ids, labels, fingerprints.

It may know preparations (`adapters`) and the sample; not how models run.
"""

from cka_plugin.data.batches import Batch, Ints
from cka_plugin.data.fingerprints import rows_of
from cka_plugin.data.opening import open_data
from cka_plugin.data.prediction_files import PredictionFile, index_or_name, read_predictions
from cka_plugin.data.reading import MissingExamplesError, ReadOptions
from cka_plugin.data.source import Source

__all__ = [
    "Batch",
    "Ints",
    "MissingExamplesError",
    "PredictionFile",
    "ReadOptions",
    "Source",
    "index_or_name",
    "open_data",
    "read_predictions",
    "rows_of",
]
