"""The verb `baseline`: whether the groups that are compared were alike before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, numbers, validate
from teamlink.errors import DesignError, Faults
from teamlink.trials.sizes import correction, cox_index
from teamlink.trials.within import lines, ordinary
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["baseline", "indicators"]


def baseline(
    data: Table,
    treated: str,
    covariates: str | Sequence[str],
    cluster: str | None = None,
    *,
    weights: str | None = None,
) -> pd.DataFrame:
    """Compare treated and comparison rows before treatment: the table of baseline equivalence.

    Parameters
    ----------
    data : table
        Any data frame.
    treated : str
        Column of zeros and ones.
    covariates : str or sequence of str
        Columns to compare: numbers; columns of zeros and ones; or categories, each of whose values
        gets a row.
    cluster : str, optional
        Column of the clusters of the test; each row for itself when None.
    weights : str, optional
        Column of positive weights of the means, such as that of a matching.

    Returns
    -------
    DataFrame
        A row a covariate: ``covariate, kind, mean_treated, mean_comparison, sd_treated,
        sd_comparison, difference, effect_size, statistic, df, p_value, equivalence, n_treated,
        n_comparison, missing``.

    Raises
    ------
    DataError, DesignError
        The table lacks what is asked; every fault is listed.

    Notes
    -----
    ``effect_size`` is Hedges' g, the difference over the pooled standard deviation times
    ``1 - 3 / (4 df - 1)``, ``df = n - 2``; for shares it is Cox's index, the log odds ratio over
    1.65, times the same. ``equivalence`` names the thresholds of the What Works Clearinghouse [1]_:
    "satisfied" up to 0.05 in absolute value, "adjust" up to 0.25 (equivalent only with the
    covariate in the model), "not satisfied" beyond.

    The test is that of the difference with a cluster-robust covariance (CR2) and Satterthwaite's
    degrees of freedom; equivalence is judged by the effect size, not by the p value, which is large
    in small samples. Standard deviations are not weighted, so that they are the same before and
    after a matching.

    References
    ----------
    .. [1] What Works Clearinghouse (2022). Procedures and Standards Handbook, version 5.0.
       Institute of Education Sciences.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> pupils = pd.DataFrame({"school": np.repeat(np.arange(20), 30)})
    >>> pupils["prior"] = rng.normal(size=20)[pupils["school"]] * 0.4 + rng.normal(size=600)
    >>> pupils["girl"], pupils["treated"] = rng.integers(0, 2, 600), pupils["school"] % 2
    >>> table = tl.baseline(pupils, "treated", ["prior", "girl"], cluster="school")
    >>> table[["covariate", "effect_size", "p_value", "equivalence"]].round(3)
      covariate  effect_size  p_value equivalence
    0     prior        0.080    0.536      adjust
    1      girl        0.032    0.772   satisfied
    """
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    keys = [] if cluster is None else [cluster]
    numeric = [] if weights is None else [weights]
    rows = validate(
        data, numeric=numeric, groups=[*names, *keys], complete=[*keys, *numeric],
        bounds={treated: (0, 1)},
    )  # fmt: skip
    faults = Faults()
    arm = numbers(rows, treated)
    there = np.isfinite(arm)
    if set(np.unique(arm[there]).tolist()) != {0.0, 1.0}:
        faults.add("must hold zeros and ones, both", f"column {treated!r}", "recode it")
    w = np.ones(len(rows)) if weights is None else numbers(rows, weights)
    if not (w >= 0).all():
        faults.add("weights must not be negative", f"column {weights!r}", "leave such rows out")
    faults.raise_if_any(DesignError)
    codes = np.arange(len(rows)) if cluster is None else group_codes(rows, cluster)[0]
    found = []
    for name in names:
        for label, kind, x in indicators(rows, name):
            used = there & np.isfinite(x)
            table = _compared(x[used], arm[used] == 1, codes[used], w[used], kind)
            found.append(
                {"covariate": label, "kind": kind} | table | {"missing": int((~used).sum())}
            )
    return pd.DataFrame(found)


def indicators(rows: pd.DataFrame, name: str) -> list[tuple[str, str, Array]]:
    """A column as numbers: itself, or an indicator for each of its categories."""
    series = rows[name]
    if pd.api.types.is_numeric_dtype(series.dtype):
        x = numbers(rows, name)
        values = set(np.unique(x[np.isfinite(x)]).tolist())
        return [(name, "share" if values <= {0.0, 1.0} else "number", x)]
    there = series.notna().to_numpy()
    found = []
    for value in sorted(series.dropna().unique(), key=str):
        x = np.where(there, (series == value).to_numpy(dtype=float, na_value=np.nan), np.nan)
        found.append((f"{name}[{value}]", "share", x))
    return found


def _compared(x: Array, treated: Mask, cluster: Codes, w: Array, kind: str) -> dict[str, Any]:
    """One row of the table."""
    one, two = x[treated], x[~treated]
    means = [float(np.average(x[arm], weights=w[arm])) for arm in (treated, ~treated)]
    df = len(x) - 2
    sd = float(np.sqrt((len(one) * one.var() + len(two) * two.var()) / df))
    if kind == "share":
        size = correction(df) * cox_index(*means)
    else:
        size = correction(df) * (means[0] - means[1]) / sd if sd > 0 else 0.0
    return {
        "mean_treated": means[0], "mean_comparison": means[1],
        "sd_treated": float(one.std(ddof=1)), "sd_comparison": float(two.std(ddof=1)),
        "difference": means[0] - means[1], "effect_size": size,
        **_test(x, treated, cluster, w), "equivalence": _words(size),
        "n_treated": len(one), "n_comparison": len(two),
    }  # fmt: skip


def _test(x: Array, treated: Mask, cluster: Codes, w: Array) -> dict[str, float]:
    """The test of the difference; without spread there is none."""
    used = w > 0
    x, treated, root = x[used], treated[used], np.sqrt(w[used])
    if np.ptp(x) == 0:
        return {"statistic": np.nan, "df": np.nan, "p_value": np.nan}
    X = np.column_stack([root, root * treated])
    fit = ordinary(root * x, X, ("Intercept", "treated"), cluster[used])
    found = lines(fit, np.array([[0.0, 1.0]]), 0.95)
    return {name: float(found[name][0]) for name in ("statistic", "df", "p_value")}


def _words(size: float) -> str:
    if np.isnan(size) or abs(size) > 0.25:
        return "not satisfied"
    return "satisfied" if abs(size) <= 0.05 else "adjust"
