"""The verb `power`: of a named design by formula, of a study by running it again."""

from __future__ import annotations

from collections.abc import Sequence

from teamlink.errors import OptionError, nearest
from teamlink.registry.catalogue import keys
from teamlink.registry.study import Study
from teamlink.registry.study_power import StudyPower, power_of_study
from teamlink.simulation.power import Power, power_of_design
from teamlink.simulation.precision import DESIGNS

__all__ = ["power"]


def power(
    design: str | Study,
    effect: float | None = None,
    power: float | None = None,
    level: float = 0.05,
    *,
    times: int | Sequence[int] = 1,
    replicates: int = 200,
    seed: int = 1,
    jobs: int = 1,
    **sizes: float | None,
) -> Power | StudyPower:
    r"""Compute power, type S and type M error of a design, or what a study could have found.

    Parameters
    ----------
    design : str or Study
        A named design, or a study: a key of the registry, the path of a study file. Designs and
        their sizes: ``correlation`` (n, controls), ``school-predictor`` and ``cluster-trial``
        (schools, students a school, icc, r2_school, r2_student, controls; share),
        ``blocked-cluster-trial`` (blocks, schools a block, ...; effect_sd), ``student-trial``,
        ``student-predictor`` (slope_sd), ``cross-level`` (slope_sd), ``difference-in-differences``
        (school_year, before, after), ``ratio-of-proportions`` (n, n_base, base).
    effect : float, optional
        True effect, in SD of students (an SD of the predictor); a correlation; a ratio. Without it
        the smallest effect is found that has the power. For a named design.
    power : float, optional
        Power asked for, 0.8 where the smallest effect is sought.
    level : float
        Of the two-sided test. For a named design.
    times : int or sequence of int
        For a study: how many times its size; several for a comparison.
    replicates, seed, jobs : int
        For a study: of the simulation.
    **sizes : float
        Of a named design. One may be None: the smallest that reaches `power` at `effect`.

    Returns
    -------
    Power or StudyPower
        A design's numbers and `.over(effects)`; or `.table`, a row for each claim of a study. Both
        have `.summary()`.

    Raises
    ------
    OptionError
        No such design, or options that do not go together.
    DesignError
        Sizes are unknown, missing or out of range; all are listed.

    Notes
    -----
    Type S is the probability that a significant estimate has the wrong sign, type M the mean factor
    by which significant estimates are too large [1]_. Formulas:
    `teamlink.simulation.precision`, `teamlink.simulation.power`. In R:
    ``retrodesign::retro_design(A, s, df)``.

    References
    ----------
    .. [1] Gelman, Carlin (2014). Beyond power calculations: assessing type S (sign) and type M
       (magnitude) errors. Perspectives on Psychological Science 9(6).
       doi:10.1177/1745691614551642

    Examples
    --------
    How many schools does a trial need that assigns whole schools?

    >>> import teamlink as tl
    >>> trial = {"students": 25, "icc": 0.15}
    >>> tl.power("cluster-trial", effect=0.2, power=0.8, schools=None, **trial).sizes["schools"]
    147.0

    And if a pretest takes most of the differences between schools away?

    >>> trial |= {"r2_school": 0.75, "r2_student": 0.5}
    >>> tl.power("cluster-trial", effect=0.2, power=0.8, schools=None, **trial).sizes["schools"]
    45.0

    What could a correlation over 47 schools have detected?

    >>> round(tl.power("correlation", n=47).minimum_detectable, 2)
    0.4
    """
    if isinstance(design, str) and design in DESIGNS:
        if (times, replicates, seed, jobs) != (1, 200, 1, 1):
            raise OptionError("times, replicates, seed and jobs go with a study; this is a formula")
        return power_of_design(design, effect, power, level, sizes)
    if isinstance(design, str) and design not in keys() and not design.endswith(".toml"):
        known = (*DESIGNS, *keys())
        raise OptionError(
            f"design={design!r} is neither a design nor a study; {nearest(design, known)}"
        )
    if effect is not None or level != 0.05 or sizes:
        given = ", ".join(
            ["effect"] * (effect is not None) + ["level"] * (level != 0.05) + [*sizes]
        )
        raise OptionError(f"{given}: for a named design; a study has its own effects and sizes")
    return power_of_study(design, times, replicates, seed, jobs, 0.8 if power is None else power)
