"""Many models side by side: one row a model, and how what is measured goes with width, depth or parameters."""

from cka_plugin.analysis.families.relation import Relation
from cka_plugin.analysis.families.summary import ModelSummary, Summary, summarise

__all__ = ["ModelSummary", "Relation", "Summary", "summarise"]
