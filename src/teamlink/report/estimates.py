"""Tables of structural equations: one fit in sections, several side by side, and effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from teamlink.errors import DataError, OptionError, check_option
from teamlink.mediation.result import Mediation
from teamlink.report.numbers import decimals, interval, p_value
from teamlink.report.path_graph import stars
from teamlink.report.records import records
from teamlink.report.sheet import Section, Sheet, write
from teamlink.report.tables import Cells, Format, table
from teamlink.structural.result import StructuralFit

__all__ = ["effects_table", "fits_table"]

_STARS = "* p < 0.05, ** p < 0.01, *** p < 0.001."
_SECTIONS = ("Loadings", "Regressions", "Covariances", "Variances", "Intercepts")
_DEFINED = "Defined parameters"

Key = tuple[str, str, str, int, int]
"""lhs, op, rhs, group and level of a row."""


@runtime_checkable
class _Tidy(Protocol):
    """A fit of another engine, or what is made of one."""

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """One row a term."""


def fits_table(what: object, format: Format, caption: str, standardized: bool, digits: int) -> str:
    """See `teamlink.table`: the table of a fit, or of several side by side."""
    check_option("digits", digits, list(range(9)))
    if isinstance(what, StructuralFit):
        return write(_of_one(what, digits), format, caption)
    if isinstance(what, _Tidy):
        return table(what.tidy(), format, caption)
    fits = _named(what)
    return write(_side_by_side(fits, standardized, digits), format, caption)


def _named(what: object) -> dict[str, StructuralFit]:
    """Fits by name; a list numbers them."""
    if isinstance(what, Mapping):
        found = {str(name): fit for name, fit in what.items()}
    elif isinstance(what, Sequence) and not isinstance(what, str):
        found = {f"Model {i + 1}": fit for i, fit in enumerate(what)}
    else:
        raise OptionError(f"what: give a data frame, a fit or several fits, not {what!r}")
    if not found:
        raise OptionError("what: there is no fit to show")
    for name, fit in found.items():
        if not isinstance(fit, StructuralFit):
            raise OptionError(f"what: {name!r} is no fit by tl.sem; only those stand side by side")
    return found


def effects_table(
    effects: pd.DataFrame | StructuralFit | Mediation,
    format: Format = "markdown",
    caption: str = "",
    *,
    digits: int = 3,
) -> str:
    """Turn effects with their intervals into a table for print.

    Parameters
    ----------
    effects : Mediation, StructuralFit or pandas.DataFrame
        A mediation model, its effects; a fit by `teamlink.sem`, its defined parameters; or a frame
        with columns ``effect, estimate, std_error, conf_low, conf_high``, and perhaps ``level``,
        ``path`` and ``p``, as a mediation's ``conf_int("bca")`` gives.
    format : {"text", "markdown", "latex", "html"}
        LaTeX uses the booktabs rules.
    caption : str
        Printed with the table.
    digits : int
        Decimals.

    Returns
    -------
    str
        A section for each level, where the frame has levels.

    Raises
    ------
    DataError
        A column is missing, or the model defines no parameters.
    OptionError
        Another format.

    See Also
    --------
    table : All estimates.

    Examples
    --------
    >>> import teamlink as tl
    >>> model = "ses ~ a*meanses; mathach ~ b*ses + c*meanses; indirect := a*b; total := a*b + c"
    >>> print(tl.effects_table(tl.sem(model, tl.datasets.load("hsb82")), "text"))
              Estimate  Std. error   95 % interval       p
    ------------------------------------------------------
    indirect     2.191       0.120  [1.956, 2.426]  <0.001
    total        5.717       0.184  [5.356, 6.078]  <0.001
    """
    check_option("format", format, ["text", "markdown", "latex", "html"])
    check_option("digits", digits, list(range(9)))
    if isinstance(effects, StructuralFit):
        effects = _defined(effects)
    frame = effects.effects if isinstance(effects, Mediation) else effects
    needed = ("effect", "estimate", "std_error", "conf_low", "conf_high")
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise DataError(f"the frame has no column {missing[0]!r}; it needs {', '.join(needed)}")
    p = next((name for name in ("p", "p_value", "pvalue") if name in frame.columns), None)
    head = ("", "Estimate", "Std. error", "95 % interval", *(("p",) if p else ()))
    sections: dict[str, list[tuple[str, ...]]] = {}
    for row in records(frame):
        cells = (
            _effect_name(row), decimals(row["estimate"], digits),
            decimals(row["std_error"], digits),
            interval(row["conf_low"], row["conf_high"], digits), *((p_value(row[p]),) if p else ()),
        )  # fmt: skip
        sections.setdefault(str(row.get("level") or ""), []).append(cells)
    shown = tuple(Section(title.capitalize(), rows) for title, rows in sections.items())
    return write(Sheet(head, shown), format, caption)


def _effect_name(row: Mapping[str, Any]) -> str:
    """The effect, with its path where the frame says which it is."""
    path = row.get("path")
    return f"{row['effect']}: {path}" if path else str(row["effect"])


def _defined(fit: StructuralFit) -> pd.DataFrame:
    rows = fit.parameters[fit.parameters["op"] == ":="]
    if rows.empty:
        raise DataError("the model defines no parameters; write one, as in indirect := a*b")
    return pd.DataFrame(
        {
            "effect": rows["lhs"], "estimate": rows["est"], "std_error": rows["se"],
            "conf_low": rows["ci_lower"], "conf_high": rows["ci_upper"], "p": rows["pvalue"],
        }
    )  # fmt: skip


def _rows(fit: StructuralFit) -> dict[str, dict[Key, dict[str, Any]]]:
    """Rows that are parameters, by section; moments taken from the sample are left out."""
    given = {(r.lhs, r.op, r.rhs, r.group, r.level) for r in fit.table.rows if r.exogenous}
    frame = fit.parameters
    if not fit.table.slopes:
        standard = fit.standardized
        frame = frame.assign(
            std=standard["est_std"], std_se=standard["se"], std_p=standard["pvalue"]
        )
    unsaid = (frame["op"] == "~1") & (frame["se"] == 0) & (frame["est"] == 0)
    every = records(frame[~unsaid])
    found: dict[str, dict[Key, dict[str, Any]]] = {}
    groups, levels = len(fit.table.groups), len(fit.table.levels)
    for group, level, title in product(range(1, groups + 1), range(1, levels + 1), _SECTIONS):
        own = {
            key: row
            for row in every
            if (row["group"], row["level"]) == (group, level) and _section(row) == title
            and (key := _key(row)) not in given
        }  # fmt: skip
        if own:
            found[", ".join([title, *_where(fit, group, level)])] = own
    defined = {_key(row): row for row in every if row["op"] == ":="}
    return found | ({_DEFINED: defined} if defined else {})


def _key(row: Mapping[str, Any]) -> Key:
    return row["lhs"], row["op"], row["rhs"], row["group"], row["level"]


def _section(row: Mapping[str, Any]) -> str:
    if row["op"] == "~~":
        return "Variances" if row["lhs"] == row["rhs"] else "Covariances"
    return {"=~": "Loadings", "~": "Regressions", "~1": "Intercepts"}.get(row["op"], _DEFINED)


def _where(fit: StructuralFit, group: int, level: int) -> list[str]:
    """Group and level in words, where there are several."""
    said = []
    if len(fit.table.levels) > 1:
        said.append(f"{'between' if level == 2 else 'within'} {fit.options.cluster}")
    if len(fit.table.groups) > 1:
        said.append(f"{fit.options.group} {fit.table.groups[group - 1]}")
    return said


def _label(row: Mapping[str, Any]) -> str:
    """A parameter in words: arrows point from causes to effects."""
    left, right = row["lhs"], row["rhs"]
    match _section(row):
        case "Loadings":
            return f"{right} \u2190 {left}"
        case "Regressions":
            return f"{left} \u2190 {right}"
        case "Covariances":
            return f"{left} \u2194 {right}"
        case _:
            return str(left)


def _of_one(fit: StructuralFit, digits: int) -> Sheet:
    """Estimates, tests, intervals and standardised values of one fit."""
    head = ("", "Estimate", "Std. error", "z", "p", "95 % interval", "Std.")
    sections = []
    for title, rows in _rows(fit).items():
        cells = []
        for row in rows.values():
            tested = row["z"] is not None
            cells.append(
                (
                    _label(row), decimals(row["est"], digits),
                    decimals(row["se"], digits) if tested else "",
                    decimals(row["z"], digits) if tested else "",
                    p_value(row["pvalue"]) if tested else "",
                    interval(row["ci_lower"], row["ci_upper"], digits) if tested else "",
                    "" if row["std_all"] is None else decimals(row["std_all"], digits),
                )
            )  # fmt: skip
        sections.append(Section(title, cells))
    rest = ("",) * (len(head) - 2)
    foot = [(name, value, *rest) for name, value in _measures(fit).items()]
    return Sheet(head, tuple(sections), foot, _notes(fit))


def _side_by_side(fits: Mapping[str, StructuralFit], standardized: bool, digits: int) -> Sheet:
    """Estimates with standard errors, a column a fit."""
    if standardized:
        for name, fit in fits.items():
            if fit.table.slopes:
                raise OptionError(
                    f"standardized=True: {name!r} has random slopes, hence no standard solution"
                )
    every = [_rows(fit) for fit in fits.values()]
    sections = []
    for title in _ordered([list(own) for own in every]):
        keys = _ordered([list(own.get(title, {})) for own in every])
        rows = []
        for key in keys:
            found = [own.get(title, {}).get(key) for own in every]
            first = next(row for row in found if row is not None)
            rows.append((_label(first), *(_compact(row, standardized, digits) for row in found)))
        sections.append(Section(title, rows))
    measures = [_measures(fit) for fit in fits.values()]
    names = _ordered([list(own) for own in measures])
    foot: Cells = [(name, *(own.get(name, "") for own in measures)) for name in names]
    kind = "Standardized" if standardized else "Unstandardized"
    notes = [f"{kind} estimates, standard errors in parentheses. {_STARS}"]
    notes += [f"{name}: {' '.join(said)}" for name, fit in fits.items() if (said := _notes(fit))]
    return Sheet(("", *fits), tuple(sections), foot, tuple(notes))


def _ordered(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """The union, each new element after the one that it follows in its own list."""
    found: list[Any] = []
    for own in lists:
        at = 0
        for element in own:
            if element in found:
                at = found.index(element) + 1
            else:
                found.insert(at, element)
                at += 1
    return found


def _compact(row: Mapping[str, Any] | None, standardized: bool, digits: int) -> str:
    """An estimate with stars and its standard error; empty where a model lacks it."""
    if row is None:
        return ""
    names = ("std", "std_se", "std_p") if standardized else ("est", "se", "pvalue")
    value, error, p = (row[name] for name in names)
    said = decimals(value, digits) + (stars(p) if p is not None else "")
    return said + (f" ({decimals(error, digits)})" if error else "")


def _measures(fit: StructuralFit) -> dict[str, str]:
    """What stands below a column: sizes, tests and indices of fit."""
    m = fit.fit_measures.to_dict()
    said = {"Rows": decimals(float(fit.nobs), 0)}
    if fit.options.cluster is not None:
        said["Clusters"] = decimals(float(sum(fit.model.observations.n_clusters)), 0)
    said |= {"Parameters": str(fit.n_parameters), "Log-likelihood": decimals(fit.llf, 3)}
    for name, ending in (("\u03c7\u00b2", ""), ("\u03c7\u00b2, scaled", "_scaled")):
        if f"chisq{ending}" in m:
            test = f"{decimals(m[f'chisq{ending}'], 3)} ({m['df']:.0f})"
            p = m[f"pvalue{ending}"]
            said[f"{name} (df), p"] = test if p != p else f"{test}, {p_value(p)}"
    for name in ("cfi", "tli"):
        if name in m:
            said[name.upper()] = decimals(m[name], 3)
    if "rmsea" in m:
        ends = interval(m["rmsea_ci_lower"], m["rmsea_ci_upper"])
        said["RMSEA, 90 % interval"] = f"{decimals(m['rmsea'], 3)} {ends}"
    for name, title in (
        ("srmr", "SRMR"), ("srmr_within", "SRMR within"), ("srmr_between", "SRMR between"),
    ):  # fmt: skip
        if name in m:
            said[title] = decimals(m[name], 3)
    return said | {"AIC": decimals(m["aic"], 1), "BIC": decimals(m["bic"], 1)}


def _notes(fit: StructuralFit) -> tuple[str, ...]:
    """What a reader must know before quoting the table."""
    said = []
    if fit.improper:
        said.append(f"Improper: {'; '.join(fit.improper)}.")
    if fit.boundary:
        said.append("A parameter lies on its bound.")
    if not fit.converged:
        said.append("Not converged.")
    return tuple(said)
