"""The nouns of the registry: a study, its claims, its population values, its pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from teamlink.registry.analysis import Analysis
from teamlink.registry.prepared import Step
from teamlink.simulation.world import World
from teamlink.typing import Direction

__all__ = [
    "Citation",
    "Claim",
    "Model",
    "Pipeline",
    "PopulationValue",
    "Provenance",
    "RealData",
    "Reconciliation",
    "Reference",
    "Study",
]

Provenance: TypeAlias = Literal["published", "derived", "assumed"]
"""Where a population value comes from: print, arithmetic on print, or us."""

NOT_UNITS = ("items", "points")
"""Sizes of a survey's form, which are no units of a sample."""


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
        stop = "" if self.title.endswith(("?", "!")) else "."
        return f"{self.authors} ({self.year}). {self.title}{stop} {self.published_in}.{end}"


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
class Model:
    """One model of the analyst.

    Attributes
    ----------
    name : what claims call it; the outcome where nothing else is said
    kind : kind of analysis, such as "lmm" or "sem"
    analysis : the model itself
    """

    name: str
    kind: str
    analysis: Analysis

    @property
    def text(self) -> str:
        """The model as reports print it."""
        return self.analysis.text


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the analyst does with the files: steps that prepare them, then models."""

    models: tuple[Model, ...]
    steps: tuple[Step, ...] = ()

    def model(self, name: str) -> Model | None:
        """Give the model of a name; None where there is none."""
        return next((m for m in self.models if m.name == name), None)


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
    model : name of the model that answers it, where it is not the outcome
    scale : "difference"; or "ratio" where the analysis answers with a logarithm and reports print
        the ratio
    magnitude : size seen in a source, None where none was; 95 % intervals are held to it
    controls : population values under each of the two controls, where `effect` does not say it all
    truth : where the true value comes from: "difference" (the pipeline's answer in a large world
        less its answer there without the effect), "estimate" (its answer in a large world), or the
        name of a population value or closed form of the world
    power : share of replicates in which the controls of a null claim must be detected
    goals : those of the study's goals that this claim is about; all of them where none is named
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
    model: str = ""
    scale: Literal["difference", "ratio"] = "difference"
    magnitude: float | None = None
    controls: tuple[Mapping[str, float], ...] = ()
    truth: str = "difference"
    power: float = 0.8
    goals: tuple[str, ...] = ()

    @property
    def answered_by(self) -> str:
        """Name of the model that answers it."""
        return self.model or self.outcome

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

    def changes(self, values: Mapping[str, float]) -> tuple[Mapping[str, float], ...]:
        """Population values that the two controls change, and to what."""
        if self.controls:
            return self.controls
        return tuple({self.effect: e} for e in self.control_effects(values[self.effect]))


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
class Reconciliation:
    """How one population gives the findings of two studies that contradict each other.

    Attributes
    ----------
    other : key of the other study, whose population this one shares
    text : what makes the difference
    claims : ids of the claims of both studies that contradict
    """

    other: str
    text: str
    claims: tuple[str, ...]


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
    design : the world of a simulated study, `RealData` for one with its data
    population : facts and assumptions, each with its provenance
    pipeline : what the analyst does
    claims : what the publication says
    estimand : what the true value of a claim's coefficient is, in words
    references : other programs' answers, for real data
    kind : kind of world, such as "school-survey"; "real-data"
    practices, goals, supports : what in schools the study speaks of, see `teamlink.registry.tags`
    controls : "together" where the controls of all claims are run in the same two worlds; "each"
        where every claim has its own
    truth_times : how many times as large the world is whose answers give the true values
    reconciliation : how it agrees with a study that it contradicts
    """

    key: str
    title: str
    status: str
    citation: Citation
    sources: Mapping[str, str]
    design: World | RealData
    population: tuple[PopulationValue, ...]
    pipeline: Pipeline
    claims: tuple[Claim, ...]
    estimand: str
    references: tuple[Reference, ...] = ()
    kind: str = ""
    practices: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    supports: tuple[str, ...] = ()
    controls: Literal["together", "each"] = "together"
    truth_times: int = 100
    reconciliation: Reconciliation | None = None

    @property
    def basis(self) -> str:
        """Whether its data are simulated or real, in words."""
        return "real data" if isinstance(self.design, RealData) else "simulated data"

    @property
    def values(self) -> dict[str, float]:
        """Population values, by name."""
        return {v.name: v.value for v in self.population}

    @property
    def levels(self) -> list[dict[str, Any]]:
        """Units of the design, the fewest first: `name` and number `n` of each."""
        values = self.values
        known: tuple[str, ...] = ("schools", "teachers", "students")
        if not isinstance(self.design, RealData):
            known += tuple(n for n in self.design.sizes if n not in (*known, *NOT_UNITS))
        said = {f"{n}s": f"{getattr(self.design, n, n)}s" for n in ("unit", "group")}
        found = [
            {"name": said.get(n, n).replace("_", " "), "n": int(values[n])}
            for n in known
            if n in values
        ]
        return sorted(found, key=lambda level: level["n"])

    @property
    def sizes(self) -> str:
        """How many schools, teachers, students and so on, in words."""
        named = ((level["n"], level["name"]) for level in self.levels)
        return ", ".join(f"{n:,} {name.removesuffix('s') if n == 1 else name}" for n, name in named)

    @property
    def parameters(self) -> dict[str, float]:
        """The population values that the generator takes."""
        if isinstance(self.design, RealData):
            return {}
        known = {p.name for p in self.design.parameters}
        return {name: value for name, value in self.values.items() if name in known}
