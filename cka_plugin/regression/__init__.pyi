from .baseline import Baseline as Baseline
from .baseline import make_baseline as make_baseline
from .check import check as check
from .result import CheckResult as CheckResult
from .result import LayerCheck as LayerCheck
