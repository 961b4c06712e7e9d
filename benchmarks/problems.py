"""What is timed: data and a model, the same for every engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import teamlink as tl

CACHE = Path(__file__).parent / ".cache"
REFERENCE = Path(__file__).parents[1] / "tests" / "reference" / "lme4" / "data"
FACTORS = Path(__file__).parents[1] / "tests" / "reference" / "factors" / "data"

REFITS = 1000
"""Responses in the refit problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A model on data; `rounds` repetitions, each call stopped after `limit` seconds.

    Attributes
    ----------
    group : name of the grouping column
    fixed, slope : right-hand side of the fixed part and of the random part, for engines that
        take them apart
    random : the whole random part, where there are several grouping factors; for the others
        `slope` and `group` say it
    make : draws or loads the data
    refit : responses to refit, 0 for a plain fit
    family : of a generalized model by Laplace's approximation; None for a linear one
    """

    name: str
    title: str
    response: str
    fixed: str
    slope: str
    group: str
    reml: bool
    make: Callable[[], pd.DataFrame]
    rounds: int = 15
    limit: float = 60.0
    refit: int = 0
    family: str | None = None
    random: str = ""

    @property
    def formula(self) -> str:
        """The model in lme4's language."""
        random = self.random or f"({self.slope} | {self.group})"
        return f"{self.response} ~ {self.fixed} + {random}"


def hsb() -> pd.DataFrame:
    """High School & Beyond, as it ships with teamlink."""
    data = tl.datasets.load("hsb82")
    return data[["school", "mathach", "meanses", "cses", "sector"]].copy()


def reference_table(name: str) -> pd.DataFrame:
    """Read a table of the reference fixtures."""
    return pd.read_csv(REFERENCE / f"{name}.csv")


def growth() -> pd.DataFrame:
    """Yearly mathematics scores of children in schools, as they ship with teamlink."""
    data = tl.datasets.load("egsingle")
    return data[["schoolid", "childid", "year", "math"]].copy()


def factors_table(name: str) -> pd.DataFrame:
    """Read a table of the reference fixtures of several factors."""
    return pd.read_csv(FACTORS / f"{name}.csv.gz")


GENERALIZED = Path(__file__).parents[1] / "tests" / "reference" / "generalized" / "data"


def contraception() -> pd.DataFrame:
    """Use of contraception in Bangladesh, with the square of age."""
    data = pd.read_csv(GENERALIZED / "contraception.csv")
    return data.assign(age2=data["age"] ** 2)


def verbagg() -> pd.DataFrame:
    """Verbal aggression: persons crossed with items."""
    return pd.read_csv(GENERALIZED / "verbagg.csv")


def million() -> pd.DataFrame:
    """1,000,000 rows in 3,000 schools, six predictors, a random slope of the first."""
    rng = np.random.default_rng(7)
    n, groups = 1_000_000, 3_000
    g = rng.integers(0, groups, n)
    x = rng.normal(size=(n, 6))
    u = rng.normal(size=(groups, 2)) * [0.5, 0.2]
    y = 1 + x @ [0.5, 0.3, 0.2, 0.1, 0.0, -0.2] + u[g, 0] + u[g, 1] * x[:, 0] + rng.normal(size=n)
    data = pd.DataFrame(x, columns=[f"x{i}" for i in range(6)])
    return data.assign(y=y, g=g)


def pairs() -> pd.DataFrame:
    """125,000 groups of four rows, a random intercept."""
    rng = np.random.default_rng(9)
    groups, size = 125_000, 4
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=g.size)
    y = 2 + 0.5 * x + 0.7 * rng.normal(size=groups)[g] + rng.normal(size=g.size)
    return pd.DataFrame({"g": g, "x": x, "y": y})


def refit_responses(data: pd.DataFrame, count: int) -> np.ndarray:
    """Responses (n, count) drawn from the fitted HSB slope model, rounded variances."""
    rng = np.random.default_rng(11)
    codes = pd.factorize(data["school"])[0]
    cses = data["cses"].to_numpy()
    u = rng.normal(size=(codes.max() + 1, 2, count)) * np.array([2.95, 0.83])[None, :, None]
    mean = (12.636 + 2.193 * cses)[:, None] + u[codes, 0] + u[codes, 1] * cses[:, None]
    return np.asfortranarray(mean + 6.058 * rng.normal(size=mean.shape))


PROBLEMS = {
    p.name: p
    for p in (
        Problem(
            name="sleepstudy",
            title="sleepstudy, slope, ML",
            response="Reaction",
            fixed="Days",
            slope="Days",
            group="Subject",
            reml=False,
            make=lambda: reference_table("sleepstudy"),
        ),
        Problem(
            name="hsb",
            title="HSB, intercepts and slopes as outcomes, REML",
            response="mathach",
            fixed="meanses * cses + sector * cses",
            slope="cses",
            group="school",
            reml=True,
            make=hsb,
        ),
        Problem(
            name="exam",
            title="Exam, slope, ML",
            response="normexam",
            fixed="standLRT",
            slope="standLRT",
            group="school",
            reml=False,
            make=lambda: reference_table("exam"),
        ),
        Problem(
            name="contraception",
            title="Contraception, logit, Laplace",
            response="use",
            fixed="age + age2 + urban + livch",
            slope="1",
            group="district",
            reml=False,
            make=contraception,
            family="binomial",
        ),
        Problem(
            name="verbagg",
            title="VerbAgg, persons by items, logit, Laplace",
            response="r2",
            fixed="anger + gender + btype + situ",
            slope="",
            group="",
            random="(1 | id) + (1 | item)",
            reml=False,
            make=verbagg,
            family="binomial",
            rounds=5,
        ),
        Problem(
            name="million",
            title="1,000,000 rows, 3,000 schools, 7 fixed effects, slope, REML",
            response="y",
            fixed="x0 + x1 + x2 + x3 + x4 + x5",
            slope="x0",
            group="g",
            reml=True,
            make=million,
            rounds=5,
            limit=120.0,
        ),
        Problem(
            name="pairs",
            title="125,000 groups of 4 rows, intercept, REML",
            response="y",
            fixed="x",
            slope="1",
            group="g",
            reml=True,
            make=pairs,
            rounds=5,
            limit=60.0,
        ),
        Problem(
            name="chem97",
            title="Chem97, pupils in schools in authorities, ML",
            response="score",
            fixed="gcsecnt",
            slope="",
            group="",
            random="(1 | lea/school)",
            reml=False,
            make=lambda: factors_table("chem97"),
        ),
        Problem(
            name="growth",
            title="egsingle, growth with slopes of children and schools, REML",
            response="math",
            fixed="year",
            slope="",
            group="",
            random="(year | schoolid) + (year | childid)",
            reml=True,
            make=growth,
            rounds=9,
        ),
        Problem(
            name="insteval2",
            title="InstEval, students crossed with lecturers, REML",
            response="y",
            fixed="1",
            slope="",
            group="",
            random="(1 | s) + (1 | d)",
            reml=True,
            make=lambda: factors_table("insteval"),
            rounds=5,
            limit=120.0,
        ),
        Problem(
            name="insteval3",
            title="InstEval, students, lecturers, departments, ML",
            response="y",
            fixed="service",
            slope="",
            group="",
            random="(1 | s) + (1 | d) + (1 | dept)",
            reml=False,
            make=lambda: factors_table("insteval"),
            rounds=5,
            limit=120.0,
        ),
        Problem(
            name="refit",
            title=f"{REFITS} REML refits of the HSB slope model, time per fit",
            response="mathach",
            fixed="cses",
            slope="cses",
            group="school",
            reml=True,
            make=hsb,
            rounds=3,
            limit=240.0,
            refit=REFITS,
        ),
    )
}


def store(problem: Problem) -> Path:
    """Write a problem's data for the engines: a pickle, and raw columns for R; give the folder."""
    folder = CACHE / problem.name
    folder.mkdir(parents=True, exist_ok=True)
    data = problem.make()
    data.to_pickle(folder / "data.pkl")
    columns = []
    for name in data.columns:
        values, levels = data[name], None
        if not pd.api.types.is_numeric_dtype(values):
            codes, found = pd.factorize(values, sort=True)
            values, levels = pd.Series(codes), [str(level) for level in found]
        values.to_numpy(dtype="<f8").tofile(folder / f"{name}.f64")
        columns.append({"name": name, "levels": levels})
    if problem.refit:
        responses = refit_responses(data, problem.refit)
        np.save(folder / "responses.npy", responses)
        responses.astype("<f8").ravel(order="F").tofile(folder / "responses.f64")
    described = {
        "rows": len(data),
        "columns": columns,
        "formula": problem.formula,
        "reml": problem.reml,
        "family": problem.family,
        "refit": problem.refit,
    }
    (folder / "problem.json").write_text(json.dumps(described))
    return folder
