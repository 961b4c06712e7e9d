"""Random slopes in the parameter table: ``y ~ rv("s")*x`` within, ``s`` as a variable between.

What a cluster's slope does to y is what anything does that adds to y: it is carried on by the paths
from y. So the product s*x stands in the block as a variable with a path of one to y, and the
covariances of y with it are the effects of a unit of s*x on all variables. Its variance of one is
an auxiliary, and is taken out of the covariance within clusters again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from teamlink.structural.conventions import Entry
from teamlink.syntax.equations import Equations
from teamlink.syntax.statements import Modifier, Relation

__all__ = ["Slope", "between_entries", "slope_names", "within_entries"]


@dataclass(frozen=True, slots=True)
class Slope:
    """A path that varies among clusters.

    Attributes
    ----------
    outcome, predictor : of the path, at the first level
    name : under which the slope is a variable of the second level
    group : 1, 2, ...
    """

    outcome: str
    predictor: str
    name: str
    group: int

    @property
    def product(self) -> str:
        """The variable that stands for slope times predictor."""
        return f"{self.name}*{self.predictor}"


def slope_names(equations: Equations) -> frozenset[str]:
    """Names of all random slopes of a model."""
    return frozenset(
        str(value)
        for relation in equations.statements
        if isinstance(relation, Relation)
        for term in relation.terms
        for modifier in term.modifiers
        if modifier.kind == "slope"
        for value in modifier.values
    )


def within_entries(
    equations: Equations, entries: Sequence[Entry], group: int, level: int, levels: int
) -> tuple[list[Entry], list[Slope]]:
    """The rows of a block with each random slope put as a product, and the slopes.

    Raises
    ------
    FormulaError
        A random slope where there can be none.
    """
    done: list[Entry] = []
    slopes: list[Slope] = []
    for entry in entries:
        modifier = next((m for m in entry.modifiers if m.kind == "slope"), None)
        if modifier is None:
            done.append(entry)
            continue
        if levels != 2 or level != 1:
            message = "a random slope, rv(...), stands in level 1 of a model with two levels"
            raise equations.fault(message, modifier)
        if entry.op != "~" or len(entry.modifiers) > 1 or len(modifier.values) > 1:
            message = 'a random slope is written y ~ rv("s")*x, without other modifiers'
            raise equations.fault(message, modifier)
        slope = Slope(entry.lhs, entry.rhs, str(modifier.values[0]), group)
        _check_predictor(equations, entries, slope, modifier)
        if any(other.name == slope.name for other in slopes):
            raise equations.fault(f"the slope {slope.name!r} has two paths", modifier)
        slopes.append(slope)
        one, none = (Modifier("fix", (value,)) for value in (1.0, 0.0))
        name = slope.product
        # The predictor stays one: convention adds what it adds where a slope is fixed.
        done.append(Entry(slope.outcome, "~", entry.rhs, True, (none,), entry.start, entry.end))
        done.append(Entry(slope.outcome, "~", name, True, (one,), entry.start, entry.end))
        done.append(Entry(name, "~~", name, True, (one,), entry.start, entry.end))
        done.append(Entry(name, "~1", "", True, (none,), entry.start, entry.end))
    return done, slopes


def _check_predictor(
    equations: Equations, entries: Sequence[Entry], slope: Slope, modifier: Modifier
) -> None:
    """Refuse a predictor that is no variable of the data, or that the outcome acts on."""
    if any(entry.op == "=~" and entry.lhs == slope.predictor for entry in entries):
        message = f"{slope.predictor!r} is a factor: a random slope needs an observed predictor"
        raise equations.fault(message, modifier)
    paths = [(e.rhs, e.lhs) for e in entries if e.op == "~"]
    paths += [(e.lhs, e.rhs) for e in entries if e.op == "=~"]
    reached, before = {slope.outcome}, set[str]()
    while reached != before:
        before = set(reached)
        reached |= {end for start, end in paths if start in reached}
    if slope.predictor in reached:
        message = f"{slope.predictor!r} depends on {slope.outcome!r}: its slope cannot be random"
        raise equations.fault(message, modifier)


def between_entries(entries: Sequence[Entry], slopes: Sequence[Slope]) -> list[Entry]:
    """The rows of a second level, in which every slope has a variance."""
    named = {(entry.lhs, entry.op, entry.rhs) for entry in entries}
    missing = [s.name for s in slopes if (s.name, "~~", s.name) not in named]
    return [*entries, *(Entry(name, "~~", name, True) for name in missing)]
