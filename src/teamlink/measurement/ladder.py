"""A ladder of invariance, fitted: its table, and what a reader must know before quoting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from teamlink.errors import OptionError, check_option
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.measurement.rungs import cutoff
from teamlink.structural.release import release_tests
from teamlink.structural.result import StructuralFit

__all__ = ["Invariance", "ladder_table"]

_ACROSS = {
    "configural": "the same pattern of loadings",
    "metric": "equal loadings (weak invariance)",
    "scalar": "equal loadings and intercepts (strong invariance); means of factors free",
    "strict": "equal loadings, intercepts and residual variances",
    "lv_variances": "moreover equal variances of factors",
    "lv_covariances": "moreover equal covariances of factors",
    "means": "moreover equal means of factors",
}
_LEVELS = {
    "configural": "the same pattern of loadings within and between",
    "metric": "equal loadings within and between: the factor means the same at both levels",
    "strong": "moreover no residual variance between: intercepts do not differ among clusters",
}
_RELEASED = {"metric": "=~", "scalar": "~1", "strict": "~~", "lv_variances": "~~",
             "lv_covariances": "~~"}  # fmt: skip


_POOR_CFI, _POOR_RMSEA = 0.95, 0.08
"""Hu and Bentler (1999), doi:10.1080/10705519909540118; Browne and Cudeck (1992)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Invariance:
    """A ladder of invariance, made by `teamlink.invariance`.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each rung: ``npar, chisq, df, pvalue, cfi, tli, rmsea, srmr`` (with two levels
        ``srmr_within, srmr_between``), ``aic, bic``, and against the rung before ``delta_chisq,
        delta_df, delta_pvalue, delta_cfi, delta_rmsea, delta_srmr``, ``holds_chisq`` (the
        likelihood-ratio test is not significant at 5 per cent) and ``holds_chen`` (the changes
        stay below Chen's cut-offs; missing where she gives none).
    fits : dict of str to StructuralFit
        The fit of each rung.
    cutoffs : pandas.DataFrame
        Chen's (2007) cut-offs for each rung: changes of ``cfi``, ``rmsea``, ``srmr``.
    free : tuple of str
        Parameters that were free nevertheless: partial invariance.
    across : str
        Over what the ladder goes.
    levels : bool
        Whether it goes over levels.
    notes : tuple of str
        Remarks of the fits: tests that do not exist, improper solutions.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=400)
    >>> items = {f"t{i}": trust + rng.normal(size=400) for i in range(1, 5)}
    >>> data = pd.DataFrame({**items, "town": np.repeat(["north", "south"], 200)})
    >>> ladder = tl.invariance("trust =~ t1 + t2 + t3 + t4", data, group="town")
    >>> ladder.table["df"].tolist()
    [4, 7, 10, 14]
    >>> sorted(ladder.release_tests("scalar").columns)
    ['df', 'parameter', 'pvalue', 'score']
    """

    table: pd.DataFrame
    fits: dict[str, StructuralFit]
    cutoffs: pd.DataFrame
    free: tuple[str, ...]
    across: str
    levels: bool
    notes: tuple[str, ...]

    def holds(self, by: str = "chen") -> str:
        """Name the last rung before the first that fails.

        Parameters
        ----------
        by : {"chen", "chisq"}
            Chen's cut-offs, or the likelihood-ratio test at 5 per cent.
        """
        failed = self._first_failure(by)
        names = list(self.fits)
        return names[-1] if failed is None else names[names.index(failed) - 1]

    def _first_failure(self, by: str) -> str | None:
        check_option("by", by, ["chen", "chisq"])
        for rung, held in self.table[f"holds_{by}"].items():
            if held is not pd.NA and not held:
                return str(rung)
        return None

    def release_tests(self, rung: str) -> pd.DataFrame:
        """Which parameter to free first: score tests of what a rung holds equal.

        Parameters
        ----------
        rung : str
            Any but "configural".

        Returns
        -------
        DataFrame
            ``parameter, score, df, pvalue``, the largest score first. `parameter` is what
            ``free=[...]`` takes; `score` is about what chi-square would drop by. Scores are not
            scaled, and each supposes that the other equalities hold.
        """
        check_option("rung", rung, list(self.fits)[1:])
        fit = self.fits[rung]
        if rung == "strong":
            every = fit.modification_indices()
            own = (every["op"] == "~~") & (every["lhs"] == every["rhs"]) & (every["level"] == 2)
            found = every[own].assign(score=every["mi"], df=1)
            found["pvalue"] = chdtrc(1, found["score"].to_numpy())
        else:
            found = release_tests(fit.model, fit.x)
            latent = {row.lhs for row in fit.table.rows if row.op == "=~"}
            factors = found["lhs"].isin(latent) & found["rhs"].isin(latent)
            wanted = found["op"] == _RELEASED.get(rung, "~1")
            if rung in ("lv_variances", "lv_covariances"):
                wanted &= factors & ((found["lhs"] == found["rhs"]) == (rung == "lv_variances"))
            elif rung in ("scalar", "means"):
                wanted &= found["lhs"].isin(latent) == (rung == "means")
            elif rung == "strict":
                wanted &= ~factors
            found = found[wanted]
        named = found["lhs"] + found["op"] + found["rhs"]
        return pd.DataFrame(
            {
                "parameter": named, "score": found["score"], "df": found["df"],
                "pvalue": found["pvalue"],
            }
        ).reset_index(drop=True)  # fmt: skip

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        words = _LEVELS if self.levels else _ACROSS
        facts = [("Across", self.across)]
        facts += [(rung, words[rung]) for rung in self.fits]
        if self.free:
            facts.append(("Free", ", ".join(self.free) + " (partial invariance)"))
        facts.append(("By Chen's cut-offs", f"{self.holds('chen')} holds"))
        facts.append(("By chi-square", f"{self.holds('chisq')} holds"))
        tables = [_fit_table(self.table), _change_table(self.table, self.cutoffs)]
        failed = self._first_failure("chen") or self._first_failure("chisq")
        if failed is not None:
            tests = self.release_tests(failed).head(5)
            rows = tuple(
                (str(p), number(score, 2), f"{df}", p_text(pvalue))
                for p, score, df, pvalue in tests.itertuples(index=False)
            )
            if rows:
                title = f"What speaks against {failed} invariance: score tests, one parameter each"
                tables.append(SummaryTable(title, ("Parameter", "Score", "df", "p"), rows))
        return Summary("Measurement invariance", tuple(facts), tuple(tables), self._remarks())

    def _remarks(self) -> tuple[str, ...]:
        n = int(next(iter(self.fits.values())).nobs)
        first = self.table.iloc[0]
        size = "at most" if n <= 300 else "more than"
        found = [
            f"Cut-offs: Chen (2007) for {size} 300 rows in all; a rung fails where CFI falls by as "
            "much and RMSEA or SRMR rises by as much.",
        ]
        if first["pvalue"] < 0.05 and (first["cfi"] < _POOR_CFI or first["rmsea"] > _POOR_RMSEA):
            found.insert(
                0,
                f"The configural model itself fits poorly (CFI {first['cfi']:.3f}, RMSEA "
                f"{first['rmsea']:.3f}): what stands on it is doubtful.",
            )
        if self.levels:
            found.append(
                "They were found for groups, not for levels, and without SRMR here: a hint only."
            )
            if "strong" in self.fits:
                found.append(
                    "Residual variances of zero lie on the edge of their range, so p of strong "
                    "invariance is too large."
                )
        return (*found, *self.notes)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        rungs = ", ".join(self.fits)
        return f"<Invariance across {self.across}: {rungs}; {self.holds('chen')} holds by Chen>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def ladder_table(
    fits: Mapping[str, StructuralFit],
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Table of a ladder, the cut-offs, and remarks.

    Parameters
    ----------
    fits : the rungs in order, each a special case of the one before
    """
    names = list(fits)
    measures = pd.DataFrame({name: _measures(fit) for name, fit in fits.items()}).T
    measures.index.name = "rung"
    table = measures.astype({"npar": int, "df": int})
    tests, notes = _tests(fits)
    table[["delta_chisq", "delta_df", "delta_pvalue"]] = tests
    changes = table[[c for c in ("cfi", "rmsea", "srmr") if c in table]].diff()
    table = table.join(changes.add_prefix("delta_"))
    n = int(fits[names[0]].nobs)
    cutoffs = {name: cutoff(name, n) for name in names[1:]}
    table["holds_chisq"] = pd.array(
        [pd.NA if p != p else bool(p >= 0.05) for p in table["delta_pvalue"]], dtype="boolean"
    )
    held: list[Any] = [pd.NA]
    moved: dict[str, dict[str, Any]] = {str(k): dict(v) for k, v in table.iterrows()}
    for name in names[1:]:
        limit = cutoffs[name]
        row = moved[name]
        srmr = float(row.get("delta_srmr", -np.inf))
        same = row["delta_df"] == 0
        held.append(pd.NA if limit is None or same
                    else limit.holds(row["delta_cfi"], row["delta_rmsea"], srmr))  # fmt: skip
    table["holds_chen"] = pd.array(held, dtype="boolean")
    limits = pd.DataFrame(
        {
            name: (np.nan,) * 3 if limit is None else (limit.cfi, limit.rmsea, limit.srmr)
            for name, limit in cutoffs.items()
        },
        index=pd.Index(["cfi", "rmsea", "srmr"]),
    ).T
    return table, limits, notes + _improper(fits)


def _measures(fit: StructuralFit) -> dict[str, float]:
    """Indices of one rung: scaled and robust ones where the fit has them."""
    m = fit.fit_measures
    robust = fit.scaling is not None and np.isfinite(m.get("chisq_scaled", np.nan))
    names = {
        "npar": "npar", "chisq": "chisq_scaled" if robust else "chisq", "df": "df",
        "pvalue": "pvalue_scaled" if robust else "pvalue",
        "cfi": "cfi_robust" if robust else "cfi", "tli": "tli_robust" if robust else "tli",
        "rmsea": "rmsea_robust" if robust else "rmsea", "srmr": "srmr",
        "srmr_within": "srmr_within", "srmr_between": "srmr_between", "aic": "aic", "bic": "bic",
    }  # fmt: skip
    return {ours: float(m[theirs]) for ours, theirs in names.items() if theirs in m}


def _tests(fits: Mapping[str, StructuralFit]) -> tuple[pd.DataFrame, list[str]]:
    """Likelihood-ratio tests of each rung against the one before."""
    names = list(fits)
    rows, notes = [(np.nan, np.nan, np.nan)], []
    for smaller, larger in zip(names[1:], names, strict=False):
        if fits[smaller].n_parameters == fits[larger].n_parameters:
            rows.append((0.0, 0.0, np.nan))
            notes.append(f"{smaller} holds nothing equal that {larger} leaves free.")
            continue
        try:
            test = fits[smaller].difference_test(fits[larger])
        except OptionError as error:
            df = fits[larger].n_parameters - fits[smaller].n_parameters
            rows.append((np.nan, float(df), np.nan))
            notes.append(f"No test of {smaller} against {larger}: {error}.")
        else:
            rows.append((test.chisq, float(test.df), test.pvalue))
    columns = ["delta_chisq", "delta_df", "delta_pvalue"]
    if any(fit.scaling is not None for fit in fits.values()):
        notes.append(
            "Chi-squares are scaled, differences tested by Satorra and Bentler (2001); CFI, TLI "
            "and RMSEA are the robust ones."
        )
    return pd.DataFrame(rows, columns=columns, index=pd.Index(names, name="rung")), notes


def _improper(fits: Mapping[str, StructuralFit]) -> list[str]:
    found: dict[str, list[str]] = {}
    for name, fit in fits.items():
        for what in fit.improper:
            found.setdefault(what, []).append(name)
    notes = [f"IMPROPER: {what} ({', '.join(rungs)})." for what, rungs in found.items()]
    lost = [name for name, fit in fits.items() if not fit.converged]
    return notes + [f"NOT CONVERGED: {', '.join(lost)}."] * bool(lost)


def _fit_table(table: pd.DataFrame) -> SummaryTable:
    residual = [c for c in ("srmr", "srmr_within", "srmr_between") if c in table]
    heads = {"srmr": "SRMR", "srmr_within": "SRMR within", "srmr_between": "SRMR between"}
    header = ("Rung", "npar", "Chi-square", "df", "p", "CFI", "RMSEA",
              *(heads[c] for c in residual), "AIC", "BIC")  # fmt: skip
    rows = tuple(
        (
            str(rung), f"{row['npar']:g}", f"{row['chisq']:.3f}", f"{row['df']:g}",
            "" if row["pvalue"] != row["pvalue"] else p_text(row["pvalue"]),
            f"{row['cfi']:.3f}", f"{row['rmsea']:.3f}", *(f"{row[c]:.3f}" for c in residual),
            number(row["aic"], 2), number(row["bic"], 2),
        )
        for rung, row in table.iterrows()
    )  # fmt: skip
    return SummaryTable("Fit", header, rows)


def _change_table(table: pd.DataFrame, cutoffs: pd.DataFrame) -> SummaryTable:
    """Changes, with the cut-off of each in brackets."""
    indices = [c for c in ("cfi", "rmsea", "srmr") if f"delta_{c}" in table]
    header = ("Rung", "Chi-square", "df", "p", *(c.upper() for c in indices), "p > 0.05", "Chen")
    rows = []
    for rung, row in table.iloc[1:].iterrows():
        limits: dict[str, Any] = dict(cutoffs.loc[str(rung)])
        changes = [_change(row[f"delta_{c}"], limits[c]) for c in indices]
        p = row["delta_pvalue"]
        rows.append(
            (
                str(rung), number(row["delta_chisq"], 3), f"{row['delta_df']:g}",
                "" if p != p else p_text(p), *changes, _held(row["holds_chisq"]),
                _held(row["holds_chen"]),
            )
        )  # fmt: skip
    title = "Change from the rung above (Chen's cut-off in brackets)"
    return SummaryTable(title, header, tuple(rows))


def _change(value: float, limit: float) -> str:
    shown = f"{value:+.3f}"
    return shown if limit != limit else f"{shown} ({limit:+.3f})"


def _held(value: Any) -> str:
    return "" if value is pd.NA else ("holds" if value else "FAILS")


def same_text(free: Sequence[str]) -> tuple[str, ...]:
    """Names of parameters without spaces, each once."""
    return tuple(dict.fromkeys("".join(name.split()) for name in free))
