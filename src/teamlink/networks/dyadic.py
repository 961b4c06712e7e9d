"""One relation among people by others: regression and correlation with permutation tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from teamlink.data.schema import Key
from teamlink.errors import DesignError, Faults, OptionError, check_option
from teamlink.fitting.fit import single_thread
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.networks.permutation import Permutations, tail_shares
from teamlink.networks.regression import (
    FlatDyads,
    correlations,
    least_squares,
    logistic,
    permuted_response,
    semi_partialled,
)
from teamlink.networks.relation import EdgeList, People, Relation, read_relations
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["Mrqap", "Qap", "mrqap", "qap"]

METHODS = {
    "double-semi-partialling": "double semi-partialling (Dekker, Krackhardt & Snijders 2007)",
    "y": "permutation of y",
}
_DEPENDENT = 1e-9
"""A column of which the others leave a smaller share follows from them."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mrqap:
    """A regression on dyads with permutation tests; made by `teamlink.networks.mrqap`.

    Attributes
    ----------
    params, bse, tvalues : pandas.Series
        Estimates, their ordinary standard errors, and the statistic that is permuted: t, or for
        ``model="logistic"`` the root of the score test. `bse` takes ties as independent.
    pvalues, p_lower, p_upper : pandas.Series
        Two-sided, and shares of permutations with a statistic no larger, no smaller. An intercept
        is not tested.
    permuted : pandas.DataFrame
        (R, k) the permuted statistics.
    rsquared : float
        R squared; McFadden's for ``model="logistic"``.
    nobs : int
        Dyads.
    missing : int
        Dyads left out because a tie or a predictor is unknown.
    sizes : pandas.Series
        People by school.
    model, method, permutations : str
        What was done.

    Examples
    --------
    >>> import numpy as np, teamlink as tl
    >>> advice = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]])
    >>> trust = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]])
    >>> tl.networks.mrqap(advice, {"trust": trust}, permutations="all").pvalues.round(3).to_dict()
    {'trust': 0.333}
    """

    params: pd.Series[Any]
    bse: pd.Series[Any]
    tvalues: pd.Series[Any]
    pvalues: pd.Series[Any]
    p_lower: pd.Series[Any]
    p_upper: pd.Series[Any]
    permuted: pd.DataFrame
    rsquared: float
    nobs: int
    missing: int
    sizes: pd.Series[Any]
    model: str
    method: str
    permutations: str

    def tidy(self) -> pd.DataFrame:
        """Give ``term, estimate, std_error, statistic, p_value, p_lower, p_upper``."""
        table = pd.DataFrame(
            {
                "estimate": self.params,
                "std_error": self.bse,
                "statistic": self.tvalues,
                "p_value": self.pvalues,
                "p_lower": self.p_lower,
                "p_upper": self.p_upper,
            }
        )
        return table.loc[list(self.params.index)].rename_axis("term").reset_index()

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        people, schools = int(self.sizes.sum()), len(self.sizes)
        where = f"{people:,} people" + (f" in {schools:,} schools" if schools > 1 else "")
        facts = (
            ("Model", self.model),
            ("Tests", f"{self.permutations} permutations, {METHODS[self.method]}"),
            ("Dyads", f"{self.nobs:,} of {where}; {self.missing:,} with a missing value left out"),
            ("McFadden's R squared" if self.model == "logistic" else "R squared",
             number(self.rsquared)),
        )  # fmt: skip
        header = ("Term", "Estimate", "t" if self.model == "linear" else "z (score)", "p", "p <=",
                  "p >=")  # fmt: skip
        rows = tuple(
            (
                str(term),
                number(estimate),
                number(statistic, 2),
                *("" if np.isnan(p) else p_text(p) for p in shares),
            )
            for term, (estimate, _, statistic, *shares) in zip(
                self.params.index, self.tidy().iloc[:, 1:].to_numpy(dtype=float), strict=True
            )
        )
        table = SummaryTable("Relations", header, rows)
        return Summary("Regression on dyads (MRQAP)", facts, (table,), ())

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


@dataclass(frozen=True, slots=True, eq=False)
class Qap:
    """A correlation of two relations with a permutation test; made by `teamlink.networks.qap`.

    Attributes
    ----------
    correlation : float
        Over dyads of which both are known.
    p_value, p_lower, p_upper : float
        Two-sided, and shares of permutations with a correlation no larger, no smaller.
    permuted : (R,) array
        The permuted correlations.
    nobs, missing : int
        Dyads, and those left out.
    permutations : str
        How many.

    Examples
    --------
    >>> import numpy as np, teamlink as tl
    >>> a = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    >>> found = tl.networks.qap(a, a.T, permutations="all")
    >>> round(found.correlation, 3), round(found.p_value, 3)
    (0.333, 1.0)
    """

    correlation: float
    p_value: float
    p_lower: float
    p_upper: float
    permuted: Array
    nobs: int
    missing: int
    permutations: str


def mrqap(
    y: Relation,
    x: Mapping[str, Relation],
    *,
    permutations: int | Literal["all"] = 1000,
    method: Literal["double-semi-partialling", "y"] = "double-semi-partialling",
    model: Literal["linear", "logistic"] = "linear",
    intercepts: Literal["common", "school"] = "common",
    directed: bool = True,
    by: Key | None = None,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    roster: Table | None = None,
    node: str = "node",
    responded: str | None = None,
    seed: int | np.random.Generator = 1,
) -> Mrqap:
    r"""Regress a relation among people on other relations, tested by permutation (MRQAP).

    Parameters
    ----------
    y : relation
        Who seeks advice from whom, say: an (n, n) matrix or square frame; with several schools a
        mapping of school to matrix; or an edge list as in `teamlink.networks.describe`. Frames
        are matched by their labels, arrays by position. The diagonal is left aside; NaN is an
        unknown tie.
    x : mapping of str to relation
        The predictors, k of them; `teamlink.networks.attribute` makes them of what people are.
    permutations : int or "all"
        How many at random; or every one there is, for a handful of people.
    method : {"double-semi-partialling", "y"}
        Permute what the other predictors leave of each predictor, or permute y. The first keeps
        its level where predictors are correlated; the second tests that none has an effect.
    model : {"linear", "logistic"}
        Logistic is for ties that are there or not, and goes with double semi-partialling.
    intercepts : {"common", "school"}
        One, or one for each school, which leaves differences between schools aside.
    directed : bool
        Whether a tie from a to b differs from one from b to a. If not, each pair counts once.
    by, source, target, weight, roster, node, responded
        How to read edge lists, as in `teamlink.networks.describe`; `by` also with matrices of
        several schools. The weight column is used by the lists that have it.
    seed : int or Generator
        Of the permutations; the same seed gives the same numbers.

    Returns
    -------
    Mrqap
        ``.params``, ``.tvalues``, ``.pvalues``, ``.p_lower``, ``.p_upper``, ``.permuted``,
        ``.tidy()``, ``.summary()``.

    Raises
    ------
    DataError
        Relations that do not fit each other.
    DesignError
        A predictor that is constant or follows from the others; too few dyads; y constant, or not
        0 and 1 for a logistic model.
    FitError
        Predictors that separate ties from their absence.
    OptionError
        A method that is not offered, or does not go with the model.

    Notes
    -----
    Estimates are those of least squares, or of maximum likelihood, over all dyads. People are
    rearranged within their schools, never between. With :math:`e_j` what the other predictors
    leave of :math:`x_j` and :math:`\pi` a rearrangement, double semi-partialling regresses

    .. math:: y = Z_j \beta + \gamma\, \pi(e_j) + u

    and compares the t of :math:`\gamma` over rearrangements with the t observed; t is close to
    pivotal, the estimate itself is not. A rearranged value that is unknown counts as
    :math:`e_j = 0`; with ``method="y"`` the dyad is left out of that regression. The statistic of
    a logistic model is the root of Rao's score test of :math:`\gamma = 0`.

    With random permutations the arrangement observed counts as one of them: p is
    (1 + count) / (1 + R), so that it is never zero.

    In R: ``sna::netlm(y, x, nullhyp = "qap", reps = 1000)``, for one school, and
    ``sna::netlogit``; their p is count / R, and netlogit permutes Wald's z.

    References
    ----------
    Dekker, D., Krackhardt, D., & Snijders, T. A. B. (2007). Sensitivity of MRQAP tests to
    collinearity and autocorrelation conditions. *Psychometrika*, 72(4), 563-581.
    https://doi.org/10.1007/s11336-007-9016-1

    Examples
    --------
    >>> import teamlink as tl
    >>> ties = {"source": list("aabbccdde"), "target": list("bcacabecd")}
    >>> staff = {"node": list("abcde"), "grade": [1, 1, 1, 2, 2]}
    >>> same = tl.networks.attribute(staff, "grade", "same")
    >>> fit = tl.networks.mrqap(ties, {"same grade": same}, permutations="all")
    >>> fit.tidy()[["term", "estimate", "p_value"]].round(3)
             term  estimate  p_value
    0   Intercept     0.083      NaN
    1  same grade     0.917      0.1
    """
    _check_options(x, method, model, intercepts)
    how = EdgeList(by, source, target, weight, roster, node, responded, directed)
    people, flats = read_relations({"": y, **x}, how)
    school, first, second = people.dyads(directed)
    flat, usable, total = _usable(people, school, first, second, list(flats.values()), directed)
    outcome = flats[""][flat.place]
    C, names = _columns(
        [flats[name][flat.place] for name in x], list(x), school[usable], people, intercepts
    )
    _check_design(outcome, C, names, len(x), model)
    drawn = Permutations.of(people, permutations, seed)
    batches = drawn.batches(school[usable], first[usable], second[usable])
    binary = model == "logistic"
    with single_thread().limit(limits=1):
        whole = logistic(outcome, C) if binary else least_squares(outcome, C)
        if method == "y":
            observed, permuted = permuted_response(outcome, C, len(x), batches, flat)
        else:
            observed, permuted = semi_partialled(outcome, C, len(x), binary, batches, flat)
    lower, upper, two = tail_shares(observed, permuted, drawn.every)
    shown = ["Intercept", *x] if intercepts == "common" else list(x)
    at = [names.index(name) for name in shown]
    tested = pd.Index(list(x))
    return Mrqap(
        pd.Series(whole.coefficients[at], index=shown),
        pd.Series(whole.std_error[at], index=shown),
        pd.Series(observed, index=tested),
        pd.Series(two, index=tested),
        pd.Series(lower, index=tested),
        pd.Series(upper, index=tested),
        pd.DataFrame(permuted, columns=tested),
        whole.explained,
        len(outcome),
        total - len(outcome),
        pd.Series(people.sizes, index=pd.Index(people.schools)),
        model,
        method,
        drawn.words(),
    )


def qap(
    a: Relation,
    b: Relation,
    *,
    permutations: int | Literal["all"] = 1000,
    directed: bool = True,
    by: Key | None = None,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    roster: Table | None = None,
    node: str = "node",
    responded: str | None = None,
    seed: int | np.random.Generator = 1,
) -> Qap:
    """Correlate two relations among the same people, tested by permutation (QAP).

    Parameters
    ----------
    a, b : relation
        As in `teamlink.networks.mrqap`.
    permutations, directed, by, source, target, weight, roster, node, responded, seed
        As there.

    Returns
    -------
    Qap
        ``.correlation``, ``.p_value``, ``.p_lower``, ``.p_upper``, ``.permuted``.

    Raises
    ------
    DataError
        Relations that do not fit each other.
    DesignError
        A relation that is constant.

    Notes
    -----
    Pearson's correlation over dyads; people of `b` are rearranged within their schools. In R:
    ``sna::gcor(a, b)`` and ``sna::qaptest(list(a, b), gcor, g1 = 1, g2 = 2)``.

    References
    ----------
    Krackhardt, D. (1987). QAP partialling as a test of spuriousness. *Social Networks*, 9(2),
    171-186. https://doi.org/10.1016/0378-8733(87)90012-8

    Examples
    --------
    >>> import numpy as np, teamlink as tl
    >>> advice = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]])
    >>> trust = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]])
    >>> round(tl.networks.qap(advice, trust, permutations="all").correlation, 3)
    0.667
    """
    how = EdgeList(by, source, target, weight, roster, node, responded, directed)
    people, flats = read_relations({"a": a, "b": b}, how)
    school, first, second = people.dyads(directed)
    flat = _flat(people, school, first, second, directed)
    left, right = flats["a"][flat.place], flats["b"][flat.place]
    both = ~(np.isnan(left) | np.isnan(right))
    faults = Faults()
    for name, values in (("a", left[both]), ("b", right[both])):
        if len(values) < 3 or np.ptp(values) == 0:
            faults.add("constant, or fewer than three known dyads", f"relation {name!r}")
    faults.raise_if_any(DesignError)
    observed = float(np.corrcoef(left[both], right[both])[0, 1])
    drawn = Permutations.of(people, permutations, seed)
    with single_thread().limit(limits=1):
        permuted = correlations(left, right, drawn.batches(school, first, second), flat)
    lower, upper, two = tail_shares(np.array([observed]), permuted[:, None], drawn.every)
    lost = int((~both).sum())
    return Qap(
        observed, float(two[0]), float(lower[0]), float(upper[0]), permuted, int(both.sum()), lost,
        drawn.words(),
    )  # fmt: skip


def _check_options(x: Mapping[str, Any], method: str, model: str, intercepts: str) -> None:
    if not x:
        raise OptionError("x: name at least one predictor")
    if taken := {"", "Intercept"} & set(x):
        raise OptionError(f"x: a predictor cannot be named {taken.pop()!r}")
    check_option("method", method, tuple(METHODS))
    check_option("model", model, ("linear", "logistic"))
    check_option("intercepts", intercepts, ("common", "school"))
    if model == "logistic" and method == "y":
        raise OptionError("method='y': a logistic model goes with double-semi-partialling")


def _flat(people: People, school: Codes, i: Codes, j: Codes, directed: bool) -> FlatDyads:
    base, n = people.base, people.sizes[school]
    at, mirror = base[school] + i * n + j, base[school] + j * n + i
    return FlatDyads(int(base[-1]), at, mirror, directed)


def _usable(
    people: People, school: Codes, i: Codes, j: Codes, flats: list[Array], directed: bool
) -> tuple[FlatDyads, Mask, int]:
    """The dyads of which everything is known, which they are, and how many there are in all."""
    whole = _flat(people, school, i, j, directed)
    unknown = np.isnan(np.stack([flat[whole.place] for flat in flats]))
    known: Mask = np.logical_not(unknown.any(axis=0))
    kept = FlatDyads(whole.size, whole.place[known], whole.mirror[known], directed)
    return kept, known, len(known)


def _columns(
    predictors: list[Array], names: list[str], school: Codes, people: People, intercepts: str
) -> tuple[Array, list[str]]:
    """The design (D, p): the predictors, then what stands for the intercept."""
    if intercepts == "common":
        return np.column_stack([*predictors, np.ones(len(school))]), [*names, "Intercept"]
    present = np.unique(school)
    own = (school[:, None] == present).astype(float)
    labels = [f"school {people.schools[s]}" for s in present]
    return np.column_stack([*predictors, own]), [*names, *labels]


def _check_design(y: Array, C: Array, names: list[str], tested: int, model: str) -> None:
    D, p = C.shape
    faults = Faults()
    if p + 1 >= D:
        faults.add(f"{D} dyads of which everything is known, for {p} coefficients", "the relations")
        faults.raise_if_any(DesignError)
    if np.ptp(y) == 0:
        faults.add("the same value in every dyad", "y", "there is nothing to explain")
    if model == "logistic" and not np.isin(y, (0.0, 1.0)).all():
        faults.add("values other than 0 and 1", "y", "use model='linear', or say what is a tie")
    scaled = C / np.maximum(np.sqrt(np.square(C).sum(axis=0)), 1e-300)
    Q = np.zeros((D, 0))
    for k in [*range(tested, p), *range(tested)]:
        rest = scaled[:, k] - Q @ (Q.T @ scaled[:, k])
        rest -= Q @ (Q.T @ rest)
        size = float(np.sqrt(rest @ rest))
        if size < _DEPENDENT:
            what = "constant" if np.ptp(C[:, k]) == 0 else "follows from the others"
            faults.add(what, f"predictor {names[k]!r}", "leave it out")
        else:
            Q = np.column_stack([Q, rest / size])
    faults.raise_if_any(DesignError)
