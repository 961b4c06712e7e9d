"""The verb `match`: comparison schools for treated ones, by what was known before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from teamlink.data.schema import as_frame, group_codes, numbers, validate
from teamlink.errors import DesignError, Fault, Faults, OptionError, check_option
from teamlink.trials.equivalence import indicators
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["Matching", "match"]


@dataclass(frozen=True, slots=True)
class Matching:
    """Treated units with their comparison units; made by `teamlink.match`.

    Attributes
    ----------
    pairs : DataFrame
        ``treated, comparison, distance``: labels of rows of the table, a row a pair.
    weights : Series
        Of each row: 1 for a matched treated unit; for a comparison unit the sum over its treated
        units of one over their number of comparisons; 0 for the rest.
    balance : DataFrame
        ``covariate, before, after, variance_ratio_before, variance_ratio_after``: differences of
        means in standard deviations of the treated units, the same before and after.
    propensity : Series or None
        Estimated probability of treatment, where distances are by it.
    unmatched : Index
        Treated units without a comparison.
    rows : DataFrame
        The table that was given.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> schools = pd.DataFrame({"prior": rng.normal(size=200), "poverty": rng.uniform(size=200)})
    >>> chance = 1 / (1 + np.exp(2 - schools["prior"]))
    >>> schools["adopted"] = (rng.uniform(size=200) < chance) * 1
    >>> found = tl.match(schools, "adopted", ["prior", "poverty"])
    >>> found.balance[["covariate", "before", "after"]].round(2)
      covariate  before  after
    0     prior    0.92   0.07
    1   poverty    0.32  -0.19
    """

    pairs: pd.DataFrame
    weights: pd.Series[Any]
    balance: pd.DataFrame
    propensity: pd.Series[Any] | None
    unmatched: pd.Index[Any]
    rows: pd.DataFrame

    @property
    def data(self) -> pd.DataFrame:
        """The matched rows of the table with their ``match_weight``."""
        kept = self.weights.to_numpy() > 0
        return self.rows.loc[kept].assign(match_weight=self.weights.to_numpy()[kept])

    def __repr__(self) -> str:
        worst = self.balance["after"].abs().max()
        return f"<Matching: {len(self.pairs)} pairs, largest difference after {worst:.3f} SD>"


def match(
    data: Table,
    treated: str,
    covariates: str | Sequence[str],
    *,
    distance: Literal["propensity", "mahalanobis"] = "propensity",
    method: Literal["nearest", "optimal"] = "nearest",
    ratio: int = 1,
    replace: bool = False,
    caliper: float | None = None,
    exact: str | Sequence[str] = (),
) -> Matching:
    """Match comparison units, such as schools, to treated ones.

    Parameters
    ----------
    data : table
        Any data frame, one row a unit, complete in the columns named.
    treated : str
        Column of zeros and ones.
    covariates : str or sequence of str
        Columns to match on: numbers, or categories.
    distance : {"propensity", "mahalanobis"}
        Difference of the logit of the propensity score, by logistic regression; or Mahalanobis
        distance with the pooled covariance within groups.
    method : {"nearest", "optimal"}
        Treated units in turn take the nearest comparison unit left, those hardest to match first;
        or the pairs with the smallest sum of distances.
    ratio : int
        Comparison units for each treated one.
    replace : bool
        Whether a comparison unit may serve several treated ones; with "nearest" only.
    caliper : float, optional
        Largest distance of a pair: in standard deviations of the logit, or in Mahalanobis distance.
    exact : str or sequence of str
        Columns in which the units of a pair must agree.

    Returns
    -------
    Matching
        ``.pairs``, ``.weights``, ``.balance``, ``.propensity``, ``.unmatched``, ``.data``.

    Raises
    ------
    OptionError
        An option that is not offered.
    DataError, DesignError
        The table lacks what is asked, or a covariate tells the groups apart; every fault is listed.

    Notes
    -----
    Matching makes groups alike in what was measured, not in what was not [1]_. Look at ``balance``
    and match anew rather than test; then analyse with the covariates in the model, as in
    ``tl.did(..., weights="match_weight")`` on the rows of the matched units.

    In R: ``MatchIt::matchit(treated ~ x, data, method = "nearest")``, or ``"optimal"``.

    References
    ----------
    .. [1] Stuart (2010). Matching methods for causal inference: a review and a look forward.
       Statistical Science 25(1). doi:10.1214/09-STS313

    Examples
    --------
    >>> import pandas as pd, teamlink as tl
    >>> schools = pd.DataFrame(
    ...     {"prior": [1.0, 2.0, 1.1, 2.2, 5.0], "adopted": [1, 1, 0, 0, 0]}, index=list("abcde")
    ... )
    >>> tl.match(schools, "adopted", "prior", distance="mahalanobis").pairs.round(2)
      treated comparison  distance
    0       b          d      0.12
    1       a          c      0.06
    """
    check_option("distance", distance, ["propensity", "mahalanobis"])
    check_option("method", method, ["nearest", "optimal"])
    _check_options(method, ratio, replace, caliper)
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    keys = [exact] if isinstance(exact, str) else list(exact)
    rows = as_frame(data)
    used = validate(
        rows, complete=[treated, *names, *keys], bounds={treated: (0, 1)}, groups=[*names, *keys]
    )
    arm = numbers(used, treated) == 1
    columns = [entry for name in names for entry in indicators(used, name)]
    X = np.column_stack([x for _, _, x in columns])
    _check(arm, X, treated, ratio, replace, numbers(used, treated))
    codes = group_codes(used, keys)[0] if keys else np.zeros(len(used), dtype=np.intp)
    gaps, chance = _distances(X, arm, distance)
    allowed = codes[arm][:, None] == codes[~arm][None, :]
    if caliper is not None:
        allowed &= gaps <= caliper
    chosen = (
        _nearest(gaps, allowed, ratio, replace, _order(gaps, chance, arm))
        if method == "nearest"
        else _optimal(gaps, allowed, ratio)
    )
    if not chosen:
        raise DesignError([Fault("no treated unit has a comparison", "table", "a wider caliper")])
    return _matching(rows, chosen, gaps, arm, chance, columns)


def _check_options(method: str, ratio: int, replace: bool, caliper: float | None) -> None:
    if int(ratio) != ratio or ratio < 1:
        raise OptionError(f"ratio={ratio!r}: a whole number, one at least")
    if replace and method == "optimal":
        raise OptionError("replace: goes with method='nearest'")
    if caliper is not None and not caliper > 0:
        raise OptionError(f"caliper={caliper!r}: a positive distance")


def _check(arm: Mask, X: Array, treated: str, ratio: int, replace: bool, values: Array) -> None:
    faults = Faults()
    if set(np.unique(values).tolist()) != {0.0, 1.0}:
        faults.add("must hold zeros and ones, both", f"column {treated!r}", "recode it")
    elif not replace and int((~arm).sum()) < ratio * int(arm.sum()):
        faults.add(
            f"{int(arm.sum())} treated units, {int((~arm).sum())} others: too few for {ratio} each",
            f"column {treated!r}",
            "take a smaller ratio, or replace=True",
        )
    if (np.ptp(X, axis=0) == 0).all():
        faults.add("no covariate varies", "covariates", "name others")
    faults.raise_if_any(DesignError)


def _distances(X: Array, arm: Mask, distance: str) -> tuple[Array, Array | None]:
    """Distances (treated, comparison), and the propensity (n,) where they are by it."""
    if distance == "mahalanobis":
        centred = np.where(arm[:, None], X - X[arm].mean(axis=0), X - X[~arm].mean(axis=0))
        inverse = np.linalg.pinv(centred.T @ centred / (len(X) - 2))
        values, vectors = np.linalg.eigh(inverse)
        Z = X @ (vectors * np.sqrt(np.maximum(values, 0.0)))
        return np.asarray(cdist(Z[arm], Z[~arm])), None
    logit = _logit(X, arm)
    scaled = logit / logit.std(ddof=1)
    gaps: Array = np.abs(scaled[arm][:, None] - scaled[~arm][None, :])
    return gaps, 1 / (1 + np.exp(-logit))


def _logit(X: Array, arm: Mask) -> Array:
    """Fitted logits (n,) of a logistic regression of treatment, by Newton's method."""
    Z = np.column_stack([np.ones(len(X)), (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-300)])
    Q, R = np.linalg.qr(Z)
    Q = Q[:, np.abs(np.diag(R)) > 1e-9 * np.sqrt(len(X))]
    b = np.zeros(Q.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-Q @ b))
        step = np.linalg.lstsq((Q.T * (p * (1 - p))) @ Q, Q.T @ (arm - p), rcond=None)[0]
        b = b + step
        if np.abs(Q @ b).max() > 30:
            raise DesignError(
                [Fault("a combination of them tells treated units from all others", "covariates",
                       "leave some out; units so different cannot be matched")]
            )  # fmt: skip
        if np.abs(step).max() < 1e-10 * max(1.0, float(np.abs(b).max())):
            break
    logit: Array = Q @ b
    return logit


def _order(gaps: Array, chance: Array | None, arm: Mask) -> Codes:
    """Treated units in turn: highest propensity first, or farthest from any comparison."""
    hardness = gaps.min(axis=1) if chance is None else chance[arm]
    return np.argsort(-hardness, kind="stable")


def _nearest(
    gaps: Array, allowed: Mask, ratio: int, replace: bool, order: Codes
) -> list[tuple[int, int]]:
    free = np.where(allowed, gaps, np.inf)
    found: list[tuple[int, int]] = []
    for t in order.tolist():
        row = free[t].copy()
        for _ in range(ratio):
            c = int(np.argmin(row))
            if not np.isfinite(row[c]):
                break
            found.append((t, c))
            row[c] = np.inf
            if not replace:
                free[:, c] = np.inf
    return found


def _optimal(gaps: Array, allowed: Mask, ratio: int) -> list[tuple[int, int]]:
    """The pairs with the least sum of distances; as many pairs as are allowed come first."""
    cost = np.repeat(gaps, ratio, axis=0)
    open_ = np.repeat(allowed, ratio, axis=0)
    # A pair that is not allowed costs more than all others together.
    cost = np.where(open_, cost, (cost.max() + 1) * (len(cost) + 1))
    t, c = linear_sum_assignment(cost)
    kept = open_[t, c]
    return list(zip((t[kept] // ratio).tolist(), c[kept].tolist(), strict=True))


def _matching(
    rows: pd.DataFrame,
    chosen: list[tuple[int, int]],
    gaps: Array,
    arm: Mask,
    chance: Array | None,
    columns: list[tuple[str, str, Array]],
) -> Matching:
    t, c = (np.array(side, dtype=np.intp) for side in zip(*chosen, strict=True))
    own, others = np.flatnonzero(arm), np.flatnonzero(~arm)
    each = np.bincount(t, minlength=len(own))
    w = np.zeros(len(arm))
    w[own[each > 0]] = 1.0
    np.add.at(w, others[c], 1 / each[t])
    index = rows.index
    pairs = pd.DataFrame(
        {"treated": index[own[t]], "comparison": index[others[c]], "distance": gaps[t, c]}
    )
    balance = pd.DataFrame([_balance(name, x, arm, w) for name, _, x in columns])
    return Matching(
        pairs,
        pd.Series(w, index=index, name="match_weight"),
        balance,
        None if chance is None else pd.Series(chance, index=index, name="propensity"),
        index[own[each == 0]],
        rows,
    )


def _balance(name: str, x: Array, arm: Mask, w: Array) -> dict[str, Any]:
    sd = float(x[arm].std(ddof=1)) or float(x.std(ddof=1)) or 1.0
    found: dict[str, Any] = {"covariate": name}
    for when, weight in (("before", np.ones(len(x))), ("after", w)):
        one, two = (_moments(x[side], weight[side]) for side in (arm, ~arm))
        found[when] = (one[0] - two[0]) / sd
        found[f"variance_ratio_{when}"] = one[1] / two[1] if two[1] > 0 else np.nan
    order = ["covariate", "before", "after", "variance_ratio_before", "variance_ratio_after"]
    return {key: found[key] for key in order}


def _moments(x: Array, w: Array) -> tuple[float, float]:
    """Weighted mean and variance."""
    mean = float(w @ x / w.sum())
    total, square = float(w.sum()), float(w @ w)
    spread = total - square / total
    return mean, float(w @ np.square(x - mean)) / spread if spread > 0 else 0.0
