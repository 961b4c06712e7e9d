"""What every simulated world can do, and how a kind of world is found.

A world is a frozen dataclass: its fields are the sizes and names of a study. It says which
population values a draw needs, which files it makes, and draws them. A kind of world is one file of
`teamlink.simulation.worlds`; the file's name, with hyphens, is the kind.

Draws come in a fixed order that does not depend on the effects: the runner draws every scenario of
a replicate from the same state of the generator, so that scenarios differ in their effects alone.
Draw all random numbers first, in sizes that depend on the world's fields only, then apply effects.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault, StudyError, nearest

__all__ = ["Parameter", "Tables", "World", "check_population", "generate", "world", "world_kinds"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One population value that a world needs: its name, meaning and admissible range.

    Attributes
    ----------
    name : dotted name, such as "math.prior"
    meaning : in words, with the unit
    low, high : closed range of admissible values
    default : value where a study states none; None where it must state one
    """

    name: str
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    default: float | None = None


class Tables(Mapping[str, pd.DataFrame]):
    """The files of a study by name, also as attributes: `tables["students"]`, `tables.students`.

    Examples
    --------
    >>> import pandas as pd
    >>> tables = Tables(schools=pd.DataFrame({"school": [1, 2]}))
    >>> list(tables), len(tables.schools)
    (['schools'], 2)
    """

    __slots__ = ("_frames",)

    def __init__(self, **frames: pd.DataFrame) -> None:
        self._frames = frames

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self._frames[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name.startswith("_") or name not in self._frames:
            raise AttributeError(f"there is no file {name!r}; {nearest(name, self._frames)}")
        return self._frames[name]

    def __reduce__(self) -> Any:
        return _tables, (self._frames,)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {len(frame):,} rows" for name, frame in self.items())
        return f"<Tables {shown}>"


def _tables(frames: dict[str, pd.DataFrame]) -> Tables:
    return Tables(**frames)


@runtime_checkable
class World(Protocol):
    """A simulated world: a frozen dataclass with these members.

    Its fields are keys of a study file's `[design]` table, but for those named in `sizes`, which
    are whole numbers among the population values. `__post_init__` raises `DesignError` with every
    fault of the fields.
    """

    sizes: ClassVar[tuple[str, ...]]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """Columns of each file."""

    @property
    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """The columns of each file that together name a row."""

    def check(self, population: Mapping[str, float]) -> Sequence[Fault]:
        """List what is wrong with `population`; most worlds return `check_population(...)`."""

    def scaled(self, times: int) -> Self:
        """Give the same world with `times` as many units at its highest level."""

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once; `population` has a value for every parameter."""


def check_population(
    parameters: Sequence[Parameter], population: Mapping[str, float]
) -> tuple[Fault, ...]:
    """List what is wrong with `population`: unknown, missing, or out of range.

    Parameters
    ----------
    parameters : sequence of Parameter
    population : mapping
        Parameter name to value.

    Returns
    -------
    tuple of Fault
        Empty where nothing is wrong.

    Examples
    --------
    >>> for fault in check_population([Parameter("frl.share", "share", 0, 1)], {"frl.shar": 0.5}):
    ...     print(fault)
    population: unknown value 'frl.shar' (did you mean 'frl.share'?)
    population: 'frl.share' is missing (share)
    """
    known = {p.name: p for p in parameters}
    where = "population"
    faults = [
        Fault(f"unknown value {name!r}", where, nearest(name, known))
        for name in population
        if name not in known
    ]
    for name, p in known.items():
        if name not in population:
            if p.default is None:
                faults.append(Fault(f"{name!r} is missing", where, p.meaning))
        elif not p.low <= population[name] <= p.high:
            text = f"{name!r} is {population[name]:g}, outside {p.low:g} .. {p.high:g}"
            faults.append(Fault(text, f"{where} {name}", p.meaning))
    return tuple(faults)


def generate(world: World, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
    """Check the population values, fill in defaults, and draw the files of a world.

    Parameters
    ----------
    world : World
        Sizes and names.
    population : mapping
        A value for each of `world.parameters` that has no default.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Tables
        Name to pandas frame.

    Raises
    ------
    DesignError
        Population values are unknown, missing or out of range; every fault is listed.

    Examples
    --------
    >>> import numpy as np
    >>> import teamlink as tl
    >>> tl.simulate_study("goddard-2007", seed=1).schools["n_students"].sum()
    np.int64(2536)
    """
    if faults := tuple(world.check(population)):
        raise DesignError(faults)
    defaults = {p.name: p.default for p in world.parameters if p.default is not None}
    return world.draw(defaults | dict(population), rng)


@cache
def world_kinds() -> tuple[str, ...]:
    """Give the kinds of world there are.

    Examples
    --------
    >>> "school-survey" in world_kinds()
    True
    """
    package = importlib.import_module("teamlink.simulation.worlds")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name.replace("_", "-") for name in names))


def world(kind: str) -> type[World]:
    """Give the class of a kind of world.

    Examples
    --------
    >>> world("school-survey").__name__
    'SchoolSurvey'
    """
    if kind not in world_kinds():
        raise StudyError(f"there is no generator {kind!r}; {nearest(kind, world_kinds())}")
    module = importlib.import_module(f"teamlink.simulation.worlds.{kind.replace('-', '_')}")
    found: type[World] = module.WORLD
    return found
