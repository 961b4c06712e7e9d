"""What a growth curve asks for, and the formula that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from teamlink.errors import OptionError, check_option, nearest
from teamlink.growth.coding import TimeCoding
from teamlink.syntax.expression import show_name

__all__ = ["Choice", "Predictors", "Specification", "chosen", "spread_over"]

Choice: TypeAlias = str | Sequence[str]
"""Growth coefficients: "all", one of them, or several."""

Predictors: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[str]]
"""Columns, or the columns for each growth coefficient."""

ByCoefficient: TypeAlias = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Specification:
    """The parts of a growth curve.

    Attributes
    ----------
    outcome, unit, group : columns; no group in a curve of two levels
    predictors, time_varying : growth coefficient to what predicts it
    random, group_random : growth coefficients that vary over units, and over groups
    correlated, group_correlated : whether these are correlated
    """

    outcome: str
    unit: str
    group: str | None
    predictors: ByCoefficient
    time_varying: ByCoefficient
    random: tuple[str, ...]
    group_random: tuple[str, ...]
    correlated: bool
    group_correlated: bool

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns of all predictors."""
        both = [*self.predictors.values(), *self.time_varying.values()]
        return tuple(dict.fromkeys(name for term in sum(both, ()) for name in term.split(":")))

    @property
    def invariant(self) -> tuple[str, ...]:
        """Columns that may not vary within a unit."""
        terms = sum(self.predictors.values(), ())
        return tuple(dict.fromkeys(name for term in terms for name in term.split(":")))

    def formula(self, coding: TimeCoding) -> str:
        """The text for `teamlink.lmm`, with growth as it is coded."""
        texts = {"intercept": "1"} | {term.name: term.text for term in coding.terms}
        fixed = [term.text for term in coding.terms]
        for name, text in texts.items():
            both = (*self.predictors.get(name, ()), *self.time_varying.get(name, ()))
            shown = [":".join(map(show_name, term.split(":"))) for term in dict.fromkeys(both)]
            fixed += shown if name == "intercept" else [f"{text}:{term}" for term in shown]
        bars = [_bar(self.random, texts, self.correlated, self.unit)]
        if self.group is not None:
            bars.append(_bar(self.group_random, texts, self.group_correlated, self.group))
        return f"{show_name(self.outcome)} ~ " + " + ".join([*fixed, *filter(None, bars)])


def _bar(names: Sequence[str], texts: Mapping[str, str], correlated: bool, by: str) -> str:
    if not names:
        return ""
    effects = [texts[name] for name in texts if name in names]
    if effects[0] != "1":
        effects = ["0", *effects]
    elif len(effects) > 1:
        effects = effects[1:]
    return f"({' + '.join(effects)} {'|' if correlated else '||'} {show_name(by)})"


def chosen(argument: str, choice: Choice, names: Sequence[str]) -> tuple[str, ...]:
    """The growth coefficients that are chosen, in their own order.

    Parameters
    ----------
    argument : whose choice it is, for errors
    choice : "all", one, or several
    names : growth coefficients of the shape

    Examples
    --------
    >>> chosen("random", ["linear", "intercept"], ("intercept", "linear", "quadratic"))
    ('intercept', 'linear')
    """
    if isinstance(choice, str) and choice == "all":
        return tuple(names)
    wanted = [choice] if isinstance(choice, str) else list(choice)
    for name in wanted:
        check_option(argument, name, [*names, *(["all"] if isinstance(choice, str) else [])])
    return tuple(name for name in names if name in wanted)


def spread_over(
    argument: str, given: Predictors, names: Sequence[str], default: Sequence[str]
) -> ByCoefficient:
    """Predictors by the growth coefficient that they predict.

    Parameters
    ----------
    argument : whose predictors they are, for errors
    given : columns, or a mapping from growth coefficients to columns
    names : growth coefficients of the shape
    default : those that plain columns predict

    Examples
    --------
    >>> spread_over("predictors", ["female"], ("intercept", "linear"), ("intercept", "linear"))
    {'intercept': ('female',), 'linear': ('female',)}
    """
    if not isinstance(given, Mapping):
        listed = _listed(given)
        return dict.fromkeys(default, listed) if listed else {}
    for name in given:
        if name not in names:
            raise OptionError(
                f"{argument}: no growth coefficient {name!r}; {nearest(str(name), names)}"
            )
    return {name: _listed(given[name]) for name in names if name in given}


def _listed(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
