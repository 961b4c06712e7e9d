"""Frames as plain values: what JSON, HTML and text are made from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["plain", "records"]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows of a frame as dictionaries of plain values, missing ones as None.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its index is left out.

    Returns
    -------
    list of dict

    Examples
    --------
    >>> import pandas as pd
    >>> records(pd.DataFrame({"term": ["ses", None], "df": [151.0, float("nan")]}))
    [{'term': 'ses', 'df': 151.0}, {'term': None, 'df': None}]
    """
    names = [str(name) for name in frame.columns]
    rows = zip(*(frame[c].tolist() for c in frame.columns), strict=True)
    return [dict(zip(names, map(plain, row), strict=True)) for row in rows]


def plain(value: object) -> Any:
    """Turn one value into a str, int, float, bool or None.

    Examples
    --------
    >>> import numpy as np
    >>> plain(np.float64(0.5)), plain(np.int64(3)), plain(float("inf"))
    (0.5, 3, None)
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return None if value is pd.NaT or value is pd.NA else str(value)
