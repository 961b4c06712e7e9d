"""Omega hierarchical by an exploratory factor analysis, with a bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import DataError, OptionError
from teamlink.inference import intervals
from teamlink.measurement.composite import DEFINITIONS, Omega
from teamlink.measurement.schmid_leiman import SchmidLeiman, schmid_leiman
from teamlink.typing import Array, Codes

__all__ = ["hierarchical_omega"]


def hierarchical_omega(
    answers: Array, codes: Codes | None, names: Sequence[str], n_factors: int,
    resample: bool, level: float, n: int, seed: Any,
) -> Omega:  # fmt: skip
    """Omega hierarchical of complete answers.

    Parameters
    ----------
    answers : (n, k) complete
    codes : (n,) clusters 0 .. J-1, or None
    names : k items
    n_factors : group factors
    resample : whether intervals are asked, by a bootstrap
    level, n, seed : of the intervals: coverage, replicates, where they start
    """
    k = len(names)
    most = max((m for m in range(1, k) if (k - m) ** 2 >= k + m), default=1)
    if not 2 <= n_factors <= most:
        what = f"2 to {most}" if most > 1 else "no"
        raise OptionError(f"n_factors={n_factors!r}: {k} items identify {what} group factors")
    with np.errstate(invalid="ignore", divide="ignore"):
        R = np.asarray(np.corrcoef(answers.T), dtype=float)
    if not np.isfinite(R).all() or np.linalg.eigvalsh(R)[0] < 1e-10:
        raise DataError("the correlations of the complete rows are singular: an item is constant "
                        "or determined by others")  # fmt: skip
    found, good = schmid_leiman(R, n_factors)
    own = found.indices()
    table = pd.DataFrame({"estimate": own}, index=pd.Index(list(own), name="omega"))
    table[["std_error", "conf_low", "conf_high"]] = np.nan
    words, failed = "none", 0
    if resample:
        draws = _resampled(answers, codes, n_factors, n, seed)
        failed = n - len(draws)
        words = f"bootstrap of {n} replicates, percentile"
        ends = np.array([intervals.percentile(column, level) for column in draws.T])
        spread = draws.std(axis=0, ddof=1)
        table.iloc[:3, 1:] = np.column_stack([spread, ends])
    row = table.iloc[0]
    return Omega(
        value=own["hierarchical"], name="omega hierarchical",
        definition=DEFINITIONS["hierarchical"], low=float(row["conf_low"]),
        high=float(row["conf_high"]), level=level, interval=words, kind="hierarchical",
        table=table, loadings=_loadings(found, names), fits={}, n=len(answers),
        n_clusters=0 if codes is None else int(codes.max()) + 1,
        notes=_notes(found, good, names, failed, n),
    )  # fmt: skip


def _loadings(found: SchmidLeiman, names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "general": found.general,
            **{f"F{g + 1}": column for g, column in enumerate(found.group.T)},
            "communality": 1 - found.uniqueness, "uniqueness": found.uniqueness,
        },
        index=pd.Index(names, name="item"),
    )  # fmt: skip


def _notes(
    found: SchmidLeiman, good: bool, names: Sequence[str], failed: int, n: int
) -> tuple[str, ...]:
    notes = ["An item belongs to the group factor on which it loads highest."]
    if not good:
        notes.append("NOT CONVERGED: the extraction did not end at a minimum.")
    if found.uniqueness.min() < 0.01:
        notes.append("A uniqueness lies at its bound: fewer group factors may do.")
    if found.group.shape[1] == 2:
        notes.append("Two group factors do not identify the general one: its loadings are taken "
                     "as equal. Three are better.")  # fmt: skip
    turned = [name for name, sign in zip(names, found.sign, strict=True) if sign < 0]
    if turned:
        notes.append(f"Turned, as they load negatively on the general factor: {', '.join(turned)}.")
    if failed:
        notes.append(f"FAILED: {failed} of {n} replicates.")
    return tuple(notes)


def _resampled(answers: Array, codes: Codes | None, m: int, n: int, seed: Any) -> Array:
    """Omega hierarchical, total and asymptotic (n, 3) of resamples of rows or clusters."""
    rng = np.random.default_rng(seed)
    Z = answers - answers.mean(axis=0)
    units = np.arange(len(Z)) if codes is None else codes
    J = int(units.max()) + 1
    if n < 2:
        raise OptionError(f"n={n!r}: a bootstrap needs at least two replicates")
    found = []
    for _ in range(n):
        weight = rng.multinomial(J, np.full(J, 1 / J))[units].astype(float)
        weight /= weight.sum()
        centred = Z - weight @ Z
        S = (centred * weight[:, None]).T @ centred
        sd = np.sqrt(np.diag(S))
        if sd.min() <= 0:
            continue
        R = S / np.outer(sd, sd)
        if np.linalg.eigvalsh(R)[0] > 1e-10:
            found.append(list(schmid_leiman(R, m)[0].indices().values())[:3])
    if len(found) < 2:
        raise DataError("no resample has a regular correlation matrix")
    return np.array(found)
