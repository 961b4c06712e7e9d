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

Here j runs over the clusters: the groups of one factor, those of the top one of several nested
ones, or coarser ones (`teamlink.mixed.clusters`). Each is first reduced to the directions that Z_j
and X_j span (`teamlink.mixed.reduction`); all the rest of e_j is orthogonal to X_j and meets
A_j = I.

Degrees of freedom of a contrast c: its variance estimate is a quadratic form in e with, under the
model, the matrix ``P_jk = delta_jk p_j'V_j p_j - (X_j'p_j)'M (X_k'p_k)``, ``p_j = E_j'M c``; then
df = (tr P)^2 / tr(P P).

Joint tests of r contrasts are Hotelling's T^2 approximated (HTZ): with ``P_st`` the same form in
contrasts s and t, ``Omega = tr P_st`` the expected covariance and contrasts scaled so that Omega is
the identity,

    eta = r (r + 1) / sum_st { tr(P_ss P_tt) + tr(P_st P_st) },
    F = (eta - r + 1) / (eta r) * Wald statistic  ~  F(r, eta - r + 1).

For r = 1 this is the t test above.

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

from teamlink.errors import FitError, check_option
from teamlink.fitting.fit import single_thread
from teamlink.mixed.clusters import Cluster
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.reduction import Reduced, reduced
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array

__all__ = ["KINDS", "Pieces", "degrees_of_freedom", "hotelling", "robust"]

KINDS = ("CR0", "CR1", "CR1S", "CR2", "CR3")

_SINGULAR = 1e-10
"""A leverage this close to one is one: the group alone determines a coefficient."""

Kind = Literal["CR0", "CR1", "CR1S", "CR2", "CR3"]


def robust(fit: MixedFit, kind: Kind = "CR2", cluster: Cluster | None = None) -> MixedFit:
    """Make standard errors robust to a wrong model of the variances.

    Parameters
    ----------
    fit : MixedFit
        By REML or ML. Clusters are taken to be independent; within them anything may be.
    kind : {"CR0", "CR1", "CR1S", "CR2", "CR3"}
        CR0 is the plain sandwich; CR1 multiplies it by J / (J - 1), CR1S by
        J (n - 1) / ((J - 1)(n - p)); CR2 is unbiased where the model is right; CR3 is
        close to the jackknife over groups, and errs on the large side.
    cluster : str, Series or sequence, optional
        The clusters: a grouping factor by name, or a label for each row, such as
        ``table["district"]``. By default the factor that contains all others. A cluster has to hold
        the whole of every group that it touches; where factors are crossed only a column can.

    Returns
    -------
    MixedFit
        The same fit; ``bse``, ``df``, ``pvalues``, ``conf_int()``, ``cov_params()``, ``tidy()``
        and ``summary()`` follow the robust covariance. Degrees of freedom are Satterthwaite's for
        that covariance, with the fitted model as the working one.

    Raises
    ------
    OptionError
        A kind that is not offered; clusters that share groups, as those of crossed factors do.

    Notes
    -----
    With ``M = (X'V^-1 X)^-1`` the covariance is ``M {sum_j E_j e_j e_j'E_j'} M``,
    ``E_j = X_j'V_j^-1 A_j``. CR2 takes ``A_j = U_j'{U_j (V_j - X_j M X_j') U_j'}^-1/2 U_j`` with
    ``V_j = U_j'U_j`` [1]_ [2]_, and CR3 ``A_j = (I - X_j M X_j'V_j^-1)^-1``; where a group alone
    determines a coefficient the inverses are generalised ones. Every cluster is reduced to the
    directions of its random effects and its predictors first, so large ones cost no more than
    their rows. `teamlink.test` has the joint tests of several coefficients.

    Rows with precision weights are multiplied by their roots first; CR2, which depends on such a
    choice, is then that of the rows so scaled, and differs a little from clubSandwich's.

    Fewer than about forty groups call for CR2 with these degrees of freedom, not for CR0 or CR1.

    In R: ``clubSandwich::coef_test(fit, vcov = "CR2")``; with several levels it takes the top one.

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
        model = fit.independent("robust").with_clusters(cluster)
        covariance, df = _covariance(model, fit.working_theta[None], kind)
    estimates = replace(fit.estimates, covariance=covariance[None], df=df[None], method=kind)
    return replace(fit, model=model, estimates=estimates)


def degrees_of_freedom(model: LinearMixed, theta: Array, kind: str, contrasts: Array) -> Array:
    """Satterthwaite's degrees of freedom (c,) of contrasts (c, p) on the coefficients.

    Parameters
    ----------
    model : LinearMixed
    theta : (1, k)
    kind : one of `KINDS`
    contrasts : (c, p)
    """
    pieces = Pieces.of(model, theta, kind)
    return pieces.degrees_of_freedom(contrasts @ pieces.back)


def hotelling(model: LinearMixed, theta: Array, kind: str, contrasts: Array) -> float:
    """Degrees of freedom eta of the joint covariance of r independent contrasts (r, p).

    Raises `FitError` where they are too few for a test of r equations.
    """
    pieces = Pieces.of(model, theta, kind)
    eta, r = pieces.eta(contrasts @ pieces.back), len(contrasts)
    if not eta > r - 1:
        raise FitError(
            f"{kind}: too few clusters for a joint test of {r} equations (their covariance has "
            f"{eta:.1f} degrees of freedom); test fewer at a time"
        )
    return eta


def _covariance(model: LinearMixed, theta: Array, kind: str) -> tuple[Array, Array]:
    """Covariance (p, p) of the fixed effects and degrees of freedom (p,), in units of the data."""
    pieces = Pieces.of(model, theta, kind)
    root = model.response.scale[0] * pieces.back @ pieces.scores().T
    covariance = _factor_of(kind, pieces.count, model.roots.n, len(root)) * root @ root.T
    return covariance, pieces.degrees_of_freedom(pieces.back)


def _factor_of(kind: str, J: int, n: int, p: int) -> float:
    """What multiplies the covariance of CR1 and CR1S."""
    factors = {"CR1": J / (J - 1), "CR1S": J * (n - 1) / ((J - 1) * (n - p))}
    return factors.get(kind, 1.0)


@dataclass(frozen=True, slots=True)
class Pieces:
    """All clusters with what multiplies their residuals.

    Attributes
    ----------
    stacks : the clusters, a few at a time
    E : for each stack (J, p, d) X'V^-1 A
    back : (p, p) carries coefficients on columns with M = I to those of the model
    count : number of clusters
    kind : of the adjustment
    """

    stacks: list[Reduced]
    E: list[Array]
    back: Array
    count: int
    kind: str

    @classmethod
    def of(cls, model: LinearMixed, theta: Array, kind: str) -> Pieces:
        """Those of a model at theta (1, k)."""
        clusters = model.resolved_clusters()
        point = model.evaluate(theta)
        whitening: Array = np.asarray(np.linalg.inv(point.M_root[0, :-1, :-1]), dtype=float)
        stacks = reduced(model, theta, point, clusters)
        E = [_estimating(stack, kind) for stack in stacks]
        return cls(stacks, E, model.fixed.K @ whitening.T, clusters.count, kind)

    def scores(self) -> Array:
        """(J, p) E_j e_j."""
        found = np.empty((self.count, len(self.back)))
        for stack, E in zip(self.stacks, self.E, strict=True):
            found[stack.members] = np.einsum("jpd,jd->jp", E, stack.e)
        return found

    def perturbed(self, h: Array) -> tuple[Array, Array, Array]:
        """What the wild bootstrap needs of residuals e_j + X_j h: E (e + X h), E A (e + X h), E X.

        Shapes (J, p), (J, p) and (J, p, p).
        """
        J, p = self.count, len(self.back)
        s, v, K = np.empty((J, p)), np.empty((J, p)), np.empty((J, p, p))
        for stack, E in zip(self.stacks, self.E, strict=True):
            e = stack.e + stack.X @ h
            adjusted = _adjusted(stack, self.kind, e)
            s[stack.members] = np.einsum("jpd,jd->jp", E, e)
            v[stack.members] = np.einsum("jpd,jd->jp", E, adjusted)
            K[stack.members] = E @ stack.X
        return s, v, K

    def forms(self, contrasts: Array) -> tuple[Array, Array]:
        """Forms p_s'V_j p_t (J, c, c) and X_j'p_s (J, c, p) of contrasts (c, p) where M = I."""
        c, p = contrasts.shape
        a, b = np.empty((self.count, c, c)), np.empty((self.count, c, p))
        for stack, E in zip(self.stacks, self.E, strict=True):
            EU = contrasts @ (E @ np.swapaxes(stack.U, 1, 2))
            a[stack.members] = EU @ np.swapaxes(EU, 1, 2)
            b[stack.members] = contrasts @ (E @ stack.X)
        return a, b

    def degrees_of_freedom(self, contrasts: Array) -> Array:
        """Satterthwaite's degrees of freedom (c,) of contrasts (c, p) on columns with M = I."""
        c, p = contrasts.shape
        a, own, gram = np.empty((self.count, c)), np.empty((self.count, c)), np.zeros((c, p, p))
        for stack, E in zip(self.stacks, self.E, strict=True):
            EU = E @ np.swapaxes(stack.U, 1, 2)
            a[stack.members] = np.square(contrasts @ EU).sum(axis=2)  # p_j'V_j p_j
            b = contrasts @ (E @ stack.X)  # X_j'p_j
            own[stack.members] = np.square(b).sum(axis=2)
            gram += np.einsum("jcp,jcr->cpr", b, b)
        trace = (a - own).sum(axis=0)
        square = (a * (a - 2 * own)).sum(axis=0) + np.square(gram).sum(axis=(1, 2))
        df: Array = trace**2 / square
        return df

    def eta(self, contrasts: Array) -> float:
        """Degrees of freedom of the covariance of r contrasts (r, p), columns with M = I."""
        a, b = self.forms(contrasts)
        Omega = (a - b @ np.swapaxes(b, 1, 2)).sum(axis=0)
        w, vectors = np.linalg.eigh(Omega)
        scale = vectors / np.sqrt(w)
        a, b = scale.T @ a @ scale, scale.T @ b
        own = b @ np.swapaxes(b, 1, 2)
        G = np.einsum("jsa,jtb->stab", b, b)
        each, mine = np.einsum("jss->js", a), np.einsum("jss->js", own)
        outer = each.T @ (each - 2 * mine)  # the sum over s and t is symmetric
        total = outer.sum() + np.square(G).sum()
        total += (a * (a - 2 * own)).sum() + np.einsum("stab,stba->", G, G)
        r = len(contrasts)
        return float(r * (r + 1) / total)


def _estimating(groups: Reduced, kind: str) -> Array:
    """E_j (J, p, d), what multiplies the residuals."""
    U, X = groups.U, groups.X
    half = np.linalg.solve(np.swapaxes(U, 1, 2), X)  # V^-1/2 X
    if kind not in ("CR2", "CR3"):
        return np.swapaxes(np.linalg.solve(U, half), 1, 2)
    directions, power = _inverse_power(groups, kind)
    left = np.swapaxes(half if kind == "CR2" else U @ X, 1, 2) @ directions
    E: Array = (left * power[:, None, :]) @ np.swapaxes(directions, 1, 2) @ U
    return E


def _adjusted(groups: Reduced, kind: str, e: Array) -> Array:
    """A_j e_j (J, d)."""
    if kind not in ("CR2", "CR3"):
        return e
    U = groups.U
    directions, power = _inverse_power(groups, kind)
    inner = np.swapaxes(directions, 1, 2) @ (U @ e[:, :, None])
    found = np.swapaxes(U, 1, 2) @ (directions @ (power[:, :, None] * inner))
    if kind == "CR3":
        found = np.swapaxes(U, 1, 2) @ (U @ found)
    adjusted: Array = found[:, :, 0]
    return adjusted


def _inverse_power(groups: Reduced, kind: str) -> tuple[Array, Array]:
    """Eigenvectors of B_j (J, d, d), and its eigenvalues to the power -1/2 (CR2) or -1 (CR3)."""
    # B_j = K (I - H_j) K with K = U U'. The eigenvalues of I - H_j lie between 0 and 1 whatever V_j
    # is, so rank is read there; B_j itself may hold numbers of very different size.
    U, X = groups.U, groups.X
    half = np.linalg.solve(np.swapaxes(U, 1, 2), X)
    K = U @ np.swapaxes(U, 1, 2)
    leverage, vectors = np.linalg.eigh(half @ np.swapaxes(half, 1, 2))
    rest = np.where(leverage > 1 - _SINGULAR, 0.0, (1 - leverage).clip(min=0))
    directions, s, _ = np.linalg.svd(K @ (vectors * np.sqrt(rest)[:, None, :]))
    regular = np.arange(s.shape[1]) < (rest > 0).sum(axis=1)[:, None]
    power = np.where(regular, np.where(regular, s, 1.0) ** (-1.0 if kind == "CR2" else -2.0), 0.0)
    return directions, power
