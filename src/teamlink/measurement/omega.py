"""Omega, the reliability of a composite by a factor model, in each of its definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from teamlink.errors import DataError, OptionError, check_option
from teamlink.inference import intervals
from teamlink.inference.bootstrap import bootstrap
from teamlink.measurement.composite import DEFINITIONS, Omega, OmegaInterval, OmegaKind
from teamlink.measurement.consistency import answers_of, complete_answers, items_of
from teamlink.measurement.hierarchical import hierarchical_omega
from teamlink.measurement.index import check_level
from teamlink.measurement.reliabilities import (
    Composite,
    composites,
    delta_covariance,
    harmonic_size,
    levels_of,
)
from teamlink.structural.estimation import Estimator, sem
from teamlink.structural.result import StructuralFit
from teamlink.syntax.statements import show_variable
from teamlink.typing import Table

__all__ = ["omega"]


_POOR = 0.9
"""CFI below which nobody calls a model good."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked about intervals."""

    interval: OmegaInterval | None
    level: float
    n: int
    seed: Any


def omega(
    items: Table,
    columns: Sequence[str] | None = None,
    *,
    kind: OmegaKind | None = None,
    model: str | None = None,
    group: str | None = None,
    cluster: str | None = None,
    n_factors: int = 3,
    denominator: Literal["model", "observed"] = "model",
    interval: OmegaInterval | None = None,
    level: float = 0.95,
    n: int = 1000,
    seed: int | np.random.Generator | None = 1,
    estimator: Estimator = "ml",
    missing: Literal["listwise", "fiml"] = "listwise",
) -> Omega:
    r"""Omega: reliability of a composite, by a factor model of its items.

    Parameters
    ----------
    items : table
        A row for each respondent, a numeric column for each item, already turned so that high
        means the same in all.
    columns : sequence of str, optional
        The items; all columns (but that of `cluster`) when None. Not with `model`.
    kind : {"total", "hierarchical", "cfa", "multilevel"}, optional
        Which omega. By default "total", with `model` "cfa".
    model : str, optional
        A factor model in lavaan's language, for "cfa": several factors, bifactor, two levels.
    group : str, optional
        Column of groups, for "cfa".
    cluster : str, optional
        Column of clusters. For "multilevel" (and a `model` of two levels) the second level; else
        standard errors take rows of one cluster as dependent.
    n_factors : int
        Group factors, for "hierarchical".
    denominator : {"model", "observed"}
        The variance of the sum in the denominator: implied by the model, or observed (that of the
        saturated model). For "total" and "cfa".
    interval : {"delta", "logit", "percentile"}, optional
        Delta-method, symmetric or on the logit scale, or bootstrap of rows (of clusters). By
        default "delta"; for "hierarchical" none, as it takes a bootstrap. With the observed
        denominator there is none.
    level : float
        Coverage of intervals.
    n : int
        Bootstrap replicates, for "percentile".
    seed : int or numpy.random.Generator, optional
        Of the bootstrap.
    estimator, missing : str
        As for `teamlink.sem`.

    Returns
    -------
    Omega
        A number, the first row of ``.table``; with ``.low``, ``.high``, ``.loadings``, ``.fits``
        and ``.summary()``.

    Raises
    ------
    DataError
        Too few items, columns missing, not numeric or constant.
    OptionError
        Options that do not go together.
    DesignError, FormulaError, FitError
        As for `teamlink.sem`.

    Warns
    -----
    DroppedRows, NotConverged

    Notes
    -----
    With loadings :math:`\lambda`, factor variance :math:`\phi` and residual covariance
    :math:`\Theta` of one factor, McDonald's omega is

    .. math:: \omega = \frac{(\mathbf 1'\lambda)^2 \phi}{(\mathbf 1'\lambda)^2 \phi +
              \mathbf 1'\Theta\mathbf 1}.

    It is what alpha estimates when loadings are equal. "hierarchical" works on correlations: R is
    factored by minres, rotated by oblimin, and Schmid and Leiman's transformation gives loadings g
    on a general factor; :math:`\omega_h = (\mathbf 1'g)^2 / \mathbf 1'R\mathbf 1`, and
    :math:`\omega_t = 1 - \sum u^2 / \mathbf 1'R\mathbf 1` with uniquenesses u². Items that load
    negatively on it are turned. For "cfa" a general factor of a bifactor `model` has the
    hierarchical omega of CFA. "multilevel" fits one factor at both levels with loadings free
    (within, between), with loadings equal (a configural construct: W, 2L), and between only, the
    within level saturated (a shared construct: B, IRR); n is the harmonic mean size of clusters.

    In R: ``semTools::compRelSEM(cfa(model, data), obs.var = FALSE)``; ``obs.var = TRUE`` is
    ``denominator="observed"``; ``psych::omega(items, 3)``; ``compRelSEM(fit, config = "f")`` and
    ``shared = "f"``.

    References
    ----------
    McDonald, R. P. (1999). *Test theory: A unified treatment*. Erlbaum.

    Zinbarg, R. E., Revelle, W., Yovel, I., & Li, W. (2005). Cronbach's alpha, Revelle's beta, and
    McDonald's omega_h. *Psychometrika*, 70(1), 123-133. https://doi.org/10.1007/s11336-003-0974-7

    Geldhof, G. J., Preacher, K. J., & Zyphur, M. J. (2014). Reliability estimation in a multilevel
    confirmatory factor analysis framework. *Psychological Methods*, 19(1), 72-91.
    https://doi.org/10.1037/a0032138

    Lai, M. H. C. (2021). Composite reliability of multilevel data: It's about observed scores and
    construct meanings. *Psychological Methods*, 26(1), 90-102.
    https://doi.org/10.1037/met0000287

    Examples
    --------
    >>> import numpy as np, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=300)
    >>> items = {f"t{i}": trust * (1 + i / 4) + rng.normal(size=300) for i in range(4)}
    >>> tl.omega(items)
    omega total 0.8496 (95% 0.8216 to 0.8775)
    >>> tl.omega(items) > tl.alpha(items)
    True
    """
    chosen = kind or ("total" if model is None else "cfa")
    _check(chosen, model, group, cluster, denominator, interval, columns)
    check_level(level)
    asked = _Asked(interval, level, n, seed)
    if chosen == "cfa":
        fit = sem(str(model), items, group=group, cluster=cluster, std_lv=True,
                  estimator=estimator, missing=missing)  # fmt: skip
        parts = {"cfa": (fit, composites(fit, denominator == "observed", total=True))}
        return _of_fits(chosen, parts, asked, denominator)
    frame, names = items_of(items, columns, cluster)
    answers_of(frame, names)
    if len(names) < 3:
        raise DataError("omega needs three items at least: two do not identify a factor")
    if chosen == "hierarchical":
        answers, codes = complete_answers(frame, names, cluster)
        return hierarchical_omega(
            answers, codes, names, n_factors, interval is not None, level, n, seed
        )
    factor = "factor"
    while factor in names:
        factor += "_"
    if chosen == "total":
        fit = sem(_loads(factor, names), frame, cluster=cluster, std_lv=True,
                  estimator=estimator, missing=missing)  # fmt: skip
        own = composites(fit, denominator == "observed", total=False)
        parts = {"total": (fit, Composite(("total",), own.of))}
        return _of_fits(chosen, parts, asked, denominator)
    parts = {}
    for part in ("levels", "configural", "shared"):
        fit = sem(_two_level(factor, names, part), frame, cluster=cluster,
                  estimator=estimator, missing=missing)  # fmt: skip
        parts[part] = (fit, levels_of(fit, part, harmonic_size(fit)))
    return _of_fits(chosen, parts, asked, denominator)


def _check(
    kind: str, model: str | None, group: str | None, cluster: str | None, denominator: str,
    interval: str | None, columns: Sequence[str] | None,
) -> None:  # fmt: skip
    check_option("kind", kind, ["total", "hierarchical", "cfa", "multilevel"])
    check_option("denominator", denominator, ["model", "observed"])
    check_option("interval", interval, [None, "delta", "logit", "percentile"])
    if (kind == "cfa") != (model is not None):
        raise OptionError("kind='cfa' and model='...' go together")
    if kind == "cfa" and columns is not None:
        raise OptionError("columns: the model names its items")
    if kind != "cfa" and group is not None:
        raise OptionError("group goes with a model")
    if kind == "multilevel" and cluster is None:
        raise OptionError("kind='multilevel' needs the column of clusters, cluster='...'")
    if denominator == "observed":
        if kind not in ("total", "cfa"):
            raise OptionError(f"denominator='observed' does not go with kind={kind!r}")
        if interval is not None:
            raise OptionError(
                "the observed variance is no parameter, so there is no interval; use "
                "denominator='model'"
            )
    if kind == "hierarchical" and interval in ("delta", "logit"):
        raise OptionError("omega hierarchical by rotation has interval='percentile' only")


def _loads(factor: str, names: Sequence[str], label: bool = False) -> str:
    terms = [
        f"NA*l{i}*{show_variable(name)}" if label else show_variable(name)
        for i, name in enumerate(names)
    ]
    return f"{factor} =~ {' + '.join(terms)}"


def _two_level(factor: str, names: Sequence[str], part: str) -> str:
    """One factor at both levels; loadings equal; or within saturated."""
    shown = [show_variable(name) for name in names]
    free = " + ".join(f"NA*{name}" for name in shown)
    unit = f"{factor} ~~ 1*{factor}"
    if part == "levels":
        one = f"{factor} =~ {free}\n{unit}"
        return f"level: 1\n{one}\nlevel: 2\n{one}"
    if part == "configural":
        equal = _loads(factor, names, label=True)
        return f"level: 1\n{equal}\n{unit}\nlevel: 2\n{equal}\n{factor} ~~ NA*{factor}"
    pairs = [f"{a} ~~ {' + '.join(shown[i:])}" for i, a in enumerate(shown)]
    within = "\n".join(pairs)
    return f"level: 1\n{within}\nlevel: 2\n{factor} =~ {free}\n{unit}"


def _of_fits(
    kind: OmegaKind, parts: dict[str, tuple[StructuralFit, Composite]], asked: _Asked,
    denominator: str,
) -> Omega:  # fmt: skip
    """The table of indices of one or several fits."""
    tables = [_indices(fit, one, asked, denominator == "observed") for fit, one in parts.values()]
    table = pd.concat(tables)
    fits = {name: fit for name, (fit, _) in parts.items()}
    first = next(iter(fits.values()))
    words = {
        "delta": "delta method", "logit": "delta method on the logit scale",
        "percentile": f"bootstrap of {asked.n} replicates, percentile",
    }[asked.interval or "delta"]  # fmt: skip
    below = "implied" if denominator == "model" else "observed"
    row = table.iloc[0]
    clusters = sum(first.model.observations.n_clusters) if first.options.cluster else 0
    return Omega(
        value=float(row["estimate"]), name=f"omega {table.index[0]}",
        definition=DEFINITIONS[kind].format(below=below), low=float(row["conf_low"]),
        high=float(row["conf_high"]), level=asked.level, interval=words, kind=kind, table=table,
        loadings=_loadings(first), fits=fits, n=first.nobs, n_clusters=clusters,
        notes=_notes(fits),
    )  # fmt: skip


def _indices(
    fit: StructuralFit, composite: Composite, asked: _Asked, observed: bool
) -> pd.DataFrame:
    """Estimates and intervals of the indices of one fit."""
    estimate = composite.of(fit.x[None])[0]
    missing = np.full(len(estimate), np.nan)
    se, low, high = missing, missing, missing
    if asked.interval == "percentile":
        draws = bootstrap(fit, asked.n, kind="cluster", seed=asked.seed, progress=False).draws
        found = composite.of(draws.values[draws.good][:, : len(fit.x)])
        se = found.std(axis=0, ddof=1)
        low, high = np.array([intervals.percentile(column, asked.level) for column in found.T]).T
    elif not observed:
        se = np.sqrt(np.maximum(np.diag(delta_covariance(fit, composite.of)), 0.0))
        half = ndtri(0.5 + asked.level / 2) * se
        low, high = estimate - half, estimate + half
        if asked.interval == "logit":
            with np.errstate(invalid="ignore", divide="ignore"):
                at, by = np.log(estimate / (1 - estimate)), half / (estimate * (1 - estimate))
                low, high = 1 / (1 + np.exp(by - at)), 1 / (1 + np.exp(-by - at))
    return pd.DataFrame(
        {"estimate": estimate, "std_error": se, "conf_low": low, "conf_high": high},
        index=pd.Index(composite.names, name="omega"),
    )


def _loadings(fit: StructuralFit) -> pd.DataFrame:
    """Loadings of a fit, a column for each factor of each block."""
    found: dict[str, pd.Series[float]] = {}
    levels = len(fit.table.levels)
    for b, (block, state) in enumerate(zip(fit.model.structure.blocks, fit.states, strict=True)):
        where = [f"level {b % levels + 1}"] if levels > 1 else []
        where += [fit.table.groups[b // levels]] if len(fit.table.groups) > 1 else []
        suffix = f" ({', '.join(where)})" if where else ""
        for f in range(block.p, len(block.variables)):
            column = state.A[0, : block.p, f]
            own = pd.Series(column, index=list(block.observed))
            found[block.variables[f] + suffix] = own[column != 0]
    return pd.DataFrame(found)


def _notes(fits: dict[str, StructuralFit]) -> tuple[str, ...]:
    found = []
    for name, fit in fits.items():
        m = fit.fit_measures
        srmr = ", ".join(f"{m[c]:.3f}" for c in ("srmr", "srmr_within", "srmr_between") if c in m)
        if m["df"]:
            cfi = m["cfi_robust"] if np.isfinite(m.get("cfi_robust", np.nan)) else m["cfi"]
            found.append(
                f"Fit ({name}): chi-square {m['chisq']:.2f} on {m['df']:g} degrees of freedom, "
                f"CFI {cfi:.3f}, SRMR {srmr}. "
                + ("That is poor, and omega holds" if cfi < _POOR else "Omega holds")
                + " as far as the model does."
            )
        else:
            found.append(f"The model ({name}) has no degrees of freedom, so nothing tests it.")
        found += [f"IMPROPER: {what}." for what in fit.improper]
        rows = [r for r in fit.table.rows if r.op == "=~"]
        values = {r.plain: v for r, v in zip(fit.table.rows, fit.row_values, strict=True)}
        signs = {r.rhs: values[r.plain] for r in rows}
        if min(signs.values()) < 0 < max(signs.values()):
            turned = ", ".join(item for item, value in signs.items() if value < 0)
            found.append(f"Negative loadings: {turned}. Turn these items first.")
    return tuple(dict.fromkeys(found))
