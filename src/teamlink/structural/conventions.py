"""The rows that convention adds to a model, as lavaan's sem(), cfa() and growth() add them.

Roles within a block: a latent variable stands left of ``=~``; an indicator right of it; an
exogenous observed variable predicts and is neither indicator nor outcome. An exogenous variable
whose variance, covariance or intercept the model names is no longer fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement

from teamlink.syntax.statements import Modifier

__all__ = ["Conventions", "Entry", "Roles", "completed", "roles_of"]

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Conventions:
    """Which rows are added, and how.

    Attributes
    ----------
    meanstructure : intercepts of all variables
    std_lv : factors have variance one, and no loading is fixed
    fixed_x : moments of exogenous observed variables are those of the sample
    growth : intercepts of observed variables are zero, means of factors free
    orthogonal : factors do not covary
    group_equal : classes of parameters that are equal over groups
    group_partial : exceptions, as in ``"x1~1"``
    """

    meanstructure: bool = False
    std_lv: bool = False
    fixed_x: bool = True
    growth: bool = False
    orthogonal: bool = False
    group_equal: tuple[str, ...] = ()
    group_partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of one block before modifiers are applied."""

    lhs: str
    op: str
    rhs: str
    user: bool = False
    modifiers: tuple[Modifier, ...] = ()
    start: int = 0
    end: int = 0
    free: bool = True
    value: float = _NAN
    exogenous: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is."""
        return self.lhs, self.op, self.rhs


@dataclass(frozen=True, slots=True)
class Roles:
    """What each variable of a block is; each tuple in the order of the model.

    Attributes
    ----------
    latent, observed : all
    exogenous : observed and fixed to the moments of the sample, if those are fixed at all
    latent_exogenous : no indicator of another factor and regressed on nothing
    outcomes : regressed, predict nothing and indicate nothing; factors first
    """

    latent: tuple[str, ...]
    observed: tuple[str, ...]
    exogenous: tuple[str, ...]
    latent_exogenous: tuple[str, ...]
    outcomes: tuple[str, ...]


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def roles_of(entries: Sequence[Entry], elsewhere: frozenset[str] = frozenset()) -> Roles:
    """Say what each variable of a block is.

    Parameters
    ----------
    entries : rows that the model names
    elsewhere : variables that are regressed at another level, hence not exogenous here
    """
    latent = _unique(e.lhs for e in entries if e.op == "=~")
    indicators = _unique(e.rhs for e in entries if e.op == "=~")
    outcomes = _unique(e.lhs for e in entries if e.op == "~")
    predictors = _unique(e.rhs for e in entries if e.op == "~")
    measured = [name for name in indicators if name not in latent]
    endogenous = [name for name in outcomes if name not in latent and name not in indicators]
    used = {*latent, *indicators, *outcomes, *elsewhere}
    exogenous = [name for name in predictors if name not in used]
    products = [name for name in exogenous if ":" in name and set(name.split(":")) & set(outcomes)]
    exogenous = [name for name in exogenous if name not in products]
    shifted = [
        name for name in predictors if name in elsewhere and name not in (*latent, *measured)
    ]
    covarying = [n for e in entries if e.op == "~~" for n in (e.lhs,)]
    covarying += [n for e in entries if e.op == "~~" for n in (e.rhs,)]
    said = [e.lhs for e in entries if e.op == "~1"]
    rest = [name for name in (*covarying, *said) if name not in latent]
    observed = _unique([*measured, *endogenous, *products, *exogenous, *shifted, *rest])
    named = {name for e in entries if e.op == "~~" for name in (e.lhs, e.rhs)} | set(said)
    regressed = [n for n in outcomes if n not in indicators and n not in predictors]
    return Roles(
        latent,
        observed,
        tuple(name for name in exogenous if name not in named),
        tuple(name for name in latent if name not in indicators and name not in outcomes),
        (
            *(name for name in latent if name in regressed),
            *(name for name in observed if name in regressed),
        ),
    )


def completed(
    entries: Sequence[Entry], roles: Roles, conventions: Conventions, group: int
) -> list[Entry]:
    """The rows of a block with those that convention adds.

    Parameters
    ----------
    entries : rows that the model names
    roles : of the variables in them
    conventions : which to add
    group : number of the group, from 1
    """
    named = {e.key for e in entries} | {(e.rhs, e.op, e.lhs) for e in entries if e.op == "~~"}
    added = [e for e in _added(roles, conventions) if e.key not in named]
    rows = [_conventional(e, roles, conventions, group) for e in (*entries, *added)]
    if not conventions.std_lv:
        rows = _markers(rows)
    return _single_indicators(rows, roles)


def _added(roles: Roles, conventions: Conventions) -> list[Entry]:
    """Variances, covariances and intercepts of a block, in lavaan's order."""
    inner = [name for name in roles.observed if name not in roles.exogenous]
    pairs = [(name, name) for name in (*inner, *roles.latent)]
    pairs += combinations(roles.latent_exogenous, 2)
    pairs += combinations(roles.outcomes, 2)
    pairs += combinations_with_replacement(roles.exogenous, 2)
    found = [Entry(left, "~~", right) for left, right in pairs]
    if conventions.meanstructure:
        found += [Entry(name, "~1", "") for name in (*roles.observed, *roles.latent)]
    return found


def _conventional(entry: Entry, roles: Roles, conventions: Conventions, group: int) -> Entry:
    """Whether a row is free, and the value of one that is not, before its own modifiers."""
    fixed = False
    value = _NAN
    latent = entry.lhs in roles.latent
    if entry.op == "~~":
        both = latent and entry.rhs in roles.latent
        if entry.lhs == entry.rhs and latent and conventions.std_lv:
            later = group > 1 and not entry.user and "loadings" in conventions.group_equal
            fixed = not later or "lv_variances" in conventions.group_equal
            value = 1.0
        elif both and entry.lhs != entry.rhs and conventions.orthogonal and not entry.user:
            fixed, value = True, 0.0
    elif entry.op == "~1" and not entry.user:
        if latent:
            later = group > 1 and "intercepts" in conventions.group_equal
            freed = conventions.growth or (later and "means" not in conventions.group_equal)
            fixed, value = not freed, 0.0
        else:
            fixed, value = conventions.growth, 0.0
    exogenous = entry.lhs in roles.exogenous and entry.op in ("~~", "~1") and not entry.user
    if exogenous and conventions.fixed_x:
        return replace(entry, free=False, value=_NAN, exogenous=True)
    return replace(entry, free=False, value=value) if fixed else entry


def _markers(rows: list[Entry]) -> list[Entry]:
    """Fix the first loading of each factor at one."""
    seen: set[str] = set()
    done = []
    for row in rows:
        if row.op == "=~" and row.lhs not in seen:
            seen.add(row.lhs)
            row = replace(row, free=False, value=1.0)
        done.append(row)
    return done


def _single_indicators(rows: list[Entry], roles: Roles) -> list[Entry]:
    """The residual variance of a factor's only indicator is zero, unless the model names it."""
    loadings = [row for row in rows if row.op == "=~"]
    per_factor = {name: [r.rhs for r in loadings if r.lhs == name] for name in roles.latent}
    counted = [row.rhs for row in loadings]
    single = {
        inner[0]
        for inner in per_factor.values()
        if len(inner) == 1 and counted.count(inner[0]) == 1
    }
    return [
        replace(row, free=False, value=0.0)
        if row.op == "~~" and not row.user and row.lhs == row.rhs and row.lhs in single
        else row
        for row in rows
    ]
