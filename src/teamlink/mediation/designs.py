"""Designs by name: at which level each variable of the path stands.

A name lists levels along the path: ``2-1-1`` has a school-level predictor, a mediator and an
outcome measured on members of schools. What passes through a variable of the second level is a
matter between clusters, so a path has an effect within clusters only where all its variables vary
there.
"""

from __future__ import annotations

from dataclasses import dataclass

from teamlink.errors import OptionError, check_option

__all__ = ["DESIGNS", "Design", "design_of"]


@dataclass(frozen=True, slots=True)
class Design:
    """A named design.

    Attributes
    ----------
    name : as it is called
    x, y : level of the predictor and of the outcome
    mediators : levels of the mediators; one level serves any number of them
    two_level : whether the equations have two levels
    words : what it is, in a sentence
    """

    name: str
    x: int
    mediators: tuple[int, ...]
    y: int
    two_level: bool
    words: str


_ALL = (
    Design("1-1-1", 1, (1,), 1, True, "all vary within and between clusters"),
    Design("2-1-1", 2, (1,), 1, True, "the predictor belongs to the cluster"),
    Design("2-2-1", 2, (2,), 1, True, "predictor and mediators belong to the cluster"),
    Design("2-2-1-1", 2, (2, 1), 1, True, "the first of two serial mediators is the cluster's"),
    Design("2-2-2", 2, (2,), 2, False, "all are values, or means, of clusters: one row a cluster"),
    Design("single", 1, (1,), 1, False, "rows without clusters"),
)

DESIGNS = {design.name: design for design in _ALL}


def design_of(name: str, mediators: int, serial: bool) -> Design:
    """The design of a name, with a level for every mediator.

    Raises
    ------
    OptionError
        There is no such design, or it has another number of mediators.

    Examples
    --------
    >>> design_of("2-1-1", 2, serial=False).mediators
    (1, 1)
    """
    check_option("design", name, list(DESIGNS))
    found = DESIGNS[name]
    if len(found.mediators) == 1:
        levels = found.mediators * mediators
    elif len(found.mediators) == mediators and serial:
        levels = found.mediators
    else:
        raise OptionError(
            f"design={name!r} has {len(found.mediators)} serial mediators: give m=[first, second] "
            "and serial=True"
        )
    return Design(found.name, found.x, levels, found.y, found.two_level, found.words)
