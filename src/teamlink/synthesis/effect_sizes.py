"""Effects with sampling variances from what studies print: correlations, means, counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import gammaln

from teamlink.errors import DataError, Faults, OptionError, check_option
from teamlink.typing import Array, Mask

__all__ = ["effect_sizes"]

NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "z": (("r", "n"),),
    "g": (("mean1", "sd1", "n1", "mean2", "sd2", "n2"), ("d", "n1", "n2")),
    "log_risk_ratio": (("events1", "n1", "events2", "n2"),),
}


def effect_sizes(measure: Literal["z", "g", "log_risk_ratio"], **columns: Any) -> pd.DataFrame:
    r"""Turn what studies print into effects with sampling variances.

    Parameters
    ----------
    measure : {"z", "g", "log_risk_ratio"}
        Fisher's z of a correlation, Hedges' g of two means, the logarithm of a ratio of
        proportions.
    **columns
        Numbers or (k,) sequences: for ``"z"`` `r`, `n`; for ``"g"`` `mean1`, `sd1`, `n1`,
        `mean2`, `sd2`, `n2`, or Cohen's `d` (pooled standard deviation) with `n1`, `n2`; for
        ``"log_risk_ratio"`` `events1`, `n1`, `events2`, `n2`.

    Returns
    -------
    pandas.DataFrame
        ``effect`` and ``variance``, for `teamlink.meta`.

    Raises
    ------
    OptionError
        Arguments that the measure does not take, or lacks.
    DataError
        Values that cannot be: correlations beyond 1, samples too small, more events than people,
        no event in one of the groups.

    Notes
    -----
    .. math:: z = \operatorname{artanh} r, \quad v = 1 / (n - 3)

    .. math:: g = J(m)\, d, \quad d = (\bar x_1 - \bar x_2) / s, \quad
              v = 1 / n_1 + 1 / n_2 + g^2 / (2 (n_1 + n_2))

    with :math:`m = n_1 + n_2 - 2` and the exact correction
    :math:`J(m) = \Gamma(m/2) / \{\sqrt{m/2}\, \Gamma((m-1)/2)\}`;

    .. math:: \log \frac{a_1 / n_1}{a_2 / n_2}, \quad v = 1/a_1 - 1/n_1 + 1/a_2 - 1/n_2.

    A ratio of proportions is not an odds ratio. With no event in a group its logarithm does not
    exist; adding a half to every count is a choice that is left to you.

    In R: ``metafor::escalc(measure = "ZCOR")``, ``"SMD"``, ``"RR"``.

    References
    ----------
    Hedges, L. V. (1981). Distribution theory for Glass's estimator of effect size and related
    estimators. *Journal of Educational Statistics*, 6(2), 107-128.
    https://doi.org/10.3102/10769986006002107

    Examples
    --------
    >>> import teamlink as tl
    >>> tl.effect_sizes("z", r=[0.3, 0.5], n=[53, 103]).round(4)
       effect  variance
    0  0.3095      0.02
    1  0.5493      0.01
    """
    check_option("measure", measure, tuple(NEEDS))
    names = next((n for n in NEEDS[measure] if set(n) == set(columns)), None)
    if names is None:
        offered = " or ".join(", ".join(n) for n in NEEDS[measure])
        raise OptionError(f"measure={measure!r} takes {offered}; given: {', '.join(columns)}")
    try:
        values = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(columns[name], dtype=float)) for name in names)
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{', '.join(names)}: numbers of one length are needed") from error
    given = dict(zip(names, values, strict=True))
    _check(given)
    make = {"z": _z, "g": _g, "log_risk_ratio": _log_risk_ratio}[measure]
    effect, variance = make(given)
    return pd.DataFrame({"effect": effect, "variance": variance})


def _check(given: Mapping[str, Array]) -> None:
    faults = Faults()

    def demand(name: str, sound: Mask, what: str) -> None:
        bad = np.flatnonzero(~sound)
        if len(bad):
            rows = ", ".join(str(i) for i in bad[:5])
            faults.add(f"{len(bad)} values {what}, at position {rows}", name)

    for name, values in given.items():
        demand(name, np.isfinite(values), "are missing or infinite")
        if name == "r":
            demand(name, ~(np.abs(values) >= 1), "are not between -1 and 1")
        elif name.startswith("sd"):
            demand(name, ~(values <= 0), "are not above zero")
        elif name == "n":
            demand(name, ~(values <= 3), "are three or less")
        elif name.startswith("n"):
            demand(name, ~(values < 2), "are less than two")
        elif name.startswith("events"):
            demand(name, ~(values <= 0), "are zero or less: the logarithm does not exist")
            demand(name, ~(values > given[f"n{name[-1]}"]), "exceed the number of people")
    faults.raise_if_any()


def _z(given: Mapping[str, Array]) -> tuple[Array, Array]:
    return np.arctanh(given["r"]), 1 / (given["n"] - 3)


def _g(given: Mapping[str, Array]) -> tuple[Array, Array]:
    n1, n2 = given["n1"], given["n2"]
    m = n1 + n2 - 2
    if "d" in given:
        d = given["d"]
    else:
        pooled = ((n1 - 1) * given["sd1"] ** 2 + (n2 - 1) * given["sd2"] ** 2) / m
        d = (given["mean1"] - given["mean2"]) / np.sqrt(pooled)
    g = d * np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / np.sqrt(m / 2)
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


def _log_risk_ratio(given: Mapping[str, Array]) -> tuple[Array, Array]:
    a, b, n1, n2 = given["events1"], given["events2"], given["n1"], given["n2"]
    return np.log(a / n1) - np.log(b / n2), 1 / a - 1 / n1 + 1 / b - 1 / n2
