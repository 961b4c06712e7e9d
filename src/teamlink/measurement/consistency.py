"""Cronbach's alpha with an interval, and what each item does for it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, group_codes, numbers, validate
from teamlink.errors import DataError, DesignError, DroppedRows, Faults, OptionError, check_option
from teamlink.fitting.summary import SummaryTable, number
from teamlink.measurement import alpha_intervals
from teamlink.measurement.index import Index, check_level
from teamlink.typing import Array, Codes, Table

__all__ = [
    "Alpha",
    "alpha",
    "answers_of",
    "check_items",
    "complete_answers",
    "cronbach",
    "item_table",
    "varied_answers",
]

AlphaInterval = Literal["feldt", "bonett", "normal", "adf", "percentile", "bca"]

_FEW = 20
"""Clusters below which errors that are robust to them are known to be too small or unstable."""

_WORDS = {
    "feldt": "Feldt's F (1965), compound symmetry of the items assumed",
    "bonett": "Bonett (2002), compound symmetry of the items assumed",
    "normal": "van Zyl, Neudecker and Nel (2000), normal items assumed",
    "adf": "Maydeu-Olivares, Coffman and Hartmann (2007) on the scale of ln(1 - alpha), "
    "no distribution assumed",
    "percentile": "bootstrap, percentile",
    "bca": "bootstrap, BCa",
}


@dataclass(frozen=True, eq=False, repr=False)
class Alpha(Index):
    """Cronbach's alpha, made by `teamlink.alpha`; a number with attributes.

    Attributes
    ----------
    value, name, definition, low, high, level, interval : see `teamlink.measurement.index.Index`
    standard_error : float
        Of the interval's method; missing for Feldt's, which has none.
    standardized : float
        Alpha of the standardised items, k r / (1 + (k - 1) r) with the mean correlation r.
    mean_correlation : float
        Mean correlation r of the items.
    items : pandas.DataFrame
        A row for each item: ``n, mean, sd, r_rest, alpha_dropped``: answers, their mean and
        standard deviation, the correlation with the sum of the other items, and the alpha of
        the other items.
    n, n_clusters : int
        Respondents with every item, and their clusters (0 where none were named).

    Examples
    --------
    >>> import teamlink as tl
    >>> found = tl.alpha({"c1": [1, 2, 3, 4], "c2": [2, 2, 3, 5], "c3": [1, 3, 3, 4]})
    >>> found.items["alpha_dropped"].round(3).to_dict()
    {'c1': 0.853, 'c2': 0.96, 'c3': 0.952}
    """

    standard_error: float
    standardized: float
    mean_correlation: float
    items: pd.DataFrame
    n: int
    n_clusters: int

    def facts(self) -> tuple[tuple[str, str], ...]:
        """See `Index.facts`."""
        clusters = f" in {self.n_clusters:,} clusters" if self.n_clusters else ""
        return (
            *super().facts(),
            ("Standardised", f"{number(self.standardized)}, mean correlation "
                             f"{number(self.mean_correlation)}"),
            ("Respondents", f"{self.n:,} with all {len(self.items)} items{clusters}"),
        )  # fmt: skip

    def tables(self) -> tuple[SummaryTable, ...]:
        """See `Index.tables`."""
        header = ("Item", "Answers", "Mean", "SD", "r with rest", "Alpha without it")
        rows = tuple(
            (
                str(item), f"{int(row['n'])}", number(row["mean"], 3), number(row["sd"], 3),
                number(row["r_rest"], 3), number(row["alpha_dropped"]),
            )
            for item, row in self.items.iterrows()
        )  # fmt: skip
        return (SummaryTable("Items", header, rows),)

    def remarks(self) -> tuple[str, ...]:
        """See `Index.remarks`."""
        if not 0 < self.n_clusters < _FEW:
            return ()
        return (f"{self.n_clusters} clusters are few: the interval is rough.",)


def alpha(
    items: Table,
    columns: Sequence[str] | None = None,
    *,
    cluster: str | None = None,
    interval: AlphaInterval | None = None,
    level: float = 0.95,
    n: int = 2000,
    seed: int | np.random.Generator | None = 1,
) -> Alpha:
    r"""Cronbach's alpha: internal consistency of a scale.

    Parameters
    ----------
    items : table
        A row for each respondent, a numeric column for each of the k items, already turned so
        that high means the same in all.
    columns : sequence of str, optional
        The items; all columns (but that of `cluster`) when None.
    cluster : str, optional
        Column of clusters, as schools. Alpha is the same; the interval then takes respondents of
        one cluster as dependent.
    interval : {"feldt", "bonett", "normal", "adf", "percentile", "bca"}, optional
        Where the interval comes from; by default "feldt", with `cluster` "adf". The first three
        take respondents as independent, so they are refused with `cluster`.
    level : float
        Coverage of the interval.
    n : int
        Bootstrap replicates, for "percentile" and "bca".
    seed : int or numpy.random.Generator, optional
        Of the bootstrap.

    Returns
    -------
    Alpha
        A number, negative where items disagree more than chance would have them, with ``low``,
        ``high``, ``items`` (item statistics) and ``summary()``.

    Raises
    ------
    DataError
        Fewer than two items, columns missing, not numeric or constant, or fewer than two
        complete rows.
    DesignError
        Fewer than two clusters.
    OptionError
        An interval that is not offered, or not with clusters.

    Warns
    -----
    DroppedRows
        Rows with a missing answer, or without a cluster, were left out.

    Notes
    -----
    .. math:: \alpha = \frac{k}{k - 1}
              \left(1 - \frac{\sum_i \operatorname{Var} x_i}{\operatorname{Var} \sum_i x_i}\right)

    over n respondents with every item. Feldt's interval is exact for normal items that are
    parallel: :math:`1 - (1 - \hat\alpha) F_{1 \mp \gamma}(n - 1, (n - 1)(k - 1))`. Bonett's is
    :math:`\ln(1 - \hat\alpha) \pm z \sqrt{2k / ((k - 1)(n - 2))}`. "normal" has the delta-method
    error for any covariance matrix of normal items, "adf" that for any distribution, from each
    respondent's influence; with clusters influences are summed over them, times J / (J - 1), and
    the quantile is that of t on J - 1 degrees of freedom. The bootstrap draws respondents, or
    whole clusters.

    In R: ``psych::alpha(items, use = "complete")`` (raw alpha; ``total$ase`` is "normal").

    References
    ----------
    Cronbach, L. J. (1951). Coefficient alpha and the internal structure of tests.
    *Psychometrika*, 16(3), 297-334. https://doi.org/10.1007/BF02310555

    Feldt, L. S. (1965). The approximate sampling distribution of Kuder-Richardson reliability
    coefficient twenty. *Psychometrika*, 30(3), 357-370. https://doi.org/10.1007/BF02289499

    van Zyl, J. M., Neudecker, H., & Nel, D. G. (2000). On the distribution of the maximum
    likelihood estimator of Cronbach's alpha. *Psychometrika*, 65(3), 271-280.
    https://doi.org/10.1007/BF02296146

    Bonett, D. G. (2002). Sample size requirements for testing and estimating coefficient alpha.
    *Journal of Educational and Behavioral Statistics*, 27(4), 335-340.
    https://doi.org/10.3102/10769986027004335

    Maydeu-Olivares, A., Coffman, D. L., & Hartmann, W. M. (2007). Asymptotically
    distribution-free (ADF) interval estimation of coefficient alpha. *Psychological Methods*,
    12(2), 157-176. https://doi.org/10.1037/1082-989X.12.2.157

    Examples
    --------
    >>> import teamlink as tl
    >>> round(tl.alpha({"c1": [1, 2, 3, 4], "c2": [2, 2, 3, 5], "c3": [1, 3, 3, 4]}), 4)
    0.9474
    >>> tl.alpha({"c1": [1, 2, 3, 4], "c2": [2, 2, 3, 5], "c3": [1, 3, 3, 4]})
    alpha 0.9474 (95% 0.6527 to 0.9964)
    """
    check_level(level)
    check_option("interval", interval, [None, *_WORDS])
    if cluster is not None and interval in ("feldt", "bonett", "normal"):
        raise OptionError(f"interval={interval!r} takes respondents as independent; use 'adf'")
    frame, names = items_of(items, columns, cluster)
    answers, codes = complete_answers(frame, names, cluster)
    own = cronbach(answers)
    method = interval or ("feldt" if cluster is None else "adf")
    low, high, error = alpha_intervals.ends(answers, codes, method, level, n, seed)
    r, standardized = _of_correlations(answers)
    return Alpha(
        value=own,
        name="alpha",
        definition="Cronbach's (1951), from raw answers of respondents with every item",
        low=low, high=high, level=level,
        interval=_WORDS[method] + (", clusters as units" if cluster is not None else ""),
        standard_error=error,
        standardized=standardized,
        mean_correlation=r,
        items=item_table(answers_of(frame, names), names),
        n=len(answers),
        n_clusters=0 if codes is None else int(codes.max()) + 1,
    )  # fmt: skip


def items_of(
    items: Table, columns: Sequence[str] | None, cluster: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Give a frame of the items (and clusters), and the names of the items."""
    if columns is None:
        frame = as_frame(items)
        names = [str(name) for name in frame.columns if name != cluster]
        if cluster is not None:
            validate(frame, groups=cluster)
    else:
        names = list(columns)
        frame = as_frame(items, [*names, *([cluster] if cluster is not None else [])])
    return frame, names


def complete_answers(
    frame: pd.DataFrame, names: Sequence[str], cluster: str | None, depth: int = 3
) -> tuple[Array, Codes | None]:
    """Give answers (n, k) of complete rows, and codes of their clusters; warn of rows left out."""
    answers = answers_of(frame, names)
    complete = ~np.isnan(answers).any(axis=1)
    what = "miss an item"
    codes = None
    if cluster is not None:
        codes, _ = group_codes(frame, cluster)
        complete &= codes >= 0
        what = "miss an item or the cluster"
        _, codes = np.unique(codes[complete], return_inverse=True)
        if len(codes) and codes.max() < 1:
            raise DesignError("there is one cluster only: at least two are needed")
    lost = int((~complete).sum())
    if lost:
        message = f"{lost:,} of {len(frame):,} rows {what} and were left out"
        warnings.warn(message, DroppedRows, stacklevel=depth)
    return answers[complete], codes


def cronbach(answers: Array) -> float:
    """Compute alpha of complete answers, (n, k)."""
    n, k = answers.shape
    if n < 2:
        raise DataError(f"alpha needs two respondents with every item; there are {n}")
    total = float(answers.sum(axis=1).var(ddof=1))
    parts = float(answers.var(axis=0, ddof=1).sum())
    if total <= 1e-24 * parts or total == 0:
        raise DataError("alpha does not exist: every respondent has the same total")
    return float(k / (k - 1) * (1 - parts / total))


def item_table(answers: Array, names: Sequence[str]) -> pd.DataFrame:
    """Describe each item.

    Parameters
    ----------
    answers : Array
        (n, k), NaN where an item was not answered.
    names : sequence of str
        (k,), the items.

    Returns
    -------
    pandas.DataFrame
        k rows, indexed by item: ``n`` answers, ``mean``, ``sd``; over complete rows ``r_rest``,
        the correlation with the sum of the other items, missing where either is constant, and
        ``alpha_dropped``, the alpha of the other items, missing where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> item_table(np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]), ["c1", "c2"])["r_rest"].tolist()
    [1.0, 1.0]
    """
    frame = pd.DataFrame(answers, columns=pd.Index(names, name="item"))
    complete = answers[~np.isnan(answers).any(axis=1)]
    total = complete.sum(axis=1)
    rest = [_correlation(column, total - column) for column in complete.T]
    return pd.DataFrame(
        {
            "n": frame.count(), "mean": frame.mean(), "sd": frame.std(), "r_rest": rest,
            "alpha_dropped": _alphas_without(complete),
        }
    )  # fmt: skip


def _of_correlations(answers: Array) -> tuple[float, float]:
    """Mean correlation, and alpha of standardised items; missing where an item is constant."""
    k = answers.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        R = np.corrcoef(answers.T)
    r = float((R.sum() - k) / (k * (k - 1)))
    spread = 1 + (k - 1) * r
    return r, k * r / spread if spread > 1e-12 else math.nan


def _alphas_without(complete: Array) -> Array:
    """Alpha (k,) of the other items, from one covariance matrix."""
    n, k = complete.shape
    if n < 2 or k < 3:
        return np.full(k, np.nan)
    S = np.atleast_2d(np.cov(complete.T))
    own = np.diag(S)
    parts = own.sum() - own
    total = S.sum() - 2 * S.sum(axis=1) + own
    good = total > 1e-12 * parts
    ratio = np.divide(parts, total, out=np.full(k, np.nan), where=good)
    return np.asarray((k - 1) / (k - 2) * (1 - ratio))


def _correlation(x: Array, y: Array) -> float:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def answers_of(frame: pd.DataFrame, items: Sequence[str]) -> Array:
    """Give the answers, (n, k), of at least two different items, none of them constant."""
    check_items(items)
    return varied_answers(validate(frame, numeric=items), items)


def check_items(items: Sequence[str]) -> None:
    """Refuse fewer than two different items."""
    faults = Faults()
    if len(set(items)) < max(2, len(items)):
        twice = sorted({item for item in items if list(items).count(item) > 1})
        what = f"named twice: {', '.join(twice)}" if twice else f"{len(items)} item"
        faults.add(what, "items", "a scale needs at least two different items")
    faults.raise_if_any()


def varied_answers(frame: pd.DataFrame, items: Sequence[str]) -> Array:
    """Give the answers, (n, k), of columns that are known to be numeric; none may be constant."""
    faults = Faults()
    answers = np.column_stack([numbers(frame, item) for item in items])
    for item, column in zip(items, answers.T, strict=True):
        if np.nanmin(column) == np.nanmax(column):
            value = f"{np.nanmin(column):g}"
            faults.add(
                f"constant: every answer is {value}", f"column {item!r}", "leave the item out"
            )
    faults.raise_if_any()
    return answers
