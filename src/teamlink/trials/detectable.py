"""The verb `minimum_detectable_effect`: what a cluster trial of given size can find."""

from __future__ import annotations

import numpy as np
from scipy import stats

from teamlink.errors import DesignError, Fault, OptionError

__all__ = ["minimum_detectable_effect"]


def minimum_detectable_effect(
    clusters: int,
    size: float,
    icc: float,
    *,
    share: float = 0.5,
    r2_cluster: float = 0.0,
    r2_student: float = 0.0,
    cluster_covariates: int = 0,
    level: float = 0.95,
    power: float = 0.8,
) -> float:
    """Compute the smallest effect size that a cluster trial would find with the power asked for.

    Parameters
    ----------
    clusters : int
        Number of clusters, such as schools, of both arms.
    size : float
        Students in a cluster; their harmonic mean where sizes differ.
    icc : float
        Intraclass correlation within arms, before covariates.
    share : float
        Of the clusters that are treated.
    r2_cluster, r2_student : float
        Shares of the variance between and within clusters that covariates explain.
    cluster_covariates : int
        Number of covariates of clusters, blocks less one among them.
    level : float
        Of confidence; 0.95 for a two-sided test at 5 %.
    power : float
        Probability of a significant result.

    Returns
    -------
    float
        In standard deviations of students.

    Raises
    ------
    OptionError, DesignError
        Numbers out of range; too few clusters.

    Notes
    -----
    ``M sqrt{rho (1 - R2_c) / (P (1 - P) J) + (1 - rho)(1 - R2_s) / (P (1 - P) J n)}`` with
    ``M = t_{level} + t_{power}`` at J - 2 - (covariates of clusters) degrees of freedom [1]_ [2]_.

    In R: ``PowerUpR::mdes.cra2``.

    References
    ----------
    .. [1] Bloom (1995). Minimum detectable effects. Evaluation Review 19(5).
       doi:10.1177/0193841X9501900504
    .. [2] Dong, Maynard (2013). PowerUp! Journal of Research on Educational Effectiveness 6(1).
       doi:10.1080/19345747.2012.673143

    Examples
    --------
    >>> import teamlink as tl
    >>> round(tl.minimum_detectable_effect(40, 60, icc=0.2), 3)
    0.42
    >>> round(tl.minimum_detectable_effect(40, 60, icc=0.2, r2_cluster=0.7, r2_student=0.4), 3)
    0.237
    """
    within = {"icc": icc, "r2_cluster": r2_cluster, "r2_student": r2_student}
    for name, value in within.items():
        if not 0 <= value <= 1:
            raise OptionError(f"{name}={value!r}: a share lies between 0 and 1")
    for name, value in {"share": share, "level": level, "power": power}.items():
        if not 0 < value < 1:
            raise OptionError(f"{name}={value!r}: lies between 0 and 1, ends excluded")
    if not size >= 1:
        raise OptionError(f"size={size!r}: a cluster has one student at least")
    df = clusters - 2 - cluster_covariates
    if df < 1:
        raise DesignError(
            [
                Fault(
                    f"{clusters} clusters leave {df} degrees of freedom",
                    "clusters",
                    "three at least",
                )
            ]
        )
    M = stats.t.ppf(0.5 + level / 2, df) + stats.t.ppf(power, df)
    arms = share * (1 - share) * clusters
    variance = icc * (1 - r2_cluster) / arms + (1 - icc) * (1 - r2_student) / (arms * size)
    return float(M * np.sqrt(variance))
