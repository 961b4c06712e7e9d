r"""Composite reliabilities as functions of the parameters of a factor model.

For the sum of a factor's own indicators, with loadings lambda, the factor's variance phi and the
implied (or observed) covariance Sigma of these indicators,

    omega = (1' lambda)^2 phi / 1' Sigma 1,

and for the sum of all indicators ``1' Lambda Phi Lambda' 1 / 1' Sigma 1``. At two levels, with the
harmonic mean n of the sizes of clusters (Lai 2021),

    2L   1'(Lambda (Phi_W + Phi_B) Lambda') 1 / 1'(Sigma_W + Sigma_B) 1,
    B    1' Lambda_B Phi_B Lambda_B' 1 / 1'(Sigma_B + Sigma_W / n) 1,
    IRR  1' Sigma_B 1 / 1'(Sigma_B + Sigma_W / n) 1.

References
----------
Raykov (2001), doi:10.1348/000711001159582. Geldhof, Preacher, Zyphur (2014),
doi:10.1037/a0032138. Lai (2021), doi:10.1037/met0000287.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from teamlink.structural.model import StructuralModel
from teamlink.structural.result import StructuralFit
from teamlink.typing import Array, Mask

__all__ = ["Composite", "composites", "delta_covariance", "harmonic_size", "levels_of"]

Function = Callable[[Array], Array]
"""From parameters (A, q) to indices (A, t)."""


@dataclass(frozen=True, slots=True)
class Composite:
    """Indices as a function of a fit's parameters.

    Attributes
    ----------
    names : t names
    of : the function
    """

    names: tuple[str, ...]
    of: Function


def _states(model: StructuralModel, x: Array) -> list[tuple[Array, Array, Array]]:
    """Loadings (A, p, f), covariances of factors (A, f, f) and Sigma (A, p, p) of each block."""
    index = np.zeros(len(x), dtype=np.intp)
    return [
        (state.A[:, : block.p, block.p :], state.C[:, block.p :, block.p :], state.Sigma)
        for block, state in zip(model.structure.blocks, model.states(x, index), strict=True)
    ]


def _total(M: Array, own: Mask) -> Array:
    """Sum (A,) of the elements of some indicators."""
    found: Array = M[:, own][:, :, own].sum(axis=(1, 2))
    return found


def composites(fit: StructuralFit, observed: bool, total: bool) -> Composite:
    """Omega of each factor's own indicators and, if asked, of all, block by block.

    Parameters
    ----------
    fit : of a factor model; a factor without observed indicators has none
    observed : whether the denominator is the observed variance (of the saturated model)
    total : whether the sum of all indicators is asked too, where there are several factors
    """
    plan: list[tuple[int, int | None, Mask]] = []
    names = []
    blocks = fit.model.structure.blocks
    levels = len(fit.table.levels)
    for b, block in enumerate(blocks):
        pattern = (fit.states[b].A[0, : block.p, block.p :] != 0).T
        where = [f"level {b % levels + 1}"] if levels > 1 else []
        where += [fit.table.groups[b // levels]] if len(fit.table.groups) > 1 else []
        suffix = f" ({', '.join(where)})" if where else ""
        for f, own in enumerate(pattern):
            if own.sum() > 1:
                plan.append((b, f, own))
                names.append(block.variables[block.p + f] + suffix)
        if total and sum(own.sum() > 1 for own in pattern) > 1:
            plan.append((b, None, pattern.any(axis=0)))
            names.append("all items" + suffix)
    seen = [moments.Sigma[:1] for moments in fit.references.moments]

    def of(x: Array) -> Array:
        found = []
        states = _states(fit.model, x)
        for b, f, own in plan:
            L, Phi, Sigma = states[b]
            common = L @ Phi @ L.swapaxes(1, 2)
            if f is not None:
                common = L[:, :, f, None] * Phi[:, f, f, None, None] * L[:, None, :, f]
            below = np.broadcast_to(seen[b], Sigma.shape) if observed else Sigma
            found.append(_total(common, own) / _total(below, own))
        return np.stack(found, axis=1)

    return Composite(tuple(names), of)


def levels_of(fit: StructuralFit, kind: str, size: float) -> Composite:
    """Indices of one factor at two levels.

    Parameters
    ----------
    fit : one group; one factor between, and one within but for "shared"
    kind : "levels" (within, between), "configural" (W, 2L) or "shared" (B, IRR)
    size : harmonic mean of the sizes of clusters
    """
    names = {
        "levels": ("within", "between"), "configural": ("W, configural", "2L, configural"),
        "shared": ("B, shared", "IRR, shared"),
    }[kind]  # fmt: skip

    def of(x: Array) -> Array:
        (Lw, Pw, Sw), (Lb, Pb, Sb) = _states(fit.model, x)
        between = (Lb @ Pb @ Lb.swapaxes(1, 2)).sum(axis=(1, 2))
        w, b = Sw.sum(axis=(1, 2)), Sb.sum(axis=(1, 2))
        if kind == "shared":
            mean = b + w / size
            return np.stack([between / mean, b / mean], axis=1)
        within = (Lw @ Pw @ Lw.swapaxes(1, 2)).sum(axis=(1, 2))
        if kind == "levels":
            return np.stack([within / w, between / b], axis=1)
        return np.stack([within / w, (within + between) / (w + b)], axis=1)

    return Composite(names, of)


def harmonic_size(fit: StructuralFit) -> float:
    """Harmonic mean of the numbers of rows of the clusters."""
    seen = fit.model.observations
    if seen.clusters is None:
        return 1.0
    sizes = np.concatenate([
        np.bincount(codes, minlength=count)
        for codes, count in zip(seen.clusters, seen.n_clusters, strict=True)
    ])  # fmt: skip
    return float(1 / np.mean(1 / sizes[sizes > 0]))


def delta_covariance(fit: StructuralFit, of: Function) -> Array:
    """Covariance (t, t) of indices by the delta method; slopes by central differences.

    All 2q points are one batch. Steps of 1e-4 of a standard error leave about eight digits.
    """
    x = fit.x
    q = len(x)
    V = np.nan_to_num(fit.estimates.covariance[0, :q, :q])
    h = 1e-4 * np.sqrt(np.maximum(np.diag(V), 1e-12))
    points = np.concatenate([x + np.diag(h), x - np.diag(h)])
    values = of(points)
    J = (values[:q] - values[q:]) / (2 * h[:, None])
    found: Array = J.T @ V @ J
    return found
