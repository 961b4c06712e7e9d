"""The rungs of a ladder of invariance: what each holds equal, and how it is written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from teamlink.errors import OptionError, check_option, nearest
from teamlink.structural.conventions import Conventions
from teamlink.structural.parameters import Parameter, parameter_table
from teamlink.syntax.equations import Equations
from teamlink.syntax.statements import Relation, show_variable

__all__ = [
    "GROUP_RUNGS",
    "LEVEL_RUNGS",
    "Cutoff",
    "Rung",
    "checked_rungs",
    "cutoff",
    "level_text",
]

Rung: TypeAlias = Literal[
    "configural", "metric", "scalar", "strict", "lv_variances", "lv_covariances", "means", "strong"
]

GROUP_RUNGS: dict[str, tuple[str, ...]] = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("intercepts",),
    "strict": ("residuals",),
    "lv_variances": ("lv_variances",),
    "lv_covariances": ("lv_covariances",),
    "means": ("means",),
}
"""What each rung across groups adds to what is equal already."""

LEVEL_RUNGS = ("configural", "metric", "strong")

_ALIASES = {"weak": "metric", "strong": "scalar"}


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Changes that speak against a rung: of CFI, and of RMSEA or SRMR beside it (Chen 2007)."""

    cfi: float
    rmsea: float
    srmr: float

    def holds(self, cfi: float, rmsea: float, srmr: float) -> bool:
        """Whether changes are smaller than that."""
        # A change of 0.010 that came out of a subtraction as 0.00999... is one of 0.010.
        slack = 1e-9
        beside = rmsea >= self.rmsea - slack or srmr >= self.srmr - slack
        return not (cfi <= self.cfi + slack and beside)


def cutoff(rung: str, n: int) -> Cutoff | None:
    """Chen's cut-offs for a rung with n rows in all; None where there are none."""
    small = n <= 300
    if rung == "metric":
        return Cutoff(-0.005, 0.010, 0.025) if small else Cutoff(-0.010, 0.015, 0.030)
    if rung in ("scalar", "strict", "strong"):
        return Cutoff(-0.005, 0.010, 0.005) if small else Cutoff(-0.010, 0.015, 0.010)
    return None


def checked_rungs(rungs: Sequence[str] | None, levels: bool) -> tuple[str, ...]:
    """The rungs asked for, in the order of the ladder; the first four across groups by default."""
    if levels:
        known: Iterable[str] = LEVEL_RUNGS
        asked = list(LEVEL_RUNGS if rungs is None else rungs)
    else:
        known = GROUP_RUNGS
        asked = [_ALIASES.get(one, one) for one in (rungs or list(GROUP_RUNGS)[:4])]
    for one in asked:
        check_option("rungs", one, list(known))
    found = tuple(one for one in known if one in asked)
    if len(found) < 2 or found[0] != "configural":
        raise OptionError(f"rungs={asked}: a ladder begins with 'configural' and has one rung more")
    return found


def level_text(equations: Equations, rung: str, free: Sequence[str], std_lv: bool) -> str:
    """Write a measurement model for two levels.

    Parameters
    ----------
    equations : a model of one level: ``=~`` and ``~~``
    rung : "configural", "metric" (loadings equal) or "strong" (and no residual variance between)
    free : loadings (``f=~x2``) and residual variances (``x2~~x2``) that are free nevertheless
    std_lv : whether variances of factors within are one, and no loading is

    Raises
    ------
    OptionError
        The model says more, or `free` names what is not there.
    """
    for statement in equations.statements:
        if not isinstance(statement, Relation) or statement.operator == "~" or any(
            term.variable is None for term in statement.terms
        ):  # fmt: skip
            raise OptionError(
                f"levels=True takes a measurement model of =~ and ~~ alone, not {statement}"
            )
    rows = parameter_table(equations, Conventions(std_lv=std_lv)).rows
    latent = tuple(dict.fromkeys(row.lhs for row in rows if row.op == "=~"))
    residuals = [
        row.lhs for row in rows if row.op == "~~" and row.lhs == row.rhs and row.lhs not in latent
    ]
    loadings = {row.plain for row in rows if row.op == "=~"}
    named = loadings | {f"{name}~~{name}" for name in residuals}
    kept = {"".join(name.split()) for name in free}
    for name in sorted(kept - named):
        raise OptionError(f"free: there is no parameter {name!r}; {nearest(name, sorted(named))}")
    within = [_statement(row, row.plain not in kept and rung != "configural") for row in rows
              if row.user or (std_lv and row.lhs in latent)]  # fmt: skip
    between = []
    for row in rows:
        own = row.lhs == row.rhs and row.op == "~~"
        if rung == "strong" and row.op == "~~" and row.lhs not in latent:
            if row.user and not own and not {f"{n}~~{n}" for n in (row.lhs, row.rhs)} <= kept:
                continue
            if own and row.plain not in kept:
                between.append(f"{show_variable(row.lhs)} ~~ 0*{show_variable(row.lhs)}")
                continue
        if std_lv and own and row.lhs in latent and rung != "configural":
            between.append(f"{show_variable(row.lhs)} ~~ NA*{show_variable(row.lhs)}")
        elif row.user or (std_lv and row.lhs in latent):
            between.append(_statement(row, row.plain not in kept and rung != "configural"))
    return "\n".join(["level: 1", *within, "level: 2", *between])


def _statement(row: Parameter, equal: bool) -> str:
    """A row as a statement; a free loading bears a label of its own where it is to be equal."""
    left, right = show_variable(row.lhs), show_variable(row.rhs)
    if not row.free:
        return f"{left} {row.op} {row.value!r}*{right}"
    label = row.label
    if row.op == "=~" and equal and not label:
        label = "".join(c if c.isalnum() and c.isascii() else "_" for c in f"l_{row.lhs}_{row.rhs}")
    if row.op == "=~" and not equal:
        label = ""
    # NA keeps the first loading free where a variance of one identifies the factor.
    return f"{left} {row.op} NA*{label + '*' if label else ''}{right}"
