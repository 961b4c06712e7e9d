"""Where the search begins: instruments for loadings, least squares for the rest.

Loadings come from the FABIN3 estimator, coefficients among observed variables from least squares.
Given all paths the implied moments are linear in variances, covariances and intercepts, which
generalised least squares then gives in one step. Plainer points serve where that one is none.

References
----------
Haegglund (1982). Factor analysis by instrumental variables methods. doi:10.1007/BF02296276
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teamlink.structural.discrepancy import factor
from teamlink.structural.implied import Block, Moments, implied, tangents
from teamlink.structural.structure import Structure
from teamlink.typing import Array, Codes

__all__ = ["first_points"]

_LEAST, _MOST = 0.05, 0.95
"""Shares of an observed variance between which a factor's part of it is put."""


def first_points(structure: Structure, sample: Sequence[Moments]) -> Array:
    """Parameters (S, R, q) from which to search.

    Parameters
    ----------
    structure : Structure
    sample : moments of each block in the data, R replicates; the first one's serve all
    """
    own = [Moments(one.Sigma[:1], one.mu[:1]) for one in sample]
    informed = _rough(structure, own)
    points = [
        _by_least_squares(structure, own, informed),
        informed,
        _plain(structure, own, informed),
    ]
    said = _said(structure)
    found = np.array([np.where(np.isfinite(said), said, point) for point in points])
    R = len(sample[0].Sigma)
    return np.repeat(found[:, None], R, axis=1)


def _plain(structure: Structure, sample: Sequence[Moments], informed: Array) -> Array:
    """The same loadings, small factors that cause nothing, and half of each observed variance."""
    x = informed.copy()
    for block, own in zip(structure.blocks, sample, strict=True):
        p = block.p
        loads = (block.a_row < p) & (block.a_col >= p)
        x[block.a_of[~loads]] = 0.0
        d = np.concatenate([0.5 * np.diag(own.Sigma[0]), np.full(len(block.variables) - p, 0.05)])
        x[block.s_of] = np.where(block.s_row == block.s_col, d[block.s_row], 0.0)
    return x


def _said(structure: Structure) -> Array:
    """Starts (q,) that the model gives; missing where it gives none."""
    said = np.full(structure.q, np.nan)
    starts = np.array([row.start for row in structure.table.rows])
    given = np.isfinite(starts) & (structure.row_parameter >= 0)
    said[structure.row_parameter[given]] = starts[given]
    return said


def _rough(structure: Structure, sample: Sequence[Moments]) -> Array:
    """A point (q,) made variable by variable."""
    x, values = np.zeros(structure.q), []
    for block, own in zip(structure.blocks, sample, strict=True):
        S, mean = own.Sigma[0], own.mu[0]
        paths, loadings = _paths(block, S)
        found_a = paths[block.a_row, block.a_col]
        variances = _variances(block, S, loadings)
        found_s = variances[block.s_row, block.s_col]
        found_m = np.concatenate([mean, np.zeros(len(block.A) - block.p)])[block.m_row]
        values += [found_a, found_s, found_m]
    # Of several rows that are one parameter the first one counts.
    x[structure.of[::-1]] = np.concatenate(values)[::-1]
    return x


def _paths(block: Block, S: Array) -> tuple[Array, Array]:
    """All paths (v, v), and variances (v,) of the factors that go with them."""
    v, p = len(block.variables), block.p
    A = block.A.copy()
    free = np.zeros_like(A, dtype=np.bool_)
    free[block.a_row, block.a_col] = True
    loads = (free | (block.A != 0))[:p]
    psi = np.ones(v)
    sd = np.sqrt(np.maximum(np.diag(S), 1e-300))
    for f in range(p, v):
        indicators = np.flatnonzero(loads[:, f])
        if not indicators.size:
            for i in range(p, v):
                if free[i, f] or block.A[i, f]:
                    A[i, f] = block.A[i, f] or 1.0
            continue
        freed = free[indicators, f]
        marker = indicators[np.argmin(freed)]
        relative = _relative(S, sd, indicators, marker)
        part = _common(S, indicators, marker, relative)
        unit = np.sqrt(part) if freed.all() else block.A[marker, f]
        psi[f] = part / unit**2
        A[indicators[freed], f] = relative[freed] * unit
        # What the marker shares with observed predictors of the factor is the factor's.
        causes = np.flatnonzero(free[f, :p])
        if causes.size:
            among = S[np.ix_(causes, causes)]
            A[f, causes] = np.linalg.lstsq(among, S[causes, marker], rcond=None)[0] / unit
    for y in np.flatnonzero(free[:p, :p].any(axis=1)):
        causes = np.flatnonzero(free[y, :p])
        if not (A[y, p:] != 0).any():
            among = S[np.ix_(causes, causes)]
            A[y, causes] = np.linalg.lstsq(among, S[causes, y], rcond=None)[0]
    # Feedback that is too strong has no implied moments.
    seen = A[:p, :p]
    if seen.any() and np.abs(np.linalg.eigvals(A)).max() >= 1:
        A[:p, :p] = np.where(seen != 0, 0.1 * np.sign(seen) * sd[:, None] / sd, 0.0)
    return A, psi


def _relative(S: Array, sd: Array, indicators: Codes, marker: int) -> Array:
    """Loadings of the indicators relative to that of the marker.

    That of i has all indicators but i and the marker for instruments; S may be singular.
    """
    found: Array = np.where(S[indicators, marker] < 0, -1.0, 1.0) * sd[indicators] / sd[marker]
    if len(indicators) < 3:
        return found
    for k, i in enumerate(indicators):
        if i == marker:
            continue
        others = indicators[(indicators != i) & (indicators != marker)]
        s = S[others, marker]
        weight = np.linalg.lstsq(S[others[:, None], others], s, rcond=None)[0]
        below = weight @ s
        value = weight @ S[others, i] / below if below > 0 else np.nan
        if abs(value) <= 10 * abs(found[k]):
            found[k] = value
    return found


def _common(S: Array, indicators: Codes, marker: int, relative: Array) -> float:
    """The part of the marker's variance that is due to the factor."""
    others = indicators != marker
    above = S[marker, indicators[others]] @ relative[others]
    below = relative[others] @ relative[others]
    share = above / below / S[marker, marker] if below else 0.5
    return float(min(max(share, _LEAST), _MOST) * S[marker, marker])


def _variances(block: Block, S: Array, psi: Array) -> Array:
    """Variances and covariances (v, v): half of what is observed, or all where nothing explains."""
    v, p = len(block.variables), block.p
    found = np.zeros((v, v))
    explained = np.zeros(v, dtype=np.bool_)
    explained[block.a_row] = True
    explained |= (block.A != 0).any(axis=1)
    plain = np.flatnonzero(~explained[:p])
    found[plain[:, None], plain] = S[plain[:, None], plain]
    d = np.where(explained[:p], 0.5, 1.0) * np.diag(S)
    found[np.arange(p), np.arange(p)] = d
    found[np.arange(p, v), np.arange(p, v)] = psi[p:]
    return found


def _by_least_squares(structure: Structure, sample: Sequence[Moments], x: Array) -> Array:
    """Variances, covariances and intercepts that fit best, the paths of x being given."""
    if not structure.q:
        return x
    is_path = np.zeros(structure.q, dtype=np.bool_)
    for block in structure.blocks:
        is_path[block.a_of] = True
    zero = np.where(is_path, x, 0.0)
    left, right, at = [], [], 0
    for block, own in zip(structure.blocks, sample, strict=True):
        Li, _, sound = factor(own.Sigma)
        if sound is not None:
            return x
        state = implied(block, zero[None], own.Sigma, own.mu)
        if not np.isfinite(state.Sigma).all():
            return x
        L, ways = Li[0], tangents(block, state).turned(Li)
        white = np.sqrt(0.5) * ways.Sigma[0].reshape(len(block.of), -1)
        rows = np.concatenate([white, ways.mu[0]], axis=1).T
        left.append(rows @ structure.selection[at : at + len(block.of)])
        at += len(block.of)
        gap = np.sqrt(0.5) * (L @ (own.Sigma[0] - state.Sigma[0]) @ L.T)
        right.append(np.concatenate([gap.ravel(), L @ (own.mu[0] - state.mu[0])]))
    solved = np.linalg.lstsq(np.concatenate(left)[:, ~is_path], np.concatenate(right), rcond=1e-10)[
        0
    ]
    found = x.copy()
    found[~is_path] = solved
    return _lifted(structure, found, x)


def _lifted(structure: Structure, found: Array, x: Array) -> Array:
    """The same, with variances that came out too small put back to the rougher ones."""
    for block in structure.blocks:
        of = block.s_of[block.s_row == block.s_col]
        found[of] = np.maximum(found[of], 0.1 * x[of])
    return found
