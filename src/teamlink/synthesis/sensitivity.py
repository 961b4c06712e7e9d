"""What a pooled effect rests on: single studies, and small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.errors import FitError
from teamlink.fitting.fit import single_thread
from teamlink.synthesis.fit import Choices, fit_numbers
from teamlink.synthesis.pooling import Effects
from teamlink.typing import Array, Codes

__all__ = ["asymmetry", "left_out"]


def left_out(
    effects: Effects,
    groups: Codes,
    labels: Sequence[str],
    clusters: Codes | None,
    choices: Choices,
    level: float,
) -> pd.DataFrame:
    """Pool without each group in turn; see `MetaAnalysis.leave_one_out`."""
    rows = []
    with single_thread().limit(limits=1):
        for g, label in enumerate(labels):
            kept = groups != g
            rest = Effects(effects.y[kept], effects.v[kept], effects.X[kept])
            k, p = rest.X.shape
            if k <= p or k < 2 or np.linalg.matrix_rank(rest.X) < p:
                raise FitError(f"without {label!r} the coefficients are not determined")
            own = None
            if clusters is not None:
                own = np.unique(clusters[kept], return_inverse=True)[1].astype(np.intp)
                if own.max() < max(1, p):
                    raise FitError(f"without {label!r} there are too few clusters")
            rows.append(_row(rest, own, choices, level))
    columns = ["estimate", "std_error", "conf_low", "conf_high", "p_value", "tau2", "i2", "q"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(labels, name="left out"))


def _row(rest: Effects, clusters: Codes | None, choices: Choices, level: float) -> list[float]:
    found = fit_numbers(rest, clusters, choices, [])
    b, error, df = found.b[0], float(np.sqrt(found.covariance[0, 0])), found.df[0]
    half = stats.t.ppf(0.5 + level / 2, df) * error
    p_value = 2 * stats.t.sf(abs(b) / error, df)
    typical = rest.df / rest.projection_trace()
    i2 = found.tau2 / (found.tau2 + typical)
    if choices.method == "fe":
        i2 = max(0.0, 1 - rest.df / found.q) if found.q > 0 else 0.0
    return [b, error, b - half, b + half, p_value, found.tau2, i2, found.q]


def asymmetry(effects: Effects) -> pd.Series[Any]:
    """Egger's regression of effects on their standard errors, weighted by precision."""
    error = np.sqrt(effects.v)
    k = len(error)
    if k < 3 or np.ptp(error) <= 1e-12 * error.max():
        raise FitError("Egger's test takes at least three studies of different precision")
    X: Array = np.column_stack([np.ones(k), error]) / error[:, None]
    z = effects.y / error
    b, *_ = np.linalg.lstsq(X, z, rcond=None)
    residual = z - X @ b
    covariance = residual @ residual / (k - 2) * np.linalg.inv(X.T @ X)
    t = b[1] / np.sqrt(covariance[1, 1])
    return pd.Series(
        {
            "bias": b[1],
            "std_error": float(np.sqrt(covariance[1, 1])),
            "statistic": t,
            "df": float(k - 2),
            "p_value": float(2 * stats.t.sf(abs(t), k - 2)),
            "limit": b[0],
        }
    )
