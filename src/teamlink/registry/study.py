"""The nouns of the registry: a study, its claims, its population values, its pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from teamlink.simulation.design import SchoolSurvey
from teamlink.typing import Direction

__all__ = [
    "Citation",
    "Claim",
    "Context",
    "Levels",
    "ModelText",
    "Pipeline",
    "PopulationValue",
    "Provenance",
    "RealData",
    "Reference",
    "Scale",
    "Study",
]

Provenance: TypeAlias = Literal["published", "derived", "assumed"]
"""Where a population value comes from: print, arithmetic on print, or us."""


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a study stands in print; `short` is the form used in tables."""

    authors: str
    short: str
    year: int
    title: str
    published_in: str
    doi: str = ""
    url: str = ""
    isbn: str = ""

    def __str__(self) -> str:
        where = f"https://doi.org/{self.doi}" if self.doi else self.url
        where = where or (f"ISBN {self.isbn}" if self.isbn else "")
        end = f" {where}" if where else ""
        return f"{self.authors} ({self.year}). {self.title}. {self.published_in}.{end}"


@dataclass(frozen=True, slots=True)
class PopulationValue:
    """One fact or assumption about the population, and why it has this value.

    Attributes
    ----------
    name, value : such as "math.prior" and 0.7
    status : "published", "derived" (arithmetic on published values) or "assumed"
    source : name of one of the study's sources
    reason : why this value; for a published value, where in the source it stands
    """

    name: str
    value: float
    status: Provenance
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A school scale made of survey items: the mean over items and teachers of a school.

    Attributes
    ----------
    name : column that the analysis uses
    items : columns of the teacher file
    by : the school's id
    standardize : divide by the SD over schools, so that a coefficient is per SD of the scale
    """

    name: str
    items: tuple[str, ...]
    by: str
    standardize: bool


@dataclass(frozen=True, slots=True)
class Context:
    """The school mean of a student column, as a column of its own."""

    name: str
    column: str


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of a categorical column, the reference category first."""

    column: str
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelText:
    """The model of one outcome, as a formula."""

    outcome: str
    formula: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the analyst does with the files: scales, context, coding of categories, models."""

    models: tuple[ModelText, ...]
    scales: tuple[Scale, ...] = ()
    context: tuple[Context, ...] = ()
    levels: tuple[Levels, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a publication says: an effect, its direction, and where it says so.

    Attributes
    ----------
    id : such as "G07a"
    text : the claim in words
    outcome, term : which coefficient of which model
    direction : "positive", "negative" or "null"
    level : level of the predictor: "school", "student", "cross-level", ...
    source : name of one of the study's sources
    effect : population value behind the claim, for simulated studies
    planted : size of the effect that the controls of a null claim plant
    unit : what the coefficient is per, in words
    """

    id: str
    text: str
    outcome: str
    term: str
    direction: Direction
    level: str
    source: str
    effect: str = ""
    planted: float = 0.0
    unit: str = ""

    def control_effects(self, value: float) -> tuple[float, float]:
        """Effects of the two controls, where the study's own effect is `value`.

        For a claim with a direction: none, and one of the same size against the publication. For
        a null claim: `planted`, with either sign.

        Examples
        --------
        >>> claim = Claim("A1", "", "math", "x", "positive", "school", "abstract")
        >>> claim.control_effects(0.08)
        (0.0, -0.08)
        """
        if self.direction == "null":
            return self.planted, -self.planted
        against = -1.0 if self.direction == "positive" else 1.0
        return 0.0, against * abs(value)


@dataclass(frozen=True, slots=True)
class RealData:
    """A study whose data ship with teamlink, by the data set's name."""

    dataset: str


@dataclass(frozen=True, slots=True)
class Reference:
    """What another program says about the model of a study.

    Attributes
    ----------
    program : name and version
    quantity : "estimate", "std_error" or "deviance"
    term : coefficient, empty for the deviance
    value : as printed by the program
    tolerance : relative difference allowed
    """

    program: str
    quantity: str
    term: str
    value: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Study:
    """A cited study: what it had, what it claimed, and how it is run again.

    Attributes
    ----------
    key : the study's name in the registry, such as "goddard-2007"
    title : a few words for tables
    status : "ready" (run by default) or "draft"
    citation : where it stands in print
    sources : source name to what it is; every value and claim names one
    design : `SchoolSurvey` for a simulated study, `RealData` for one with its data
    population : facts and assumptions, each with its provenance
    pipeline : what the analyst does
    claims : what the publication says
    estimand : what the true value of a claim's coefficient is, in words
    references : other programs' answers, for real data
    """

    key: str
    title: str
    status: str
    citation: Citation
    sources: Mapping[str, str]
    design: SchoolSurvey | RealData
    population: tuple[PopulationValue, ...]
    pipeline: Pipeline
    claims: tuple[Claim, ...]
    estimand: str
    references: tuple[Reference, ...] = ()

    @property
    def basis(self) -> str:
        """Whether its data are simulated or real, in words."""
        return "real data" if isinstance(self.design, RealData) else "simulated data"

    @property
    def values(self) -> dict[str, float]:
        """Population values, by name."""
        return {v.name: v.value for v in self.population}

    @property
    def sizes(self) -> str:
        """How many schools, teachers and students, in words."""
        values = self.values
        names = [n for n in ("schools", "teachers", "students") if n in values]
        return ", ".join(f"{int(values[n]):,} {n}" for n in names)

    @property
    def parameters(self) -> dict[str, float]:
        """The population values that the generator takes."""
        if isinstance(self.design, RealData):
            return {}
        known = {p.name for p in self.design.parameters}
        return {name: value for name, value in self.values.items() if name in known}
