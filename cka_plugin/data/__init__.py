"""What was given as data: folders, tables, arrays, loaders, data sets; ids, labels, fingerprints.

It may know preparations (`adapters`) and the sample; not how models run.
"""

from cka_plugin.data.arguments import Takes, takes
from cka_plugin.data.batches import Batch
from cka_plugin.data.labels import label_numbers
from cka_plugin.data.numbers import Ints
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
    "Takes",
    "index_or_name",
    "label_numbers",
    "open_data",
    "read_predictions",
    "takes",
]
