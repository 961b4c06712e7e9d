r"""From survey answers to a school's scale score, and what that score is worth.

A respondent's score is the mean of the items answered; a school's score is the mean of its
respondents' scores. How far respondents of one school agree, and how reliable the school's mean
is, follow from the one-way analysis of variance of scores by school:

.. math:: MS_B = \sum_j n_j (\bar y_j - \bar y)^2 / (J - 1), \qquad
          MS_W = \sum_{ij} (y_{ij} - \bar y_j)^2 / (N - J).

Every index here is invariant to adding a constant to all answers and to stretching the scale.
"""

from __future__ import annotations

from teamlink.measurement.agreement import rwg
from teamlink.measurement.consistency import alpha
from teamlink.measurement.deviation import average_deviation
from teamlink.measurement.invariance import invariance
from teamlink.measurement.omega import omega
from teamlink.measurement.scale import SurveyScale, survey_scale
from teamlink.measurement.variance import icc1, icc2

__all__ = [
    "SurveyScale",
    "alpha",
    "average_deviation",
    "icc1",
    "icc2",
    "invariance",
    "omega",
    "rwg",
    "survey_scale",
]
