"""How much of what groups differ by is real: reliability and intraclass correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from teamlink.mixed.result import MixedFit
from teamlink.typing import Array

__all__ = ["icc", "reliability"]


def reliability(fit: MixedFit) -> pd.DataFrame:
    """Reliability of each random coefficient's least-squares estimate, averaged over groups.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Indexed by term: ``reliability`` and ``groups``, the number of groups it averages over.

    Notes
    -----
    For coefficient q and group j it is ``tau_qq / (tau_qq + v_qqj)`` with ``v_j`` the diagonal of
    ``sigma^2 (Z_j'Z_j)^-1``, the sampling variance of the group's own least-squares estimate
    [1]_. A group too small for an estimate of its own (Z_j short of rank) does not enter, as in
    HLM; ``groups`` counts those that do.

    References
    ----------
    .. [1] Raudenbush, Bryk (2002). Hierarchical linear models, 2nd ed., equation 3.58. Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ 1 + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.reliability(fit).round(4)
               reliability  groups
    Intercept       0.9014     160
    """
    model = fit.model
    tau = fit.sigma**2 * np.diag(fit.Lambda @ fit.Lambda.T)
    v, usable = _sampling_variance(fit)
    if not usable.any():
        share = np.full(len(tau), np.nan)
    else:
        total = tau[:, None] + v[:, usable]
        share = np.where(total > 0, tau[:, None] / np.where(total > 0, total, 1.0), 0.0).mean(
            axis=1
        )
    return pd.DataFrame(
        {"reliability": share, "groups": int(usable.sum())},
        index=pd.Index(model.design.z_names),
    )


def _sampling_variance(fit: MixedFit) -> tuple[Array, Any]:
    """Diagonal (q, J) of sigma^2 (Z_j'Z_j)^-1 in units of the data, and which groups have it."""
    S, T = fit.model.roots.S, fit.model.random.T
    usable = np.all(np.einsum("aaj->aj", S) > 0, axis=0)
    v = np.full((S.shape[0], S.shape[2]), np.nan)
    if usable.any():
        # (Z'Z)^-1 = T S^-T S^-1 T' in the units of the data
        root = np.linalg.solve(
            S[:, :, usable].transpose(2, 0, 1), np.broadcast_to(T.T, (int(usable.sum()), *T.shape))
        )
        v[:, usable] = fit.sigma**2 * np.square(root).sum(axis=1).T
    return v, usable


def icc(fit: MixedFit) -> pd.DataFrame:
    """Intraclass correlation: the share of the variance, fixed effects given, between groups.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Indexed by grouping factor: ``variance`` (mean variance due to the random effects),
        ``residual`` and ``icc``, their share.

    Notes
    -----
    With a random intercept alone it is ``tau / (tau + sigma^2)``: unconditional for a model without
    predictors, else conditional on them. With random slopes the variance between groups
    depends on the predictors; the mean over the rows, ``trace(Z Sigma Z') / n``, is used [1]_.

    In R: ``performance::icc(fit)$ICC_adjusted``.

    References
    ----------
    .. [1] Johnson (2014). Extension of Nakagawa & Schielzeth's R2. Methods in Ecology and
       Evolution 5. doi:10.1111/2041-210X.12225

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ 1 + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.icc(fit).round(4)
            variance  residual     icc
    school     8.614   39.1483  0.1804
    """
    Z = fit.model.design.Z
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    variance = float(np.einsum("ab,ab->", Z.T @ Z, Sigma)) / len(Z)
    residual = fit.sigma**2
    return pd.DataFrame(
        {
            "variance": [variance],
            "residual": [residual],
            "icc": [variance / (variance + residual)],
        },
        index=pd.Index([fit.model.design.group]),
    )
