"""Weighted shares and means of a poll, and what they differ by between two groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault, FitError
from teamlink.registry.analysis import numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.typing import Array

__all__ = ["ANALYSIS", "ShareAnalysis", "weighted_contrast"]

GROUPS_AT_MOST = 2


@dataclass(frozen=True, slots=True)
class ShareAnalysis:
    """A weighted share less a benchmark, or the difference of two groups' shares.

    A claim's term is "share" ("mean" where neither `above` nor `least` is given), or "difference"
    where two groups are compared, the first less the second. Rows with a missing answer are left
    out. Standard errors are linearized, with weights as they are; tests are t tests.

    Attributes
    ----------
    outcome : the answer
    table : the respondents' file
    above : the share of answers above this; None for another question
    least : the share of answers of this or more
    benchmark : what the share, or mean, is held against; 0 between groups
    by : column of the groups; all respondents where it is empty
    groups : the one or two groups meant
    weight : column of the weights
    """

    outcome: str
    table: str = "respondents"
    above: float | None = None
    least: float | None = None
    benchmark: float = 0.0
    by: str = ""
    groups: tuple[str, ...] = ()
    weight: str = "weight"

    @property
    def term(self) -> str:
        """What a claim may ask for."""
        if len(self.groups) == GROUPS_AT_MOST:
            return "difference"
        return "mean" if self.above is None and self.least is None else "share"

    @property
    def text(self) -> str:
        """The model in words."""
        cut = "" if self.least is None else f" of {self.least:g} or more"
        cut = cut if self.above is None else f" above {self.above:g}"
        what = f"weighted {'mean of ' if not cut else 'share of '}{self.outcome}{cut}"
        if self.groups:
            what += f", {self.by} {' less '.join(self.groups)}"
        return what if not self.benchmark else f"{what}, less {self.benchmark:.4g}"

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong: columns, groups, a share with two cuts."""
        where = f"model {self.outcome}"
        faults = []
        if self.above is not None and self.least is not None:
            faults.append(Fault("'above' and 'least'", where, "one of the two"))
        if bool(self.by) != bool(self.groups) or len(self.groups) > GROUPS_AT_MOST:
            faults.append(Fault("'by' and 'groups' go together", where, "name one or two groups"))
        if len(self.groups) == GROUPS_AT_MOST and self.benchmark:
            faults.append(Fault("a difference of groups has no benchmark but 0", where))
        if layout is None:
            return faults
        names = [self.outcome, self.weight, *([self.by] if self.by else [])]
        return [*faults, *layout.column_faults(self.table, names, where, joined=True)]

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List an outcome or a term that the model does not answer."""
        return [
            Fault(f"{given!r} is not what the model gives", f"claim {claim.id}", f"say {own!r}")
            for given, own in ((claim.outcome, self.outcome), (claim.term, self.term))
            if given != own
        ]

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        names = [self.outcome, self.weight, *([self.by] if self.by else [])]
        rows = []
        for scenario in scenarios:
            found = scenario.columns(self.table, names)
            y, w = (np.asarray(found[n], dtype=float) for n in names[:2])
            used = ~np.isnan(y)
            side = np.ones(len(y))
            if self.by:
                of = np.asarray(found[self.by])
                side = (of == self.groups[0]).astype(float)
                side -= of == self.groups[-1] if len(self.groups) == GROUPS_AT_MOST else 0
            used &= side != 0
            found_share, se, df = weighted_contrast(self._answers(y)[used], w[used], side[used])
            answer = numbers(found_share - self.benchmark, se, df)
            rows.append(np.tile(answer, (len(claims), 1)))
        return np.array(rows)

    def _answers(self, y: Array) -> Array:
        """Ones and zeros for a share, the answers themselves for a mean."""
        if self.above is not None:
            return (y > self.above).astype(float)
        return y if self.least is None else (y >= self.least).astype(float)


def weighted_contrast(y: Array, w: Array, side: Array) -> tuple[float, float, int]:
    r"""Weighted mean of those on side 1, less that of those on side -1 where there are any.

    Parameters
    ----------
    y, w : Array
        (n,), answers and weights.
    side : Array
        (n,), 1 or -1.

    Returns
    -------
    float, float, int
        The estimate, its standard error, n - 1.

    Raises
    ------
    FitError
        A side has fewer than two respondents.

    Notes
    -----
    With :math:`u_i = \pm w_i (y_i - \bar y_{g(i)}) / \sum_{g(i)} w` the variance is
    :math:`n / (n - 1) \sum u_i^2`, the linearization of the ratios.

    In R: ``survey::svymean(~y, svydesign(~1, weights = ~w, data = d))``.

    Examples
    --------
    >>> import numpy as np
    >>> y, w = np.array([1.0, 0, 1, 1]), np.array([1.0, 1, 2, 1])
    >>> estimate, std_error, df = weighted_contrast(y, w, np.ones(4))
    >>> round(estimate, 3), round(std_error, 3), df
    (0.8, 0.217, 3)
    """
    n, estimate, u = len(y), 0.0, np.zeros(len(y))
    for sign in (1.0, -1.0):
        own = side == sign
        if not own.any() and sign < 0:
            continue
        if np.count_nonzero(own) < 2:
            raise FitError("a share needs two respondents or more in each group")
        total = float(w[own].sum())
        mean = float(w[own] @ y[own]) / total
        estimate += sign * mean
        u[own] = w[own] * (y[own] - mean) / total
    return estimate, float(np.sqrt(n / (n - 1) * (u @ u))), n - 1


ANALYSIS = ShareAnalysis
