"""What was asked: the variables with their parts and levels, and the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from teamlink.data.schema import names_of
from teamlink.errors import OptionError, check_option, nearest
from teamlink.mediation.designs import Design, design_of

__all__ = ["SLOPES", "Centring", "Covariates", "Specification", "specify"]

Covariates: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]]
"""Names, placed where they vary; or lists under "within", "between" and "both"."""

Centring: TypeAlias = Literal["cluster", "none"]

_PLACES = ("within", "between", "both")


@dataclass(frozen=True, slots=True)
class Specification:
    """A mediation model before it is written.

    Attributes
    ----------
    design : Design
    x, y : names of the predictor and the outcome
    mediators : names, in the order of the path where they are serial
    serial : whether each mediator acts on those after it
    cluster : column of clusters
    covariates : name to "within", "between", "both", or "" for wherever it varies
    measures : name of a scale to its items
    random_slopes : whether the slopes of the path within clusters differ among clusters
    centring : of their predictors
    """

    design: Design
    x: str
    mediators: tuple[str, ...]
    y: str
    serial: bool
    cluster: str | None
    covariates: Mapping[str, str]
    measures: Mapping[str, tuple[str, ...]]
    random_slopes: bool
    centring: Centring

    @property
    def path(self) -> tuple[str, ...]:
        """Predictor, mediators, outcome."""
        return (self.x, *self.mediators, self.y)

    @property
    def levels(self) -> dict[str, int]:
        """Level of every variable of the path."""
        own = (self.design.x, *self.design.mediators, self.design.y)
        return dict(zip(self.path, own, strict=True))

    @property
    def blocks(self) -> tuple[str, ...]:
        """Levels at which there are equations: that of clusters is "between"."""
        if self.design.two_level:
            return ("within", "between")
        return ("single",) if self.design.name == "single" else ("between",)

    def columns(self, name: str) -> tuple[str, ...]:
        """Columns of a variable: its items, or itself."""
        return tuple(self.measures.get(name, (name,)))

    @property
    def all_columns(self) -> list[str]:
        """Every column of numbers that is needed."""
        own = [column for name in self.path for column in self.columns(name)]
        return list(dict.fromkeys([*own, *self.covariates]))


def specify(
    design: str, x: str, m: str | Sequence[str], y: str, *, serial: bool, cluster: str | None,
    covariates: Covariates, measures: Mapping[str, Sequence[str]] | None, random_slopes: bool,
    centring: Centring,
) -> Specification:  # fmt: skip
    """Check options, and put them together.

    Raises
    ------
    OptionError
        A design or option that is not offered, or options that do not go together.
    """
    mediators = tuple(names_of(m))
    if not mediators:
        raise OptionError("m: name at least one mediator")
    if serial and len(mediators) < 2:
        raise OptionError("serial=True: give several mediators in the order of the path, m=[...]")
    found = design_of(design, len(mediators), serial)
    check_option("centring", centring, ["cluster", "none"])
    scales = {name: tuple(names_of(items)) for name, items in (measures or {}).items()}
    _check_parts((x, *mediators, y), _placed(covariates), scales, cluster)
    if found.two_level and cluster is None:
        raise OptionError(f"design={design!r} has two levels: name the clusters' column, cluster=")
    _check_made((x, *mediators, y), _placed(covariates), scales, random_slopes)
    if random_slopes:
        _check_slopes(design, mediators, scales)
    elif centring != "cluster":
        raise OptionError("centring goes with random_slopes=True; elsewhere means are latent")
    return Specification(
        found, x, mediators, y, serial, cluster, _placed(covariates), scales, random_slopes,
        centring,
    )  # fmt: skip


def _placed(covariates: Covariates) -> dict[str, str]:
    """Name of each covariate to the place that was asked for it."""
    if not isinstance(covariates, Mapping):
        return dict.fromkeys(names_of(covariates), "")
    for place in covariates:
        check_option("covariates", place, _PLACES)
    return {name: place for place, names in covariates.items() for name in names_of(names)}


def _check_parts(
    path: tuple[str, ...], covariates: Mapping[str, str], scales: Mapping[str, tuple[str, ...]],
    cluster: str | None,
) -> None:  # fmt: skip
    """Every variable has one part to play, and scales are those of the path."""
    parts = [*path, *covariates, *([] if cluster is None else [cluster])]
    said = [
        f"{name!r} has two parts; predictor, mediators, outcome, covariates and cluster differ"
        for name in dict.fromkeys(parts)
        if parts.count(name) > 1
    ]
    items = [item for own in scales.values() for item in own]
    for name, own in scales.items():
        if name not in path:
            said.append(f"measures: {name!r} is no variable of the path; {nearest(name, path)}")
        if len(own) < 2:
            said.append(f"measures: {name!r} needs two items or more")
    said += [
        f"measures: the item {item!r} has another part too"
        for item in dict.fromkeys(items)
        if items.count(item) > 1 or item in {*parts} - {*scales}
    ]
    if said:
        raise OptionError("; ".join(said))


SLOPES = {"a": "slope_a", "b": "slope_b", "c": "slope_c"}
"""Random slopes as variables of the second level."""


def _check_made(
    path: tuple[str, ...], covariates: Mapping[str, str], scales: Mapping[str, tuple[str, ...]],
    random_slopes: bool,
) -> None:  # fmt: skip
    """No column may have the name of a variable that the model makes."""
    columns = {*path, *covariates, *(item for own in scales.values() for item in own)} - {*scales}
    made = [f"{name}_{level}" for name in scales for level in ("within", "between")]
    if random_slopes:
        made += SLOPES.values()
        made += [f"{name}_{end}" for name in (*path, *covariates) for end in ("within", "mean")]
    taken = sorted(columns & {*made})
    if taken:
        shown = ", ".join(map(repr, taken))
        raise OptionError(f"{shown}: the model makes a variable of this name; rename the column")


def _check_slopes(
    design: str, mediators: tuple[str, ...], scales: Mapping[str, tuple[str, ...]]
) -> None:
    if design != "1-1-1":
        raise OptionError(f"random_slopes=True goes with design='1-1-1', not with {design!r}")
    if len(mediators) > 1:
        raise OptionError("random_slopes=True takes one mediator: m='name'")
    if scales:
        raise OptionError("random_slopes=True needs observed variables: leave out measures")
