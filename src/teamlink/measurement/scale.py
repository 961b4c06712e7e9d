"""A scale made from survey items: respondents' scores, schools' scores, what they are worth."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.data.center import group_means
from teamlink.data.schema import Key, group_codes, names_of, validate
from teamlink.errors import DroppedRows, OptionError, check_option
from teamlink.measurement.agreement import Scale, agreement, check_scale
from teamlink.measurement.consistency import check_items, cronbach, item_table, varied_answers
from teamlink.measurement.variance import GroupSize, OneWay, one_way
from teamlink.typing import Array, Codes, Table

__all__ = ["SurveyScale", "survey_scale"]

DEFINITIONS = {
    "alpha": "Cronbach's alpha of the items, respondents with every item (Cronbach 1951)",
    "ICC(1)": "(MSB - MSW) / (MSB + (k - 1) MSW) (Shrout & Fleiss 1979; Bliese 2000)",
    "ICC(2)": "(MSB - MSW) / MSB (Shrout & Fleiss 1979; Bliese 2000)",
    "rwg(j)": "agreement against evenly spread answers (James, Demaree & Wolf 1984)",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SurveyScale:
    r"""A scale made from survey items, by school.

    Attributes
    ----------
    scores : pandas.DataFrame
        A row for each of the J schools, indexed by school, with the columns

        - the scale (``score`` unless named otherwise): mean of the respondents' scores;
        - ``n_respondents``: respondents behind it;
        - ``n_items``: answers behind it, over respondents and items;
        - ``se``: standard error of the mean, :math:`\sqrt{MS_W / n_j}`;
        - ``reliability``: reliability of this school's mean,
          :math:`\tau / (\tau + MS_W / n_j)` with :math:`\tau = \max(0, (MS_B - MS_W) / k_0)`;
        - ``rwg``: rwg(j) of the school, missing where there is a single respondent.
    respondents : pandas.DataFrame
        A row for each respondent kept, with the original row labels: school, score, and the
        number of items answered.
    items : pandas.DataFrame
        A row for each item, after reversal: ``n``, ``mean``, ``sd``, and ``r_rest``, the
        correlation with the mean of the other items (respondents with every item).
    name, by : str, tuple of str
        Name of the scale, and the columns that identify the school.
    reverse : tuple of str
        The items that were reversed.
    scale : tuple of float
        Lowest and highest answer that the response scale offers.
    scale_given : bool
        False where `scale` was taken from the answers themselves.
    alpha : float
        Cronbach's alpha over all respondents with every item.
    icc1, icc2 : float
        ICC(1) and ICC(2) of the respondents' scores, by analysis of variance.
    rwg : float
        Mean of the schools' rwg(j), over schools with at least two respondents.
    ms_between, ms_within : float
        Mean squares of the analysis of variance.
    group_size : float
        The group size k that ICC(1) uses.
    n_respondents, n_groups : int
        Respondents kept (N), schools with a score (J).
    dropped : dict of str to int
        Rows left out, by reason, and schools that lost all their respondents.

    Examples
    --------
    >>> import teamlink as tl
    >>> teachers = {"school": [1, 1, 2, 2], "c1": [5, 4, 2, 1], "c2": [5, 5, 1, 2]}
    >>> scale = tl.survey_scale(teachers, by="school", items=["c1", "c2"], scale=(1, 5))
    >>> scale.scores["n_respondents"].to_dict()
    {1: 2, 2: 2}
    >>> print(scale.summary().splitlines()[0])
    Survey scale 'score' by school
    """

    scores: pd.DataFrame
    respondents: pd.DataFrame
    items: pd.DataFrame
    name: str
    by: tuple[str, ...]
    reverse: tuple[str, ...]
    scale: Scale
    scale_given: bool
    alpha: float
    icc1: float
    icc2: float
    rwg: float
    ms_between: float
    ms_within: float
    group_size: float
    n_respondents: int
    n_groups: int
    dropped: dict[str, int]

    def __repr__(self) -> str:
        return (
            f"SurveyScale({self.name!r}: {len(self.items)} items, "
            f"{self.n_respondents} respondents, {self.n_groups} groups, alpha={self.alpha:.3f}, "
            f"icc1={self.icc1:.3f}, icc2={self.icc2:.3f}, rwg={self.rwg:.3f})"
        )

    def summary(self) -> str:
        """Give a text with every index, its definition, the items, and what was left out."""
        low, high = self.scale
        source = "as given" if self.scale_given else "taken from the answers"
        values = {
            "alpha": self.alpha,
            "ICC(1)": self.icc1,
            "ICC(2)": self.icc2,
            "rwg(j)": self.rwg,
        }
        left_out = [f"left out: {why}: {count:,}" for why, count in self.dropped.items() if count]
        sizes = self.scores["n_respondents"]
        agreements = self.scores["rwg"]
        return "\n".join(
            [
                f"Survey scale {self.name!r} by {' / '.join(self.by)}",
                f"{self.n_respondents:,} respondents in {self.n_groups:,} groups "
                f"({sizes.min()} to {sizes.max()} each), {len(self.items)} items, "
                f"answers {low:g} to {high:g} ({source})",
                *left_out,
                "",
                *(f"{key:7} {value: .4f}  {DEFINITIONS[key]}" for key, value in values.items()),
                f"MSB {self.ms_between:.6g}, MSW {self.ms_within:.6g}, k {self.group_size:.4f}; "
                f"rwg(j) is the mean over {int(agreements.notna().sum())} groups, "
                f"median {agreements.median():.4f}",
                f"reliability of the groups' means: mean {self.scores['reliability'].mean():.4f}, "
                f"lowest {self.scores['reliability'].min():.4f}",
                "",
                self.items.to_string(float_format="{:.3f}".format),
                *(f"reversed: {', '.join(self.reverse)}" for _ in self.reverse[:1]),
            ]
        )


def survey_scale(
    data: Table,
    by: Key,
    items: Sequence[str],
    *,
    reverse: Key | None = None,
    scale: Scale | None = None,
    min_items: int | None = None,
    name: str = "score",
    group_size: GroupSize = "k0",
) -> SurveyScale:
    r"""Make a school's scale score from the answers of its teachers.

    Parameters
    ----------
    data : table
        A row for each respondent.
    by : str or sequence of str
        The columns that identify the school.
    items : sequence of str
        At least two numeric columns of answers. They are averaged as they are, so they should
        share one response scale.
    reverse : str or sequence of str, optional
        Items worded the other way: an answer x counts as lowest + highest - x.
    scale : (lowest, highest), optional
        The answers offered, as in ``(1, 5)``. By default the lowest and highest answer given to
        any item; give it where extreme answers may have gone unused, since reversal and rwg(j)
        depend on it.
    min_items : int, optional
        Respondents who answered fewer items are left out; by default half of the items, rounded
        up.
    name : str
        Name of the score's column.
    group_size : {"k0", "mean"}
        The group size k in ICC(1), as for `icc1`.

    Returns
    -------
    SurveyScale
        Scores by school, indices of reliability and agreement, counts of what was left out.

    Raises
    ------
    DataError
        Columns are missing or not numeric, an item is constant or has answers off the scale,
        fewer than two items.
    DesignError
        Fewer than two schools, or no school with two respondents, are left.
    OptionError
        `min_items`, `scale`, `reverse` or `group_size` cannot be.

    Warns
    -----
    DroppedRows
        Respondents were left out: no school id, or too few items answered.

    Notes
    -----
    A respondent's score is the mean of the items answered. Alpha describes the items over all
    respondents, schools pooled.

    In R: ``psych::alpha``, ``multilevel::ICC1``, ``multilevel::ICC2``, ``multilevel::rwg.j``.

    References
    ----------
    Bliese, P. D. (2000). Within-group agreement, non-independence, and reliability. In K. J.
    Klein & S. W. J. Kozlowski (Eds.), *Multilevel theory, research, and methods in organizations*
    (pp. 349-381). Jossey-Bass.

    See also `alpha`, `icc1`, `icc2` and `rwg` for formulas and sources.

    Examples
    --------
    >>> import teamlink as tl
    >>> teachers = {
    ...     "school": ["a", "a", "b", "b", "c", "c"],
    ...     "c1": [4, 5, 2, 1, 3, 4],
    ...     "c2": [5, 5, 2, 1, 3, 3],
    ...     "c3": [1, 1, 5, 4, 2, 3],
    ... }
    >>> scale = tl.survey_scale(
    ...     teachers, by="school", items=["c1", "c2", "c3"], reverse="c3", scale=(1, 5)
    ... )
    >>> scale.scores["score"].round(3).tolist()
    [4.833, 1.5, 3.333]
    >>> scale
    SurveyScale('score': 3 items, 6 respondents, 3 groups, alpha=0.952, icc1=0.987, ...)
    """
    check_option("group_size", group_size, ("k0", "mean"))
    names, keys = list(items), names_of(by)
    turned = [] if reverse is None else names_of(reverse)
    _check_name(name, keys)
    frame, answers = _answers(data, names, keys, scale)
    offered = scale or (float(np.nanmin(answers)), float(np.nanmax(answers)))
    _reverse(answers, names, turned, offered)
    answered = (~np.isnan(answers)).sum(axis=1)
    codes, levels = group_codes(frame, keys)
    few = answered < _least(min_items, len(names))
    keep = (codes >= 0) & ~few
    left = np.unique(codes[keep])
    dropped = {
        f"rows without {' / '.join(keys)}": int((codes < 0).sum()),
        "respondents with too few answers": int((few & (codes >= 0)).sum()),
        "groups without any respondent left": len(levels) - len(left),
    }
    _warn_of_dropped(dropped, len(frame))
    answers, answered = answers[keep], answered[keep]
    codes = np.searchsorted(left, codes[keep])
    scores = np.nanmean(answers, axis=1)
    anova = one_way(scores, codes, len(left))
    by_group = _score_table(answers, answered, scores, codes, anova, offered)
    by_group.index = levels[left]
    respondents = frame.loc[keep, keys].assign(**{name: scores, "n_items": answered})
    return SurveyScale(
        scores=by_group.rename(columns={"score": name}),
        respondents=respondents,
        items=item_table(answers, names),
        name=name,
        by=tuple(keys),
        reverse=tuple(turned),
        scale=(float(offered[0]), float(offered[1])),
        scale_given=scale is not None,
        alpha=cronbach(answers[answered == len(names)]),
        icc1=anova.icc1(group_size),
        icc2=anova.icc2(),
        rwg=float(by_group["rwg"].mean()),
        ms_between=anova.ms_between,
        ms_within=anova.ms_within,
        group_size=anova.size(group_size),
        n_respondents=len(scores),
        n_groups=len(left),
        dropped=dropped,
    )


def _answers(
    data: Table, items: Sequence[str], keys: Sequence[str], scale: Scale | None
) -> tuple[pd.DataFrame, Array]:
    """Give the columns needed, and the answers (n, k), after every check of them."""
    if scale is not None:
        check_scale(scale)
    check_items(items)
    bounds = {} if scale is None else dict.fromkeys(items, scale)
    frame = validate(data, numeric=items, groups=keys, bounds=bounds)
    return frame, varied_answers(frame, items)


def _check_name(name: str, keys: Sequence[str]) -> None:
    taken = ("n_respondents", "n_items", "se", "reliability", "rwg", *keys)
    if name in taken:
        raise OptionError(f"name={name!r} is the name of another column; pass a different one")


def _score_table(
    answers: Array, answered: Codes, scores: Array, codes: Codes, anova: OneWay, scale: Scale
) -> pd.DataFrame:
    sizes = np.bincount(codes, minlength=anova.n_groups)
    error = anova.ms_within / sizes
    tau = max(0.0, (anova.ms_between - anova.ms_within) / anova.k0)
    return pd.DataFrame(
        {
            "score": group_means(scores, codes, anova.n_groups),
            "n_respondents": sizes,
            "n_items": np.bincount(codes, weights=answered).astype(int),
            "se": np.sqrt(error),
            "reliability": tau / (tau + error) if tau > 0 else np.zeros(anova.n_groups),
            "rwg": agreement(answers, codes, anova.n_groups, scale),
        }
    )


def _least(min_items: int | None, k: int) -> int:
    if min_items is None:
        return math.ceil(k / 2)
    if not 1 <= min_items <= k:
        raise OptionError(
            f"min_items={min_items!r} must lie between 1 and {k}, the number of items"
        )
    return min_items


def _reverse(answers: Array, items: Sequence[str], turned: Sequence[str], scale: Scale) -> None:
    """Turn the items that are worded the other way, in place."""
    for name in turned:
        check_option("reverse", name, items)
        at = list(items).index(name)
        answers[:, at] = scale[0] + scale[1] - answers[:, at]


def _warn_of_dropped(dropped: dict[str, int], n: int) -> None:
    found = [f"{reason}: {count:,}" for reason, count in dropped.items() if count]
    if found:
        message = f"left out ({n:,} rows in all): {'; '.join(found)}"
        warnings.warn(message, DroppedRows, stacklevel=3)
