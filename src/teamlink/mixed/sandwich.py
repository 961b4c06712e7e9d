r"""Cluster-robust covariance of the fixed effects, with Satterthwaite degrees of freedom.

With M = (X'V^-1 X)^-1 and e_j the residuals of group j,

    V_R = c M { sum_j E_j e_j e_j' E_j' } M,     E_j = X_j'V_j^-1 A_j.

Under the model the variance of e_j is ``V_j - X_j M X_j'``, less than V_j; A_j makes up for it.
With ``V_j = U_j'U_j`` and ``B_j = U_j (V_j - X_j M X_j') U_j'``,

    CR0, CR1, CR1S   A_j = I
    CR2              A_j = U_j' B_j^-1/2 U_j
    CR3              A_j = (I - X_j M X_j'V_j^-1)^-1 = V_j U_j' B_j^-1 U_j

with generalised inverses where B_j is singular, as it is where a group alone determines a
coefficient. The result does not depend on which root U_j is taken.

Nothing of size n_j is formed. Z_j = R_j S_j' (R_j orthonormal) spans q directions of group j, and
what X_j has outside them p more. In an orthonormal basis of these d = q + p directions

    V_j = diag(G_j, I),    X_j = [R_j'X_j; D_j],    D_j'D_j = X_j'(I - R_j R_j')X_j,

and all the rest of e_j is orthogonal to X_j and meets A_j = I. Directions that a small group does
not have carry zeros and drop out.

Degrees of freedom of a contrast c: its variance estimate is a quadratic form in e with, under the
model, the matrix ``P_jk = delta_jk p_j'V_j p_j - (X_j'p_j)'M (X_k'p_k)``, ``p_j = E_j'M c``; then
df = (tr P)^2 / tr(P P).

Everything is in columns of X in which M = I and in units in which sigma = 1.

References
----------
Bell, McCaffrey (2002), Survey Methodology 28(2). Pustejovsky, Tipton (2018),
doi:10.1080/07350015.2016.1247004.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from teamlink.errors import check_option
from teamlink.fitting.fit import single_thread
from teamlink.mixed.design import sole_factor
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array

__all__ = ["KINDS", "degrees_of_freedom", "robust"]

KINDS = ("CR0", "CR1", "CR1S", "CR2", "CR3")

_SINGULAR = 1e-10
"""A leverage this close to one is one: the group alone determines a coefficient."""

_ABSENT = 1e-13
"""Directions of X_j outside Z_j with a smaller share of its sum of squares are rounding."""


@dataclass(frozen=True, slots=True)
class _Groups:
    """Each group in its d = q + p directions.

    Attributes
    ----------
    U : (J, d, d) upper root of V_j = U'U
    X : (J, d, p)
    e : (J, d) residuals
    """

    U: Array
    X: Array
    e: Array


def robust(fit: MixedFit, kind: Literal["CR0", "CR1", "CR1S", "CR2", "CR3"] = "CR2") -> MixedFit:
    """Make standard errors robust to a wrong model of the variances.

    Parameters
    ----------
    fit : MixedFit
        By REML or ML. Groups are taken to be independent; within them anything may be.
    kind : {"CR0", "CR1", "CR1S", "CR2", "CR3"}
        CR0 is the plain sandwich; CR1 multiplies it by J / (J - 1), CR1S by
        J (n - 1) / ((J - 1)(n - p)); CR2 is unbiased where the model is right; CR3 is
        close to the jackknife over groups, and errs on the large side.

    Returns
    -------
    MixedFit
        The same fit; ``bse``, ``df``, ``pvalues``, ``conf_int()``, ``cov_params()``, ``tidy()``
        and ``summary()`` follow the robust covariance. Degrees of freedom are Satterthwaite's for
        that covariance, with the fitted model as the working one.

    Raises
    ------
    OptionError
        A kind that is not offered; a model with several grouping factors.

    Notes
    -----
    With ``M = (X'V^-1 X)^-1`` the covariance is ``M {sum_j E_j e_j e_j'E_j'} M``,
    ``E_j = X_j'V_j^-1 A_j``. CR2 takes ``A_j = U_j'{U_j (V_j - X_j M X_j') U_j'}^-1/2 U_j`` with
    ``V_j = U_j'U_j`` [1]_ [2]_, and CR3 ``A_j = (I - X_j M X_j'V_j^-1)^-1``; where a group alone
    determines a coefficient the inverses are generalised ones. Every group is reduced to q + p
    directions first, so large groups cost no more than their rows.

    Fewer than about forty groups call for CR2 with these degrees of freedom, not for CR0 or CR1.

    In R: ``clubSandwich::coef_test(fit, vcov = "CR2")``.

    References
    ----------
    .. [1] Bell, McCaffrey (2002). Bias reduction in standard errors for linear regression with
       multi-stage samples. Survey Methodology 28(2), 169-181.
    .. [2] Pustejovsky, Tipton (2018). Small-sample methods for cluster-robust variance estimation
       and hypothesis testing in fixed effects models. Journal of Business & Economic Statistics 36.
       doi:10.1080/07350015.2016.1247004

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.robust(fit, "CR2").tidy()[["term", "std_error", "df"]].head(2).round(3)
            term  std_error       df
    0  Intercept      0.149  156.854
    1    meanses      0.324   60.904
    """
    check_option("kind", kind, KINDS)
    with single_thread().limit(limits=1):
        covariance, df = _covariance(fit.independent("robust"), fit.working_theta[None], kind)
    estimates = replace(fit.estimates, covariance=covariance[None], df=df[None], method=kind)
    return replace(fit, estimates=estimates)


def degrees_of_freedom(model: LinearMixed, theta: Array, kind: str, contrasts: Array) -> Array:
    """Satterthwaite's degrees of freedom (c,) of contrasts (c, p) on the coefficients.

    Parameters
    ----------
    model : LinearMixed
    theta : (1, k)
    kind : one of `KINDS`
    contrasts : (c, p)
    """
    groups, E, back = _pieces(model, theta, kind)
    return _degrees_of_freedom(groups, E, contrasts @ back)


def _covariance(model: LinearMixed, theta: Array, kind: str) -> tuple[Array, Array]:
    """Covariance (p, p) of the fixed effects and degrees of freedom (p,), in units of the data."""
    groups, E, back = _pieces(model, theta, kind)
    scores = np.einsum("jpd,jd->jp", E, groups.e)
    root = model.response.scale[0] * back @ scores.T
    covariance = _factor(kind, len(scores), model.roots.n, E.shape[1]) * root @ root.T
    return covariance, _degrees_of_freedom(groups, E, back)


def _pieces(model: LinearMixed, theta: Array, kind: str) -> tuple[_Groups, Array, Array]:
    """Groups, E_j (J, p, d), and (p, p) what carries coefficients back to those of the model."""
    sole_factor(model.design, "clusters")
    point = model.evaluate(theta)
    whitening: Array = np.asarray(np.linalg.inv(point.M_root[0, :-1, :-1]), dtype=float)
    groups = _reduced(model, model.structure.factor(theta)[0], whitening, point.M_root[0])
    return groups, _estimating(groups, kind), model.fixed.K @ whitening.T


def _factor(kind: str, J: int, n: int, p: int) -> float:
    """What multiplies the covariance of CR1 and CR1S."""
    factors = {"CR1": J / (J - 1), "CR1S": J * (n - 1) / ((J - 1) * (n - p))}
    return factors.get(kind, 1.0)


def _reduced(model: LinearMixed, Lambda: Array, whitening: Array, M_root: Array) -> _Groups:
    """Groups in their own few directions; X in the columns in which M = I."""
    roots, within = model.roots, model.within_groups()
    q, p, J = len(Lambda), len(whitening), len(within)
    gamma = M_root[-1, :-1]  # coefficients on the columns in which M = I
    inside = roots.CX.transpose(2, 1, 0) @ whitening.T  # (J, q, p)
    WXX = whitening @ within[:, :p, :p] @ whitening.T
    WXe = within[:, p, :p] @ whitening.T - WXX @ gamma
    w, vectors = np.linalg.eigh(WXX)
    size = w.clip(min=0).sum(axis=1) + 1e-13 * np.square(inside).sum(axis=(1, 2))
    there = w > _ABSENT * size[:, None]
    length = np.sqrt(np.where(there, w, 1.0))
    directions = np.where(there[:, None, :], vectors, 0.0)
    X, e = np.zeros((J, q + p, p)), np.zeros((J, q + p))
    X[:, :q] = inside
    X[:, q:] = np.swapaxes(directions * length[:, None, :], 1, 2)
    e[:, :q] = roots.Cy[0].T - inside @ gamma
    e[:, q:] = np.einsum("jap,ja->jp", directions / length[:, None, :], WXe)
    S = roots.S.transpose(2, 1, 0) @ Lambda
    U = np.tile(np.eye(q + p), (J, 1, 1))
    U[:, :q, :q] = np.swapaxes(np.linalg.cholesky(np.eye(q) + S @ np.swapaxes(S, 1, 2)), 1, 2)
    return _Groups(U, X, e)


def _estimating(groups: _Groups, kind: str) -> Array:
    """E_j (J, p, d), what multiplies the residuals."""
    U, X = groups.U, groups.X
    half = np.linalg.solve(np.swapaxes(U, 1, 2), X)  # V^-1/2 X
    if kind not in ("CR2", "CR3"):
        return np.swapaxes(np.linalg.solve(U, half), 1, 2)
    # B_j = K (I - H_j) K with K = U U'. The eigenvalues of I - H_j lie between 0 and 1 whatever V_j
    # is, so rank is read there; B_j itself may hold numbers of very different size.
    K = U @ np.swapaxes(U, 1, 2)
    leverage, vectors = np.linalg.eigh(half @ np.swapaxes(half, 1, 2))
    rest = np.where(leverage > 1 - _SINGULAR, 0.0, (1 - leverage).clip(min=0))
    directions, s, _ = np.linalg.svd(K @ (vectors * np.sqrt(rest)[:, None, :]))
    regular = np.arange(s.shape[1]) < (rest > 0).sum(axis=1)[:, None]
    power = np.where(regular, np.where(regular, s, 1.0) ** (-1.0 if kind == "CR2" else -2.0), 0.0)
    left = np.swapaxes(half if kind == "CR2" else U @ X, 1, 2) @ directions
    E: Array = (left * power[:, None, :]) @ np.swapaxes(directions, 1, 2) @ U
    return E


def _degrees_of_freedom(groups: _Groups, E: Array, contrasts: Array) -> Array:
    """Satterthwaite's degrees of freedom (c,) of contrasts (c, p) on the columns with M = I."""
    EU = E @ np.swapaxes(groups.U, 1, 2)
    a = np.square(contrasts @ EU).sum(axis=2)  # (J, c) p_j'V_j p_j
    b = contrasts @ (E @ groups.X)  # (J, c, p) X_j'p_j
    own = np.square(b).sum(axis=2)
    trace = (a - own).sum(axis=0)
    gram = np.einsum("jcp,jcr->cpr", b, b)
    square = (a * (a - 2 * own)).sum(axis=0) + np.square(gram).sum(axis=(1, 2))
    df: Array = trace**2 / square
    return df
