"""Names of variance components that several grouping factors share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from teamlink.fitting.components import Components, unique_names
from teamlink.inference.replicates import Labels
from teamlink.inference.resampling import of_statistic

GROUPS = ("class", "school", "school", "Residual")
TERMS = ("sd__Intercept", "sd__Intercept", "sd__ses", "sd__Observation")
KEYS = ("sd__Intercept|class", "sd__Intercept|school", "sd__ses", "sd__Observation")


def test_a_factor_is_named_only_where_terms_repeat() -> None:
    assert Components(GROUPS, TERMS, np.zeros((1, 4))).keys == KEYS
    assert unique_names(GROUPS[1:], TERMS[1:]) == TERMS[1:]


def test_a_coefficient_keeps_its_name() -> None:
    labels = Labels(("fixed", *["ran_pars"] * 4), (None, *GROUPS), ("ses", *TERMS))
    assert labels.keys == ("ses", *KEYS)


def test_a_statistic_tells_the_factors_apart() -> None:
    labels = Labels(("ran_pars",) * 4, GROUPS, TERMS)

    def share(estimates: pd.Series) -> float:
        return estimates["sd__Intercept|class"] / estimates["sd__Intercept|school"]

    values = np.array([[6.0, 2.0, 1.0, 1.0], [1.0, 4.0, 1.0, 1.0]])
    _, found, failure = of_statistic(share, labels, values, ("", ""))
    assert found.tolist() == [[3.0], [0.25]]
    assert failure == ("", "")
