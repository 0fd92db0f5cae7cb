# The public names: this is the one list of them. `__init__.py` imports each when it is first used.
from .adapters import Layer as Layer
from .adapters import register_adapter as register_adapter
from .analysis.ablation import Ablation as Ablation
from .analysis.blocks import BlockStructure as BlockStructure
from .analysis.blocks import find_block_structure as find_block_structure
from .analysis.errors import ErrorComparison as ErrorComparison
from .analysis.errors import compare_errors as compare_errors
from .analysis.errors import compare_groups as compare_groups
from .analysis.measures import register_measure as register_measure
from .analysis.measures import similarity as similarity
from .analysis.probes import Probes as Probes
from .calls import compare as compare
from .calls import load as load
from .calls import represent as represent
from .calls import represent_all as represent_all
from .comparison import Comparison as Comparison
from .core.similarity import cka as cka
from .experiments.ablate import ablate as ablate
from .experiments.probe import probe as probe
from .models.layers import layers as layers
from .models.untrained import untrained as untrained
from .regression import Baseline as Baseline
from .regression import CheckResult as CheckResult
from .regression import check as check
from .regression import make_baseline as make_baseline
from .representation import Representation as Representation
from .warnings import CKAWarning as CKAWarning

__version__: str
