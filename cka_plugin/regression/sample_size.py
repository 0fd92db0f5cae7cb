"""Too few examples to judge: what a check of them cannot tell, and how many would.

Measured on the networks of the tests (60 draws of n examples, one block disturbed): the standard error of 1 - CKA, as a
share of it, is 0.84 at n = 8, 0.47 at 16, 0.30 at 32, 0.19 at 64 and 0.10 at 256.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from cka_plugin.analysis.statistics.power import detectable_difference
from cka_plugin.regression.limits import Limits
from cka_plugin.regression.predictions import Predictions

FEWEST_EXAMPLES = 20  # with fewer, how far a layer moved is within two standard errors of not at all
_GOOD = 256  # gives intervals


def too_few(n: int, predictions: Predictions, limits: Limits) -> Iterator[str]:
    """What cannot be judged on n examples, a sentence each, with how many it takes."""
    if n < FEWEST_EXAMPLES:
        yield (
            f"{n} examples are too few to say how far a layer moved: the error of 1 - CKA is about half of it at 16"
            f" examples and a tenth at {_GOOD}; give at least {FEWEST_EXAMPLES}, better {_GOOD}"
        )
    if predictions.errors is not None and _is_less_than_one_example(limits.max_accuracy_drop, n):
        assert limits.max_accuracy_drop is not None
        yield _sentence(n, f"an accuracy lower by {limits.max_accuracy_drop:.1%}", limits.max_accuracy_drop) + (
            f", or a larger max_accuracy_drop ({_power(n)})"
        )
    if predictions.churn is not None and _is_less_than_one_example(limits.max_churn, n):
        assert limits.max_churn is not None
        what = f"{limits.max_churn:.1%} of predictions that change"
        yield f"{_sentence(n, what, limits.max_churn)}, or a larger max_churn"


def _is_less_than_one_example(limit: float | None, n: int) -> bool:
    """Whether a limit is nearer to no example than to one; a limit of 0 is meant so."""
    return limit is not None and 0.0 < n * limit < 0.5


def _sentence(n: int, what: str, limit: float) -> str:
    return (
        f"{n} examples are too few to judge {what}: a single one, which rounding may turn, is {1 / n:.1%}; give at"
        f" least {math.ceil(0.5 / limit)}"
    )


def _power(n: int) -> str:
    """What the exact McNemar test finds on n examples."""
    found = detectable_difference(n)
    if math.isnan(found):
        return f"the exact McNemar test finds no difference on {n} examples, however large"
    return f"the exact McNemar test on {n} examples finds true drops of {found:.0%} or more with a power of 80%"
