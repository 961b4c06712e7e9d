r"""How precisely a design measures its effect, by formula: standard error and degrees of freedom.

Outcomes are in SD of students, so the variance is 1, of which `icc` lies between schools;
covariates take `r2_school` and `r2_student` of the two parts away. What is left between schools is
``b = icc (1 - r2_school)`` and within them ``w = (1 - icc) (1 - r2_student)``; the mean of a school
of n students then has the variance ``v = b + w / n``. Each design below divides a variance of this
kind by what it has to divide it by [1]_ [2]_ [3]_.

References
----------
.. [1] Raudenbush (1997). Statistical analysis and optimal design for cluster randomized trials.
   Psychological Methods 2(2). doi:10.1037/1082-989X.2.2.173
.. [2] Bloom, Richburg-Hayes, Black (2007). Using covariates to improve precision for studies that
   randomize schools. Educational Evaluation and Policy Analysis 29(1).
   doi:10.3102/0162373707299550
.. [3] Dong, Maynard (2013). PowerUp!: a tool for calculating minimum detectable effect sizes.
   Journal of Research on Educational Effectiveness 6(1). doi:10.1080/19345747.2012.673143
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from teamlink.errors import DesignError, Fault, OptionError, nearest

__all__ = ["DESIGNS", "NO_DF", "Precision", "precision_of", "sizes_of"]


@dataclass(frozen=True, slots=True)
class Precision:
    """What a test of the effect works with, on the scale on which it is made.

    Attributes
    ----------
    shift : the effect on that scale (Fisher's z of a correlation, the log of a ratio)
    std_error : standard error there
    df : degrees of freedom of the t statistic, infinite for a normal one
    """

    shift: float
    std_error: float
    df: float


def correlation(effect: float, *, n: float, controls: float = 0) -> Precision:
    """Correlation of two variables over `n` units, given `controls` others, by Fisher's z."""
    if not -1 < effect < 1:
        raise OptionError(f"effect={effect:g} is no correlation; it lies between -1 and 1")
    return Precision(math.atanh(effect), (n - 3 - controls) ** -0.5, math.inf)


def school_predictor(
    effect: float,
    *,
    schools: float,
    students: float,
    icc: float,
    r2_school: float = 0.0,
    r2_student: float = 0.0,
    controls: float = 0,
) -> Precision:
    """Slope of a predictor of schools, in SD of students an SD of the predictor over schools."""
    variance = _mean_variance(students, icc, r2_school, r2_student)
    return Precision(effect, math.sqrt(variance / schools), schools - 2 - controls)


def student_predictor(
    effect: float,
    *,
    schools: float,
    students: float,
    icc: float,
    r2_student: float = 0.0,
    slope_sd: float = 0.0,
    controls: float = 0,
) -> Precision:
    """Mean slope of a predictor within schools, an SD within schools; slopes may vary by school."""
    variance = slope_sd**2 + (1 - icc) * (1 - r2_student) / students
    few = slope_sd > 0
    df = schools - 1 if few else schools * (students - 1) - 1 - controls
    return Precision(effect, math.sqrt(variance / schools), df)


def cross_level(
    effect: float,
    *,
    schools: float,
    students: float,
    icc: float,
    slope_sd: float,
    r2_student: float = 0.0,
    controls: float = 0,
) -> Precision:
    """How a slope within schools changes with a predictor of schools, SD by SD.

    `slope_sd` is what is left of the slopes' SD over schools, in SD of the outcome an SD within.
    """
    variance = slope_sd**2 + (1 - icc) * (1 - r2_student) / students
    return Precision(effect, math.sqrt(variance / schools), schools - 2 - controls)


def cluster_trial(
    effect: float,
    *,
    schools: float,
    students: float,
    icc: float,
    share: float = 0.5,
    r2_school: float = 0.0,
    r2_student: float = 0.0,
    controls: float = 0,
) -> Precision:
    """Trial that assigns whole schools, `share` of them to the treatment."""
    variance = _mean_variance(students, icc, r2_school, r2_student) / (share * (1 - share))
    return Precision(effect, math.sqrt(variance / schools), schools - 2 - controls)


def blocked_cluster_trial(
    effect: float,
    *,
    blocks: float,
    schools: float,
    students: float,
    icc: float,
    share: float = 0.5,
    r2_school: float = 0.0,
    r2_student: float = 0.0,
    effect_sd: float = 0.0,
    controls: float = 0,
) -> Precision:
    """Trial that assigns schools within `blocks` (districts, pairs); `schools` are in each block.

    With `effect_sd` 0 the blocks are fixed; else the effect differs from block to block by this SD,
    and the blocks are a sample of others.
    """
    own = _mean_variance(students, icc, r2_school, r2_student) / (share * (1 - share) * schools)
    df = blocks - 1 if effect_sd > 0 else blocks * (schools - 1) - 1 - controls
    return Precision(effect, math.sqrt((effect_sd**2 + own) / blocks), df)


def student_trial(
    effect: float,
    *,
    schools: float,
    students: float,
    icc: float,
    share: float = 0.5,
    r2_student: float = 0.0,
    effect_sd: float = 0.0,
    controls: float = 0,
) -> Precision:
    """Trial that assigns the students of each school; `effect_sd` as for blocks of schools."""
    own = (1 - icc) * (1 - r2_student) / (share * (1 - share) * students)
    df = schools - 1 if effect_sd > 0 else schools * (students - 1) - 1 - controls
    return Precision(effect, math.sqrt((effect_sd**2 + own) / schools), df)


def difference_in_differences(
    effect: float,
    *,
    schools: float,
    students: float,
    icc: float,
    school_year: float = 0.0,
    before: float = 1,
    after: float = 1,
    share: float = 0.5,
    r2_student: float = 0.0,
) -> Precision:
    """Change of treated less change of other schools, new students each year.

    `school_year` is the variance of a school's years about its own mean, beside what its students
    bring; the years are taken as independent of each other.
    """
    year = school_year + (1 - icc - school_year) * (1 - r2_student) / students
    variance = year * (1 / before + 1 / after) / (share * (1 - share))
    return Precision(effect, math.sqrt(variance / schools), schools - 2)


def ratio_of_proportions(effect: float, *, n: float, n_base: float, base: float) -> Precision:
    """Ratio of a proportion among `n` units to the proportion `base` among `n_base` others."""
    proportion = effect * base
    if not 0 < proportion < 1:
        raise OptionError(f"effect={effect:g} of base={base:g} is no proportion above 0, below 1")
    variance = (1 - proportion) / (n * proportion) + (1 - base) / (n_base * base)
    return Precision(math.log(effect), math.sqrt(variance), math.inf)


def _mean_variance(students: float, icc: float, r2_school: float, r2_student: float) -> float:
    return icc * (1 - r2_school) + (1 - icc) * (1 - r2_student) / students


DESIGNS: Mapping[str, Callable[..., Precision]] = {
    "correlation": correlation,
    "school-predictor": school_predictor,
    "student-predictor": student_predictor,
    "cross-level": cross_level,
    "cluster-trial": cluster_trial,
    "blocked-cluster-trial": blocked_cluster_trial,
    "student-trial": student_trial,
    "difference-in-differences": difference_in_differences,
    "ratio-of-proportions": ratio_of_proportions,
}
"""The designs that have a formula, by name."""

SHARES = {"icc", "share", "r2_school", "r2_student", "school_year", "base"}
NO_DF = "no degree of freedom is left"
COUNTS = {"schools", "students", "blocks", "n", "n_base", "before", "after"}


def sizes_of(design: str) -> dict[str, float | None]:
    """Name the sizes that a design takes, with their defaults; None where one must be given.

    Examples
    --------
    >>> sizes_of("correlation")
    {'n': None, 'controls': 0}
    """
    found = list(inspect.signature(DESIGNS[design]).parameters.values())[1:]
    return {p.name: None if p.default is p.empty else p.default for p in found}


def precision_of(design: str, effect: float, sizes: Mapping[str, float]) -> Precision:
    """Compute the precision of a design, once its sizes have been found sound.

    Raises
    ------
    DesignError
        A size is unknown, missing or out of range, or no degree of freedom is left: all at once.

    Examples
    --------
    >>> trial = {"schools": 40, "students": 25, "icc": 0.2}
    >>> round(precision_of("cluster-trial", 0.3, trial).std_error, 4)
    0.1523
    """
    if faults := _faults(design, sizes):
        raise DesignError(faults)
    spare = sizes["n"] - 3 - sizes.get("controls", 0) if design == "correlation" else 1.0
    found = DESIGNS[design](effect, **sizes) if spare > 0 else None
    if found is None or found.df <= 0:
        raise DesignError(
            [Fault(NO_DF, design, "more units, schools or blocks, or fewer controls")]
        )
    return found


def _faults(design: str, sizes: Mapping[str, float]) -> list[Fault]:
    known = sizes_of(design)
    faults = [
        Fault(f"{name!r} is no size of this design", design, nearest(name, known))
        for name in sizes
        if name not in known
    ]
    missing = [name for name, default in known.items() if default is None and name not in sizes]
    faults += [Fault(f"{name!r} is missing", design, f"give {name}=") for name in missing]
    for name, value in sizes.items():
        low = 1 if name in COUNTS else 0
        sound = 0 <= value <= 1 if name in SHARES else value >= low
        if name in {"share", "base"}:
            sound = 0 < value < 1
        if name in known and not (math.isfinite(value) and sound):
            span = "between 0 and 1" if name in SHARES else f"{low} or more"
            faults.append(Fault(f"{name}={value:g}", design, f"it must be {span}"))
    return faults
