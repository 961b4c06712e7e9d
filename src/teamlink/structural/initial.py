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
from teamlink.typing import Array, Mask

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
    for row, j in zip(structure.table.rows, structure.row_parameter, strict=True):
        if j >= 0 and np.isfinite(row.start):
            said[j] = row.start
    return said


def _rough(structure: Structure, sample: Sequence[Moments]) -> Array:
    """A point (q,) made variable by variable."""
    x = np.full(structure.q, np.nan)
    for block, own in zip(structure.blocks, sample, strict=True):
        S, mean = own.Sigma[0], own.mu[0]
        paths, loadings = _paths(block, S)
        found_a = paths[block.a_row, block.a_col]
        variances = _variances(block, S, loadings)
        found_s = variances[block.s_row, block.s_col]
        found_m = np.where(block.m_row < block.p, mean[np.minimum(block.m_row, block.p - 1)], 0.0)
        for of, value in zip(block.of, (*found_a, *found_s, *found_m), strict=True):
            # Of several rows that are one parameter the first one counts.
            if np.isnan(x[of]):
                x[of] = value
    return np.asarray(np.nan_to_num(x))


def _measured(block: Block, f: int, free: Mask) -> list[int]:
    """Observed variables that load on variable f; `free` (v, v) says which paths are parameters."""
    loads = (free | (block.A != 0))[: block.p, f]
    return [int(i) for i in np.flatnonzero(loads)]


def _paths(block: Block, S: Array) -> tuple[Array, Array]:
    """All paths (v, v), and variances (v,) of the factors that go with them."""
    v, p = len(block.variables), block.p
    A = block.A.copy()
    free = np.zeros_like(A, dtype=np.bool_)
    free[block.a_row, block.a_col] = True
    psi = np.ones(v)
    scale = np.sqrt(np.maximum(np.diag(S), 1e-300))
    for f in range(p, v):
        indicators = _measured(block, f, free)
        if not indicators:
            for i in range(p, v):
                if free[i, f] or block.A[i, f]:
                    A[i, f] = block.A[i, f] or 1.0
            continue
        fixed = [i for i in indicators if not free[i, f]]
        marker = fixed[0] if fixed else indicators[0]
        relative = _relative(S, indicators, marker)
        part = _common(S, indicators, marker, relative)
        unit = block.A[marker, f] if fixed else np.sqrt(part)
        psi[f] = part / unit**2
        for i in indicators:
            if free[i, f]:
                A[i, f] = relative[i] * unit
        # What the marker shares with observed predictors of the factor is the factor's.
        causes = np.flatnonzero(free[f, :p])
        if causes.size:
            among = S[np.ix_(causes, causes)]
            A[f, causes] = np.linalg.lstsq(among, S[causes, marker], rcond=None)[0] / unit
    for y in range(p):
        causes = np.flatnonzero(free[y, :p])
        if causes.size and not (A[y, p:] != 0).any():
            among = S[np.ix_(causes, causes)]
            A[y, causes] = np.linalg.lstsq(among, S[causes, y], rcond=None)[0]
    # Feedback that is too strong has no implied moments.
    if p and np.abs(np.linalg.eigvals(A)).max(initial=0.0) >= 1:
        seen = A[:p, :p]
        A[:p, :p] = np.where(seen != 0, 0.1 * np.sign(seen) * scale[:, None] / scale, 0.0)
    return A, psi


def _relative(S: Array, indicators: list[int], marker: int) -> dict[int, float]:
    """Loadings relative to that of the marker."""
    sd = np.sqrt(np.maximum(np.diag(S), 1e-300))
    plain = {i: float(np.sign(S[i, marker] or 1.0) * sd[i] / sd[marker]) for i in indicators}
    if len(indicators) < 3:
        return plain
    found = {marker: 1.0}
    for i in indicators:
        others = [k for k in indicators if k not in (i, marker)]
        if i == marker:
            continue
        weight = np.linalg.lstsq(S[np.ix_(others, others)], S[others, marker], rcond=None)[0]
        below = float(weight @ S[others, marker])
        value = float(weight @ S[others, i]) / below if below > 0 else np.nan
        wild = not np.isfinite(value) or abs(value) > 10 * abs(plain[i])
        found[i] = plain[i] if wild else value
    return found


def _common(S: Array, indicators: list[int], marker: int, relative: dict[int, float]) -> float:
    """The part of the marker's variance that is due to the factor."""
    above = sum(S[marker, i] * relative[i] for i in indicators if i != marker)
    below = sum(relative[i] ** 2 for i in indicators if i != marker)
    share = above / below / S[marker, marker] if below else 0.5
    return float(np.clip(share, _LEAST, _MOST) * S[marker, marker])


def _variances(block: Block, S: Array, psi: Array) -> Array:
    """Variances and covariances (v, v): half of what is observed, or all where nothing explains."""
    v, p = len(block.variables), block.p
    found = np.zeros((v, v))
    explained = np.zeros(v, dtype=np.bool_)
    explained[block.a_row] = True
    explained |= (block.A != 0).any(axis=1)
    plain = np.flatnonzero(~explained[:p])
    found[np.ix_(plain, plain)] = S[np.ix_(plain, plain)]
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
        ways = tangents(block, state)
        L = Li[0]
        white = np.sqrt(0.5) * (L @ ways.Sigma[0] @ L.T).reshape(len(block.of), -1)
        rows = np.concatenate([white, ways.mu[0] @ L.T], axis=1).T
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
        for r, c, of in zip(block.s_row, block.s_col, block.s_of, strict=True):
            if r == c and found[of] < 0.1 * x[of]:
                found[of] = 0.1 * x[of]
    return found
