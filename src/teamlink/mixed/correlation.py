r"""Correlations of the residuals within a unit, with their derivatives.

A family maps unconstrained coordinates eta to the correlations it knows, one for each *cell*: a
lag, a distance, a pair of occasions. Cell 0 is the diagonal, whose correlation is 1. Whatever eta,
every matrix filled from the cells is positive definite:

- AR(1): ``phi^|s - t|``, phi = tanh eta; in continuous time phi = 1 / (1 + exp(-eta)) > 0;
- compound symmetry: rho between -1/(T - 1) and 1, T the largest unit;
- Toeplitz: the autocorrelations whose partial autocorrelations are tanh eta (Durbin, Levinson);
- unstructured: rows of a Cholesky root of unit length, row t along (eta_t1, ..., eta_t,t-1, 1).

References
----------
Pinheiro, Bates (1996), doi:10.1007/BF00140873. Barndorff-Nielsen, Schou (1973),
doi:10.1016/0047-259X(73)90030-4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit

from teamlink.typing import Array, Codes

__all__ = [
    "Correlation",
    "Exchangeable",
    "Independent",
    "Jet",
    "Power",
    "Stationary",
    "Unstructured",
]

_EDGE = 1e-4
"""Closer than this to the end of its range a correlation counts as being on the boundary."""


@dataclass(frozen=True, slots=True)
class Jet:
    """Correlations with their derivatives in eta.

    Attributes
    ----------
    value : (C,) one a cell
    first : (k, C)
    second : (k, k, C)
    """

    value: Array
    first: Array
    second: Array


class Correlation(Protocol):
    """A family of correlations with k coordinates."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the k parameters as users know them."""
        ...

    def jet(self, eta: Array) -> Jet:
        """Correlation of each cell at eta (k,)."""
        ...

    def natural(self, eta: Array) -> Array:
        """The k parameters in their own units, eta (k,)."""
        ...

    def coordinates(self, natural: Array) -> Array:
        """The inverse of `natural`."""
        ...

    def at_edge(self, eta: Array) -> bool:
        """Whether a correlation matrix is singular to all appearances."""
        ...

    def candidates(self) -> Array:
        """Coordinates (S, k) worth a try before any others, weak correlations first."""
        ...


@dataclass(frozen=True, slots=True)
class Independent:
    """No correlation: one cell, no parameter."""

    @property
    def names(self) -> tuple[str, ...]:
        """No names."""
        return ()

    def jet(self, eta: Array) -> Jet:
        """The diagonal."""
        k = len(eta)
        return Jet(np.ones(1), np.zeros((k, 1)), np.zeros((k, k, 1)))

    def natural(self, eta: Array) -> Array:
        """Nothing."""
        return eta

    def coordinates(self, natural: Array) -> Array:
        """Nothing."""
        return natural

    def at_edge(self, eta: Array) -> bool:
        """Never: there is nothing to be at an edge."""
        return len(eta) > 0

    def candidates(self) -> Array:
        """The only point there is."""
        return np.zeros((1, 0))


@dataclass(frozen=True, slots=True)
class Power:
    """``phi^distance``: AR(1) at whole distances, or its continuous-time counterpart.

    Attributes
    ----------
    distances : (C,) the first is 0
    continuous : phi lies between 0 and 1, and distances are any numbers
    """

    distances: Array
    continuous: bool

    @property
    def names(self) -> tuple[str, ...]:
        """One parameter."""
        return ("phi",)

    def jet(self, eta: Array) -> Jet:
        """Powers of phi."""
        d = self.distances
        if self.continuous:
            # phi^d = exp(-d s) with s = log(1 + exp(-eta)), s' = -(1 - phi), s'' = phi (1 - phi)
            phi = float(self.natural(eta)[0])
            value = np.exp(d * -np.logaddexp(0.0, -eta[0]))
            first = value * d * (1 - phi)
            second = value * (d * (1 - phi)) ** 2 - value * d * phi * (1 - phi)
            return Jet(value, first[None], second[None, None])
        phi = float(np.tanh(eta[0]))
        slope = 1 - phi**2
        value = phi**d
        p1 = d * phi ** np.maximum(d - 1, 0)
        p2 = d * (d - 1) * phi ** np.maximum(d - 2, 0)
        second = p2 * slope**2 - 2 * phi * slope * p1
        return Jet(value, (p1 * slope)[None], second[None, None])

    def natural(self, eta: Array) -> Array:
        """Phi."""
        if self.continuous:
            return np.exp(-np.logaddexp(0.0, -eta))
        return np.tanh(eta)

    def coordinates(self, natural: Array) -> Array:
        """Eta."""
        if self.continuous:
            return np.asarray(np.log(natural) - np.log1p(-natural))
        return np.arctanh(natural)

    def at_edge(self, eta: Array) -> bool:
        """Whether phi is 1 or -1, or 0 in continuous time."""
        phi = float(self.natural(eta)[0])
        if not self.continuous:
            return abs(phi) > 1 - _EDGE
        # What counts is how rows correlate at the distances they have, not at a distance of one.
        near, far = self.distances[1:].min(initial=1.0), self.distances.max(initial=1.0)
        return bool(phi**near < _EDGE or phi**far > 1 - _EDGE)

    def candidates(self) -> Array:
        """From no correlation of neighbours to a strong one."""
        if not self.continuous:
            return np.asarray(np.arctanh(np.array([[0.0], [0.3], [0.6], [0.85]])))
        near = np.median(self.distances[1:]) if len(self.distances) > 1 else 1.0
        s = -np.log(np.array([[0.05], [0.3], [0.6], [0.85]])) / near
        return np.asarray(-np.log(np.expm1(s)))


@dataclass(frozen=True, slots=True)
class Exchangeable:
    """Compound symmetry: one correlation for every pair.

    Attributes
    ----------
    size : rows of the largest unit, which set how low the correlation can be
    """

    size: int

    @property
    def names(self) -> tuple[str, ...]:
        """One parameter."""
        return ("rho",)

    @property
    def _low(self) -> float:
        return 1 / max(self.size - 1, 1)

    def jet(self, eta: Array) -> Jet:
        """The diagonal, and rho."""
        u = float(expit(eta[0]))
        width = 1 + self._low
        value = np.array([1.0, width * u - self._low])
        first = np.array([[0.0, width * u * (1 - u)]])
        second = np.array([[[0.0, width * u * (1 - u) * (1 - 2 * u)]]])
        return Jet(value, first, second)

    def natural(self, eta: Array) -> Array:
        """Rho."""
        return np.asarray((1 + self._low) * expit(eta) - self._low)

    def coordinates(self, natural: Array) -> Array:
        """Eta."""
        return np.asarray(np.log((natural + self._low) / (1 - natural)))

    def at_edge(self, eta: Array) -> bool:
        """Whether rho is at either end of its range."""
        rho = float(self.natural(eta)[0])
        return rho > 1 - _EDGE or rho < _EDGE - self._low

    def candidates(self) -> Array:
        """From none to a strong one."""
        return self.coordinates(np.array([[0.0], [0.3], [0.6]]))


@dataclass(frozen=True, slots=True)
class Stationary:
    """Toeplitz: one correlation a lag, from the partial autocorrelations.

    Attributes
    ----------
    lags : the largest lag
    """

    lags: int

    @property
    def names(self) -> tuple[str, ...]:
        """One parameter a lag."""
        return tuple(f"rho{lag}" for lag in range(1, self.lags + 1))

    def jet(self, eta: Array) -> Jet:
        """Autocorrelations at lags 0, 1, ... with derivatives carried through the recursion."""
        k = self.lags
        pi = np.tanh(eta)
        d1, d2 = 1 - pi**2, -2 * pi * (1 - pi**2)
        rho = _Series.constant(1.0, k)
        known = [rho]
        a: list[_Series] = []  # coefficients of the best prediction from the lags before
        error = _Series.constant(1.0, k)
        for lag in range(k):
            partial = _Series.variable(pi[lag], d1[lag], d2[lag], lag, k)
            best = _Series.constant(0.0, k)
            for i, c in enumerate(a):
                best = best + c * known[lag - i]
            known.append(partial * error + best)
            a = [c - partial * a[lag - 1 - i] for i, c in enumerate(a)] + [partial]
            error = error * (_Series.constant(1.0, k) - partial * partial)
        return Jet(
            np.array([s.value for s in known]),
            np.stack([s.first for s in known], axis=-1),
            np.stack([s.second for s in known], axis=-1),
        )

    def natural(self, eta: Array) -> Array:
        """Autocorrelations."""
        return self.jet(eta).value[1:]

    def coordinates(self, natural: Array) -> Array:
        """Eta of autocorrelations (k,)."""
        partial = np.empty(self.lags)
        a: Array = np.zeros(0)
        for lag in range(self.lags):
            before = natural[:lag]
            partial[lag] = (natural[lag] - a @ before[::-1]) / (1 - a @ before)
            a = np.append(a - partial[lag] * a[::-1], partial[lag])
        return np.arctanh(partial)

    def at_edge(self, eta: Array) -> bool:
        """Whether a partial autocorrelation is 1 or -1."""
        return bool((np.abs(np.tanh(eta)) > 1 - _EDGE).any())

    def candidates(self) -> Array:
        """None, and those of an AR(1)."""
        found = np.zeros((3, self.lags))
        found[:, :1] = np.arctanh(np.array([[0.0], [0.3], [0.6]]))
        return found


@dataclass(frozen=True, slots=True)
class _Series:
    """A number with its first two derivatives (k,), (k, k)."""

    value: float
    first: Array
    second: Array

    @classmethod
    def constant(cls, value: float, k: int) -> _Series:
        return cls(value, np.zeros(k), np.zeros((k, k)))

    @classmethod
    def variable(cls, value: float, d1: float, d2: float, i: int, k: int) -> _Series:
        first, second = np.zeros(k), np.zeros((k, k))
        first[i], second[i, i] = d1, d2
        return cls(value, first, second)

    def __add__(self, other: _Series) -> _Series:
        return _Series(
            self.value + other.value, self.first + other.first, self.second + other.second
        )

    def __sub__(self, other: _Series) -> _Series:
        return _Series(
            self.value - other.value, self.first - other.first, self.second - other.second
        )

    def __mul__(self, other: _Series) -> _Series:
        cross = np.outer(self.first, other.first)
        return _Series(
            self.value * other.value,
            self.value * other.first + other.value * self.first,
            self.value * other.second + other.value * self.second + cross + cross.T,
        )


@dataclass(frozen=True, slots=True)
class Unstructured:
    """A correlation for every pair of T occasions.

    Attributes
    ----------
    occasions : T names
    """

    occasions: tuple[str, ...]

    @property
    def pairs(self) -> tuple[Codes, Codes]:
        """The later and the earlier occasion of each pair; pair i is cell i + 1."""
        later, earlier = np.tril_indices(len(self.occasions), -1)
        return later, earlier

    @property
    def names(self) -> tuple[str, ...]:
        """One parameter a pair."""
        later, earlier = self.pairs
        T = self.occasions
        return tuple(f"cor__{T[s]}.{T[t]}" for t, s in zip(later, earlier, strict=True))

    def jet(self, eta: Array) -> Jet:
        """Products of the rows of the root."""
        T, (later, earlier) = len(self.occasions), self.pairs
        k = len(later)
        root, slope, bend = np.zeros((T, T)), np.zeros((k, T)), np.zeros((k, k, T))
        root[0, 0] = 1.0
        for t in range(1, T):
            own = np.flatnonzero(later == t)
            row, d1, d2 = _unit_row(eta[own])
            root[t, : t + 1] = row
            slope[own, : t + 1] = d1
            bend[np.ix_(own, own, np.arange(t + 1))] = d2
        C = root @ root.T
        # d row_t . row_s for both orders: parameter i moves the row of occasion later[i] only
        first, second = np.zeros((k, k)), np.zeros((k, k, k))
        with_other = slope @ root.T  # (k, T) derivative of row later[i] times every row
        for cell in range(k):
            t, s = later[cell], earlier[cell]
            mine_t, mine_s = later == t, later == s
            first[:, cell] = np.where(
                mine_t, with_other[:, s], np.where(mine_s, with_other[:, t], 0)
            )
            both = slope[mine_t] @ slope[mine_s].T
            block = np.zeros((k, k))
            block[np.ix_(mine_t, mine_s)] = both
            block += block.T
            block[np.ix_(mine_t, mine_t)] += bend[np.ix_(mine_t, mine_t)] @ root[s]
            block[np.ix_(mine_s, mine_s)] += bend[np.ix_(mine_s, mine_s)] @ root[t]
            second[:, :, cell] = block
        value = np.concatenate([[1.0], C[later, earlier]])
        return Jet(
            value,
            np.concatenate([np.zeros((k, 1)), first], axis=1),
            np.concatenate([np.zeros((k, k, 1)), second], axis=2),
        )

    def natural(self, eta: Array) -> Array:
        """Correlations."""
        return self.jet(eta).value[1:]

    def coordinates(self, natural: Array) -> Array:
        """Eta of correlations (k,), which must make a positive definite matrix."""
        T, (later, earlier) = len(self.occasions), self.pairs
        C = np.eye(T)
        C[later, earlier] = C[earlier, later] = natural
        root = np.linalg.cholesky(C)
        eta: Array = root[later, earlier] / root[later, later]
        return eta

    def at_edge(self, eta: Array) -> bool:
        """Whether an occasion is determined by the earlier ones."""
        later, _ = self.pairs
        length = np.sqrt(1 + np.bincount(later, eta**2))
        return bool(length.max(initial=1.0) > 1 / np.sqrt(_EDGE))

    def candidates(self) -> Array:
        """None, and equal ones."""
        even = self.coordinates(np.full(len(self.names), 0.5))
        return np.stack([np.zeros(len(self.names)), even])


def _unit_row(v: Array) -> tuple[Array, Array, Array]:
    """The unit vector along (v, 1) (m + 1,) with derivatives (m, m + 1) and (m, m, m + 1) in v."""
    m = len(v)
    u = np.append(v, 1.0)
    size = np.sqrt(u @ u)
    row = u / size
    E = np.eye(m + 1)[:m]
    first = (E - v[:, None] / size * row[None]) / size
    # d2 (u/s) = -(v_a E_b + v_b E_a) / s^3 - delta_ab u / s^3 + 3 v_a v_b u / s^5
    vv = v[:, None] * v[None, :]
    second = (
        -(v[:, None, None] * E[None, :, :] + v[None, :, None] * E[:, None, :])
        - np.eye(m)[:, :, None] * u
        + 3 * vv[:, :, None] * u / size**2
    ) / size**3
    return row, first, second
