"""Path analysis by regressions: every equation by least squares, effects along paths by draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault, FitError, FormulaError, nearest
from teamlink.registry.analysis import FIELDS, numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.structural.defined import Dual, evaluate
from teamlink.syntax.arithmetic import Node, symbols
from teamlink.syntax.equations import read_equations
from teamlink.syntax.statements import Definition, Relation
from teamlink.typing import Array

__all__ = ["ANALYSIS", "PathRegressionAnalysis", "Regression", "least_squares"]

DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class PathRegressionAnalysis:
    """Regressions by least squares, as published path analyses of few schools have them.

    Coefficients have t tests with the residual degrees of freedom of their equation. What is
    defined by ":=", such as a product along a path, has the interval that 2,000 draws of the
    coefficients give, each from its t distribution, those of different equations independent; its
    p value is one less the level at which that interval ends at zero.

    A claim's `term` is a label, a name defined by ":=", or "math ~ collaboration".

    Attributes
    ----------
    equations : regressions and definitions in lavaan's language, such as "math ~ b*ses"
    table : the file whose rows are the observations; rows with a missing value are left out
    """

    equations: str
    table: str = "schools"

    @property
    def text(self) -> str:
        """The equations."""
        return self.equations.strip()

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong with the equations: their language, their columns."""
        where = "model equations"
        try:
            read = _read(self.equations)
        except FormulaError as error:
            return [Fault(str(error), where)]
        return (
            []
            if layout is None
            else layout.column_faults(self.table, read.variables, where, joined=True)
        )

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List a term that the equations do not have."""
        try:
            known = _read(self.equations).terms
        except FormulaError:
            return []
        term = " ".join(claim.term.split())
        if term in known:
            return []
        return [Fault(f"no term {claim.term!r}", f"claim {claim.id}", nearest(term, known))]

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        read = _read(self.equations)
        answers = np.empty((len(scenarios), len(claims), len(FIELDS)))
        for s, scenario in enumerate(scenarios):
            frame = scenario.frame(self.table, read.variables).to_numpy(dtype=float)
            rows = frame[~np.isnan(frame).any(axis=1)]
            slopes, covariance, df = _fitted(read, rows)
            sample = _drawn(read, slopes, covariance, df) if read.definitions else slopes[None]
            known, draws = read.values(slopes[None]), read.values(sample)
            for c, claim in enumerate(claims):
                term = " ".join(claim.term.split())
                k = read.places.get(term, read.labels.get(term))
                if k is None:
                    answers[s, c] = _by_draws(float(known[term][0]), draws[term])
                else:
                    answers[s, c] = numbers(slopes[k], np.sqrt(covariance[k, k]), df[k])
        return answers


@dataclass(frozen=True, slots=True)
class Regression:
    """A regression: coefficients (p,), their covariance (p, p), residual degrees of freedom."""

    coefficients: Array
    covariance: Array
    df: int


def least_squares(y: Array, X: Array) -> Regression:
    """Ordinary least squares of y (n,) on a constant and X (n, p); slopes alone are given.

    Raises
    ------
    FitError
        Too few rows, or predictors that are not independent.

    Examples
    --------
    >>> import numpy as np
    >>> found = least_squares(np.array([1.0, 2.0, 4.0, 5.0]), np.array([[0.0], [1], [2], [3]]))
    >>> found.coefficients.round(3).tolist(), found.df
    ([1.4], 2)
    """
    n, p = X.shape
    df = n - p - 1
    if df < 1:
        raise FitError(f"{n} complete rows are too few for {p} predictors")
    X = X - X.mean(axis=0)
    y = y - y.mean()
    Q, R = np.linalg.qr(X)
    d = np.abs(np.diag(R))
    if not d.size or d.min() <= 1e-10 * np.sqrt(np.square(X).sum(axis=0)).max():
        raise FitError("the predictors are not independent")
    b = np.linalg.solve(R, Q.T @ y)
    residual = y - X @ b
    inverse = np.linalg.inv(R)
    return Regression(b, float(residual @ residual) / df * inverse @ inverse.T, df)


@dataclass(frozen=True, slots=True)
class _Read:
    """Equations taken apart.

    Attributes
    ----------
    variables : columns
    regressions : outcome and predictors of each
    places : "y ~ x" to its place among all slopes
    labels : label to place
    definitions : name to expression
    """

    variables: tuple[str, ...]
    regressions: tuple[tuple[str, tuple[str, ...]], ...]
    places: dict[str, int]
    labels: dict[str, int]
    definitions: dict[str, Node]

    @property
    def terms(self) -> tuple[str, ...]:
        """What a claim may name."""
        return (*self.labels, *self.definitions, *self.places)

    def values(self, slopes: Array) -> dict[str, Array]:
        """Labelled slopes and defined quantities (n,) at slopes (n, q)."""
        none = np.zeros((len(slopes), 0))
        known = {name: Dual(slopes[:, k], none) for name, k in self.labels.items()}
        like = Dual(np.zeros(len(slopes)), none)
        for name, expression in self.definitions.items():
            known[name] = evaluate(expression, known, like)
        return {name: dual.value for name, dual in known.items()}


def _read(text: str) -> _Read:
    """Take equations apart; nothing but plain regressions and definitions is taken."""
    regressions: dict[str, tuple[str, ...]] = {}
    places: dict[str, int] = {}
    labels: dict[str, int] = {}
    definitions: dict[str, Node] = {}
    equations = read_equations(text)
    for s in equations.statements:
        if isinstance(s, Definition):
            definitions[s.name] = s.expression
            continue
        if not isinstance(s, Relation) or s.operator != "~" or len(s.left) != 1:
            message = "a path regression has lines 'y ~ x1 + x2' and 'name := ...' alone"
            raise equations.fault(message, s)
        y = s.left[0]
        if y in regressions:
            raise equations.fault(f"{y!r} has two equations; write one", s)
        regressions[y] = ()
        for term in s.terms:
            kinds = {m.kind for m in term.modifiers}
            if term.variable is None or kinds - {"label"}:
                message = f"the equation of {y!r} may have variables and labels alone"
                raise equations.fault(message, s)
            regressions[y] += (term.variable,)
            place = places.setdefault(f"{y} ~ {term.variable}", len(places))
            for modifier in term.modifiers:
                if labels.setdefault(str(modifier.values[0]), place) != place:
                    message = f"{modifier.values[0]!r} labels two paths; here each has its own"
                    raise equations.fault(message, s)
    known = set(labels)
    for name, expression in definitions.items():
        for symbol in symbols(expression):
            if symbol.name not in known:
                message = f"{name}: there is no label {symbol.name!r} above it"
                raise equations.fault(message, symbol)
        known.add(name)
    names = dict.fromkeys(n for y, xs in regressions.items() for n in (y, *xs))
    return _Read(tuple(names), tuple(regressions.items()), places, labels, definitions)


def _fitted(read: _Read, rows: Array) -> tuple[Array, Array, Array]:
    """All slopes (q,), their covariance (q, q) and degrees of freedom (q,), of rows (n, V)."""
    q = len(read.places)
    b, V, df = np.empty(q), np.zeros((q, q)), np.empty(q)
    for y, xs in read.regressions:
        found = least_squares(
            rows[:, read.variables.index(y)], rows[:, [read.variables.index(x) for x in xs]]
        )
        own = [read.places[f"{y} ~ {x}"] for x in xs]
        b[own], df[own], V[np.ix_(own, own)] = found.coefficients, found.df, found.covariance
    return b, V, df


def _drawn(read: _Read, slopes: Array, covariance: Array, df: Array) -> Array:
    """(n, q) slopes drawn from their multivariate t distributions, one an equation."""
    rng = np.random.default_rng(1)
    normal = rng.standard_normal((DRAWS, len(slopes))) @ np.linalg.cholesky(covariance).T
    stretch = np.empty_like(normal)
    for y, xs in read.regressions:
        own = [read.places[f"{y} ~ {x}"] for x in xs]
        chi2 = rng.chisquare(df[own[0]], DRAWS)
        stretch[:, own] = np.sqrt(df[own[0]] / chi2)[:, None]
    drawn: Array = slopes + normal * stretch
    return drawn


def _by_draws(estimate: float, sample: Array) -> Array:
    """The numbers (7,) of a defined quantity, of draws (n,)."""
    n = len(sample)
    low, high = np.quantile(sample, [0.025, 0.975])
    below, above = np.count_nonzero(sample <= 0), np.count_nonzero(sample >= 0)
    p = min(1.0, 2 * (min(below, above) + 1) / (n + 1))
    return numbers(estimate, sample.std(ddof=1), p_value=p, conf_low=low, conf_high=high)


ANALYSIS = PathRegressionAnalysis
