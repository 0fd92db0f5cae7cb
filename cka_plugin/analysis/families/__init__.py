"""Many models side by side: one row a model, what goes with width, depth or parameters, and who is like whom."""

from cka_plugin.analysis.families.nearest import Nearest, Neighbour, mean_interval
from cka_plugin.analysis.families.relation import Relation
from cka_plugin.analysis.families.structure import find_families
from cka_plugin.analysis.families.structure_result import Families, Family, FamilyPair
from cka_plugin.analysis.families.summary import ModelSummary, Summary, summarise

__all__ = [
    "Families",
    "Family",
    "FamilyPair",
    "ModelSummary",
    "Nearest",
    "Neighbour",
    "Relation",
    "Summary",
    "find_families",
    "mean_interval",
    "summarise",
]
