"""The verb `cluster_trial`: the effect in a trial that assigned whole schools or classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.data.schema import as_frame, group_codes, numbers, validate
from teamlink.errors import DesignError, Fault, Faults, OptionError, check_option
from teamlink.mixed.linear import lmm
from teamlink.mixed.reliability import icc
from teamlink.mixed.result import MixedFit
from teamlink.mixed.sandwich import robust
from teamlink.syntax.expression import show_name
from teamlink.syntax.formula import parse
from teamlink.trials.found import ClusterTrial
from teamlink.trials.sizes import Standardizer, improvement_index, standardizer
from teamlink.typing import Table

__all__ = ["cluster_trial"]

Method = Literal["kenward-roger", "satterthwaite", "CR2"]


def cluster_trial(
    data: Table,
    outcome: str,
    treated: str,
    cluster: str,
    *,
    block: str | None = None,
    covariates: str | Sequence[str] = (),
    by: str | None = None,
    method: Method = "kenward-roger",
    power: float = 0.8,
    level: float = 0.95,
) -> ClusterTrial:
    """Estimate the effect in a cluster-randomized trial, and its size in student terms.

    Parameters
    ----------
    data : table
        Any data frame, one row a student.
    outcome : str
        Column of the outcome.
    treated : str
        Column of zeros and ones, constant within a cluster.
    cluster : str
        Column of what was assigned: schools, or teachers with their classes.
    block : str, optional
        Column of the blocks within which clusters were assigned; they enter as categories.
    covariates : str or sequence of str
        Columns or terms of a formula, of students or clusters.
    by : str, optional
        Column such as the year: one estimate for each of its values.
    method : {"kenward-roger", "satterthwaite", "CR2"}
        Tests of the mixed model; or with a cluster-robust covariance.
    power : float
        For the minimum detectable effect size.
    level : float
        Of the intervals, and of the test behind the minimum detectable effect size.

    Returns
    -------
    ClusterTrial
        ``.effects``, ``.fits``, ``.tidy()``, ``.summary()``.

    Raises
    ------
    OptionError
        An option that is not offered.
    DataError, DesignError
        The table lacks what is asked, or is not that of a cluster trial; every fault is listed.

    Warns
    -----
    DroppedRows, RankDeficient, FewGroups

    Notes
    -----
    The model is ``y = b treated + x'beta + block + u_cluster + e`` by REML. The effect size is that
    of Hedges [1]_ with the students' total standard deviation within arms, not adjusted for
    covariates: ``g = omega gamma b / S``; S is the pooled standard deviation of students,
    ``gamma^2 = 1 - 2 (n - 1) rho / (N - 2)`` for clusters of n students (its general form where
    sizes differ), ``omega`` the correction for small samples. Its standard error has the part of b
    and that of S [2]_. ``rho`` is the intraclass correlation within arms, without covariates.

    ``design_effect`` is ``1 + (n' - 1) rho``, ``n' = sum n_i^2 / N``. ``mdes`` is the smallest
    effect size that a trial with this standard error finds with the power asked for [3]_;
    ``improvement_index`` is ``100 (Phi(g) - 1/2)``.

    In R: ``lmerTest::lmer(y ~ treated + x + factor(block) + (1 | cluster))``, with
    ``summary(fit, ddf = "Kenward-Roger")`` or ``clubSandwich::coef_test(fit, "CR2")``.

    References
    ----------
    .. [1] Hedges (2007). Effect sizes in cluster-randomized designs. Journal of Educational and
       Behavioral Statistics 32(4). doi:10.3102/1076998606298043
    .. [2] What Works Clearinghouse (2020). Supplement to the Procedures Handbook, version 4.1. ERIC
       ED608943.
    .. [3] Bloom (1995). Minimum detectable effects. Evaluation Review 19(5).
       doi:10.1177/0193841X9501900504

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> school = np.repeat(np.arange(30), 25)
    >>> prior = rng.normal(size=750)
    >>> score = 0.6 * prior + rng.normal(0, 0.3, 30)[school] + rng.normal(0, 0.7, 750)
    >>> pupils = pd.DataFrame({"school": school, "prior": prior, "induction": school % 2})
    >>> trial = tl.cluster_trial(
    ...     pupils.assign(score=score), "score", "induction", "school", covariates="prior"
    ... )
    >>> trial.effects[["estimate", "std_error", "g", "icc", "mdes"]].round(3)
       estimate  std_error      g    icc   mdes
    0     0.023       0.12  0.023  0.109  0.352
    """
    check_option("method", method, ["kenward-roger", "satterthwaite", "CR2"])
    for name, value in {"power": power, "level": level}.items():
        if not 0 < value < 1:
            raise OptionError(f"{name}={value!r}: lies between 0 and 1, ends excluded")
    frame = as_frame(data)
    given = [covariates] if isinstance(covariates, str) else list(covariates)
    terms = [show_name(treated)]
    terms += [show_name(term) if term in frame.columns else term for term in given]
    terms += [] if block is None else [f"C({show_name(block, code=True)})"]
    formula = f"{show_name(outcome)} ~ {' + '.join(terms)} + (1 | {show_name(cluster)})"
    rows = _checked(frame, formula, outcome, treated, cluster, block, by)
    parts: list[tuple[Any, pd.DataFrame]] = [(None, rows)]
    if by is not None:
        parts = list(rows.groupby(by, sort=True, observed=True))
    fits, effects = {}, []
    for part, own in parts:
        fit = _fit(formula, own, method)
        fits[part] = fit
        effects.append(_effect(fit, own, outcome, treated, cluster, level, power))
    table = pd.DataFrame(effects)
    if by is not None:
        table.insert(0, by, [part for part, _ in parts])
    return ClusterTrial(formula, method, table, fits, by, (outcome, treated, cluster))


def _checked(
    frame: pd.DataFrame,
    formula: str,
    outcome: str,
    treated: str,
    cluster: str,
    block: str | None,
    by: str | None,
) -> pd.DataFrame:
    """The columns of the trial, if the table is that of one."""
    if outcome == treated:
        raise OptionError(f"outcome and treated are both {outcome!r}")
    keys = [cluster, *(key for key in (block, by) if key is not None)]
    columns = list(dict.fromkeys([*parse(formula).variables, *keys]))
    rest = [name for name in columns if name not in (outcome, treated, *keys)]
    nested = [] if block is None else [(cluster, block)]
    rows = validate(
        frame, numeric=[outcome], groups=[*keys, *rest], bounds={treated: (0, 1)}, nested=nested
    )
    faults = Faults()
    values = set(rows[treated].dropna().unique().tolist())
    if not values <= {0, 1} or len(values) < 2:
        faults.add(
            f"holds {sorted(values)}", f"column {treated!r}", "code it as 0 and 1, both used"
        )
    arms = rows[[cluster, treated]].dropna().drop_duplicates()
    mixed = arms.loc[arms[cluster].duplicated(), cluster]
    if len(mixed):
        shown = ", ".join(map(repr, mixed.drop_duplicates().tolist()[:5]))
        faults.add(
            f"changes within {mixed.nunique()} clusters of {cluster!r}: {shown}",
            f"column {treated!r}",
            "in a cluster trial whole clusters are treated",
        )
    elif len(arms) and arms[treated].value_counts().min() < 2:
        faults.add(
            "one arm has a single cluster", f"column {treated!r}", "each arm needs two at least"
        )
    faults.raise_if_any(DesignError)
    if by is not None:
        rows = rows.loc[rows[by].notna()]
    return as_frame(rows, columns)


def _fit(formula: str, rows: pd.DataFrame, method: Method) -> MixedFit:
    if method == "CR2":
        return robust(lmm(formula, rows), "CR2")
    return lmm(formula, rows, df=method)


def _effect(
    fit: MixedFit,
    rows: pd.DataFrame,
    outcome: str,
    treated: str,
    cluster: str,
    level: float,
    power: float,
) -> dict[str, Any]:
    """One row of the table of effects."""
    if treated not in fit.params.index:
        raise DesignError(
            [Fault("blocks or covariates determine it", f"column {treated!r}",
                   "some block needs clusters of both arms")]
        )  # fmt: skip
    b, se, df = (float(s[treated]) for s in (fit.params, fit.bse, fit.df))
    low, high = fit.conf_int(level).loc[treated].to_numpy(dtype=float)
    used = rows.loc[fit.model.design.index]
    arm = numbers(used, treated) == 1
    codes, levels = group_codes(used, cluster)
    null = lmm(f"{show_name(outcome)} ~ {show_name(treated)} + (1 | {show_name(cluster)})", used)
    rho = float(icc(null)["icc"].iloc[0])
    yardstick: Standardizer = standardizer(fit.model.design.y, arm, codes, rho)
    g, g_se = yardstick.effect_size(b, se)
    half = float(stats.t.ppf(0.5 + level / 2, df)) * g_se
    sizes = np.bincount(codes)
    M = float(stats.t.ppf(0.5 + level / 2, df) + stats.t.ppf(power, df))
    return {
        "estimate": b, "std_error": se, "statistic": b / se, "df": df,
        "p_value": float(fit.pvalues[treated]), "conf_low": float(low), "conf_high": float(high),
        "g": g, "g_se": g_se, "g_low": g - half, "g_high": g + half,
        "improvement_index": improvement_index(g), "sd": yardstick.sd, "icc": rho,
        "design_effect": 1 + (float(sizes @ sizes) / len(codes) - 1) * rho,
        "mdes": M * se / yardstick.sd, "students": len(codes), "clusters": len(levels),
        "treated_clusters": len(np.unique(codes[arm])),
    }  # fmt: skip
