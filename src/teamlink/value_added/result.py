"""A fitted value-added model: effects of teachers and schools, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import ndtri

from teamlink.errors import OptionError, check_option
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.summary import Summary
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array, Codes
from teamlink.value_added.describe import summarize, tidy
from teamlink.value_added.joint import JointEffects
from teamlink.value_added.ranks import rank_table
from teamlink.value_added.request import Request
from teamlink.value_added.shrink import Shrunken

__all__ = ["GroupEffects", "ValueAdded"]

Which = Literal["teacher", "school", "total"]


@dataclass(frozen=True, slots=True)
class GroupEffects:
    """Effects of one kind of group.

    Attributes
    ----------
    levels : (J,) labels
    rows : (J,) rows of each
    sd : standard deviation of the true effects
    effect : (J,) shrunken effects
    std_error : (J,) their conditional standard deviations
    estimate, estimate_se : (J,) before shrinkage, of fixed effects; else None
    """

    levels: pd.Index[Any]
    rows: Codes
    sd: float
    effect: Array
    std_error: Array
    estimate: Array | None = None
    estimate_se: Array | None = None

    @property
    def reliability(self) -> Array:
        """(J,) share of the variance of an effect that the data resolve."""
        if self.sd == 0:
            return np.zeros(len(self.effect))
        return 1 - np.square(self.std_error / self.sd)

    def frame(self, level: float) -> pd.DataFrame:
        """The effects with their intervals, indexed by level."""
        if not 0 < level < 1:
            raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
        half = ndtri(0.5 + level / 2) * self.std_error
        columns: dict[str, Any] = {"rows": self.rows}
        if self.estimate is not None:
            columns |= {"estimate": self.estimate, "estimate_se": self.estimate_se}
        columns |= {
            "effect": self.effect,
            "std_error": self.std_error,
            "conf_low": self.effect - half,
            "conf_high": self.effect + half,
            "reliability": self.reliability,
        }
        return pd.DataFrame(columns, index=self.levels)


@dataclass(frozen=True, slots=True)
class ValueAdded:
    """A fitted value-added model; made by `teamlink.vam`.

    Attributes
    ----------
    kind : str
        "random" or "fixed".
    request : Request
        What was asked for.
    formula : str
        The model as text. With random effects ``tl.lmm(formula, data)`` is the same fit; with fixed
        ones it is the part that is not absorbed.
    estimates : Estimates
        Coefficients of the covariates.
    components : DataFrame
        Standard deviations of what scores are made of: ``group, variance, sd, share, sd_ratio``.
        ``share`` is of the variance that the covariates leave; ``sd_ratio`` is in standard
        deviations of the score.
    nobs : int
        Rows used.
    fit : MixedFit or None
        The mixed model, with random effects.
    teacher_effects, school_effects : GroupEffects
        Effects as arrays; None where the model has no schools.
    places : dict
        Where teachers and schools stand along the joint random effects.
    school_of, school_counts : (J,) int arrays or None
        School of most of a teacher's rows, and the number of schools.
    joint : JointEffects or tuple of Shrunken
        The joint distribution of the effects given the data.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> teacher = np.repeat(np.arange(40), 20)
    >>> prior = rng.normal(size=800)
    >>> score = 0.7 * prior + rng.normal(0, 0.2, 40)[teacher] + rng.normal(0, 0.5, 800)
    >>> pupils = pd.DataFrame({"score": score, "prior": prior, "teacher": teacher})
    >>> added = tl.vam(pupils, "score", "teacher", prior="prior")
    >>> added.components[["group", "sd"]].round(2)
          group    sd
    0   teacher  0.19
    1  Residual  0.52
    """

    kind: str
    request: Request
    formula: str
    estimates: Estimates
    components: pd.DataFrame
    nobs: int
    fit: MixedFit | None
    teacher_effects: GroupEffects
    school_effects: GroupEffects | None
    places: dict[str, slice]
    school_of: Codes | None
    school_counts: Codes | None
    joint: JointEffects | tuple[Shrunken, ...]

    @property
    def teachers(self) -> pd.DataFrame:
        """Effects of teachers, indexed by teacher.

        ``rows, effect, std_error, conf_low, conf_high, reliability``; with fixed effects also
        ``estimate, estimate_se`` before shrinkage; with schools the teacher's ``school`` (the one
        with most of the rows), the number of ``schools``, and with random effects ``total`` and
        ``total_se``, of teacher and school together.
        """
        return self.teacher_table()

    def teacher_table(self, level: float = 0.95) -> pd.DataFrame:
        """The frame `teachers`, with intervals of another level.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
        """
        frame = self.teacher_effects.frame(level)
        if self.school_effects is None or self.school_of is None:
            return frame
        frame.insert(0, "school", self.school_effects.levels[self.school_of])
        frame.insert(1, "schools", self.school_counts)
        if isinstance(self.joint, JointEffects):
            K = self._contrasts("total")
            frame["total"] = K @ self.joint.mean
            frame["total_se"] = np.sqrt(self.joint.variance(K))
        return frame

    @property
    def schools(self) -> pd.DataFrame:
        """Effects of schools, indexed by school; the columns of `teachers`."""
        if self.school_effects is None:
            raise OptionError("schools: the model has none; name their column by school=")
        return self.school_effects.frame(0.95)

    @property
    def reliability(self) -> pd.DataFrame:
        """Indexed by kind of group: ``sd``, mean ``reliability`` and number of ``groups``."""
        found = {"teacher": self.teacher_effects, "school": self.school_effects}
        return pd.DataFrame.from_dict(
            {
                name: {"sd": e.sd, "reliability": e.reliability.mean(), "groups": len(e.levels)}
                for name, e in found.items()
                if e is not None
            },
            orient="index",
        ).astype({"groups": int})

    def ranks(
        self,
        of: Which = "teacher",
        *,
        share: float = 0.2,
        level: float = 0.95,
        draws: int = 2000,
        seed: int | np.random.Generator = 1,
    ) -> pd.DataFrame:
        """Ranks with their uncertainty, from draws of the joint distribution of all effects.

        Parameters
        ----------
        of : {"teacher", "school", "total"}
            Teachers among all teachers by their own effect; schools; or teachers by their own
            effect and their school's together.
        share : float
            Of the effects that counts as top, and as bottom: 0.2 is a quintile.
        level : float
            Of the interval of the rank.
        draws : int
            From the joint distribution given the data, the variances held; the Monte-Carlo error
            of a probability is at most ``0.5 / sqrt(draws)``.
        seed : int or Generator

        Returns
        -------
        DataFrame
            Indexed by label: ``effect, rank, expected_rank, percentile, rank_low, rank_high,
            p_top, p_bottom``. Rank 1 is the highest effect; ``percentile`` is that of the
            expected rank.
        """
        check_option("of", of, ["teacher", "school", "total"])
        if int(draws) != draws or draws < 100:
            raise OptionError(f"draws={draws!r}: a whole number, at least 100")
        rng = np.random.default_rng(seed)
        if of != "teacher" and self.school_effects is None:
            raise OptionError(f"of={of!r}: the model has no schools; name their column by school=")
        group = self.school_effects if of == "school" else self.teacher_effects
        levels = group.levels if group is not None else self.teacher_effects.levels
        if isinstance(self.joint, JointEffects):
            K = self._contrasts(of)
            drawn = (K @ self.joint.draws(int(draws), rng).T).T
            return rank_table(drawn, K @ self.joint.mean, levels, share, level)
        if of == "total":
            raise OptionError("of='total': offered with random effects only")
        own = self.joint[0 if of == "teacher" else 1]
        return rank_table(own.draws(int(draws), rng), own.mean, levels, share, level)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Coefficients, then standard deviations, in broom's columns."""
        return tidy(self, level)

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        return summarize(self, level)

    def _contrasts(self, of: str) -> csr_array:
        """(m, q) which effects make up each one asked for."""
        J = len(self.teacher_effects.levels)
        teacher, q = self.places["teacher"], max(place.stop for place in self.places.values())
        if of == "school":
            place = self.places["school"]
            m = place.stop - place.start
            return _choice(np.arange(place.start, place.stop)[:, None], (m, q))
        columns = np.arange(teacher.start, teacher.stop)[:, None]
        if of == "total" and self.school_of is not None:
            columns = np.column_stack([columns, self.places["school"].start + self.school_of])
        return _choice(columns, (J, q))

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        J = len(self.teacher_effects.levels)
        return (
            f"<ValueAdded {self.formula!r}: {J} teachers, {self.kind} effects, SD "
            f"{self.teacher_effects.sd:.4f}>"
        )


def _choice(columns: Codes, shape: tuple[int, int]) -> csr_array:
    pointer = np.arange(len(columns) + 1) * columns.shape[1]
    return csr_array((np.ones(columns.size), columns.ravel(), pointer), shape)
