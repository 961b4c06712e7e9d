"""Shared type aliases."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
"""Real numbers of any shape; the docstring beside it states which."""

Codes: TypeAlias = NDArray[np.intp]
"""Integer codes of group membership, 0 .. J-1."""

Mask: TypeAlias = NDArray[np.bool_]
"""True where something holds."""

Table: TypeAlias = Any
"""Any data frame that narwhals understands: pandas, polars, pyarrow and others."""

Direction: TypeAlias = Literal["positive", "negative", "null"]
"""Sign of an effect as a publication states it."""
