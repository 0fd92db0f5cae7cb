"""Results as tables and as JSON: rows are frozen dataclasses, NaN becomes null, numbers print short."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.wording import for_terminal

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """What the results of analyses share: a table of what they list, and plain data for JSON.

    For frozen dataclasses. One that lists rows says which in `table_rows`; without, it is the one row of its table.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Length(Result):
        ...     metres: float
        >>> Length(float("nan")).to_dict(), list(Length(2.0).to_frame().columns)
        ({'metres': None}, ['metres'])
    """

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """The rows of the table, and the dataclass that they are of."""
        return [self], type(self)

    def to_frame(self) -> pd.DataFrame:
        """What is listed, one row each, in columns named as the attributes of a row."""
        return to_frame(*self.table_rows())

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON: NaN is None."""
        return {field.name: json_safe(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def json_safe(value: Any) -> Any:
    """`value` with arrays as lists, dataclasses as dicts, numpy numbers as Python's, and NaN and infinities as None.

    Example:
        >>> json_safe({"kappa": float("nan"), "n": np.int64(3), "matrix": np.eye(2)})
        {'kappa': None, 'n': 3, 'matrix': [[1.0, 0.0], [0.0, 1.0]]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if is_dataclass(value):
        return {field.name: json_safe(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [json_safe(item) for item in value]
    return str(value)


def to_frame(rows: Sequence[Any], row_type: type) -> pd.DataFrame:
    """A data frame of dataclass rows; its columns are the fields of `row_type`, also where there is no row."""
    import pandas as pd

    columns = [field.name for field in fields(row_type)]
    return pd.DataFrame({name: [getattr(row, name) for row in rows] for name in columns}, columns=columns)


def short(value: object) -> str:
    """A number for people: three decimals, small p values with two significant digits, NaN as `-`.

    Example:
        >>> [short(x) for x in (0.5, 0.00012, -0.0004, 12, float("nan"), "cat", True, False)]
        ['0.500', '0.00012', '-0.0004', '12', '-', 'cat', 'yes', '']
    """
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return "-"
        number = float(value)
        return f"{number:.3f}" if number == 0 or abs(number) >= 0.001 else f"{number:.2g}"
    return str(value)


def text_table(rows: Sequence[Sequence[object]], header: Sequence[str], right: Sequence[int] = ()) -> str:
    """Rows under a header in columns; what is a number in every row stands to the right, and the columns of `right`.

    Example:
        >>> print(text_table([["cat", 0.5], ["horse", 0.25]], ["class", "accuracy"]))
        class  accuracy
        cat       0.500
        horse     0.250
    """
    cells = [[for_terminal(short(value)) for value in row] for row in [header, *rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    numeric = [
        column in right or (bool(rows) and all(isinstance(row[column], int | float | np.number) for row in rows))
        for column in range(len(header))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    )
