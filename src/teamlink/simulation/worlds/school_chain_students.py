r"""Schools whose features act on each other along paths, with students who are tested.

As `school_chain`, but some features are no column of the school file: they are what the tests of
its students have in common.

.. math:: y_{pj} = \sqrt{\rho}\, z_{j} + \sqrt{1 - \rho}\, \varepsilon_{pj}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import Fault, nearest
from teamlink.simulation.sizes import spread, too_thin
from teamlink.simulation.world import Parameter, Tables
from teamlink.simulation.worlds.school_chain import SchoolChain

__all__ = ["WORLD", "SchoolChainStudents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolChainStudents(SchoolChain):
    """Features of schools in causal order, surveyed teachers and tested students: three files.

    Attributes
    ----------
    students : exact total, spread unequally
    tested : features that only the scores of students tell of
    min_students : students of the smallest school

    Examples
    --------
    >>> world = SchoolChainStudents(
    ...     schools=177, teachers=3540, students=5712, items=4, points=4,
    ...     variables=("leadership", "science"), surveyed=("leadership",), tested=("science",),
    ... )
    >>> world.columns["students"], world.columns["schools"]
    (('school', 'student', 'science'), ('school', 'n_teachers', 'n_students'))
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers", "students", "items", "points")

    students: int
    tested: tuple[str, ...]
    min_students: int = 10

    def _faults(self) -> list[Fault]:
        found = SchoolChain._faults(self)
        found += too_thin(self, "schools", students=self.min_students)
        features = [name for name in self.variables if name not in self.surveyed]
        found += [
            Fault(
                f"{name!r} is no variable that is not surveyed", "tested", nearest(name, features)
            )
            for name in self.tested
            if name not in features
        ]
        return found

    @property
    def reported(self) -> tuple[str, ...]:
        """Features that the school file has a column of."""
        elsewhere = (*self.surveyed, *self.tested)
        return tuple(name for name in self.variables if name not in elsewhere)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the three files."""
        teachers = SchoolChain.columns.__get__(self)["teachers"]
        return {
            "students": ("school", "student", *self.tested),
            "teachers": teachers,
            "schools": ("school", "n_teachers", "n_students", *self.reported),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column of each file that names its rows."""
        return {"students": ("student",), "teachers": ("teacher",), "schools": ("school",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        share = "share of the variance of students' {} between schools"
        return (
            *SchoolChain.parameters.__get__(self),
            *(
                Parameter(f"{name}.icc", share.format(name), 0.001, 0.999, 0.2)
                for name in self.tested
            ),
            Parameter(
                "sizes.students_cv", "coefficient of variation of students a school", 0, 1, 0.15
            ),
        )

    def scaled(self, times: int) -> SchoolChainStudents:
        """Give the same world with `times` as many schools, teachers and students."""
        return replace(
            self,
            schools=self.schools * times,
            teachers=self.teachers * times,
            students=self.students * times,
        )

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        cv = population["sizes.students_cv"]
        n_students = spread(self.students, self.schools, cv, self.min_students, rng)
        noise = rng.standard_normal((self.students, len(self.tested)))
        z, schools, teachers = self._draw(population, rng)
        of = np.repeat(np.arange(self.schools), n_students)
        students = pd.DataFrame({"school": of + 1, "student": np.arange(1, self.students + 1)})
        for k, name in enumerate(self.tested):
            r = population[f"{name}.icc"]
            latent = z[of, self.variables.index(name)]
            students[name] = np.sqrt(r) * latent + np.sqrt(1 - r) * noise[:, k]
        schools.insert(2, "n_students", n_students)
        return Tables(students=students, teachers=teachers, schools=schools)


WORLD = SchoolChainStudents
