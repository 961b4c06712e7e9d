"""Structural equations against lavaan, number by number."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .lavaan.parse import KEYS, MODELS, SCRIPT, SPECIFIED, data, frame, measures, raw
from .lme4.parse import md5

ESTIMATE = 1e-5
"""Relative to the estimate or to its standard error, whichever is larger."""

STANDARD_ERROR = 1e-4
"""Relative. lavaan differentiates numerically for observed information."""

LOG_LIKELIHOOD = 1e-6
SCALING = 1e-3

models = pytest.mark.parametrize("key", KEYS)


@cache
def fit(key: str) -> Any:
    said = SPECIFIED[key]
    return tl.sem(said["model"], data(said["data"]), **said["options"])


def rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows keyed by what they are; a covariance whichever way it is written."""
    swap = (table["op"] == "~~") & (table["lhs"] > table["rhs"])
    lhs = table["lhs"].where(~swap, table["rhs"])
    rhs = table["rhs"].where(~swap, table["lhs"])
    rhs = rhs.where(table["op"] != ":=", "")
    group = table["group"].where(table["op"] != ":=", 0).astype(int)
    keyed = table.assign(lhs=lhs, rhs=rhs, group=group)
    return keyed.set_index(["lhs", "op", "rhs", "group"]).sort_index()


OURS: dict[str, Callable[[Any], pd.DataFrame]] = {
    "table": lambda fit: fit.table.frame(),
    "estimates": lambda fit: fit.parameters,
    "standardized": lambda fit: fit.standardized,
}


@cache
def both(key: str, part: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Our table and lavaan's, row by row; lavaan's rows of constraints are left out."""
    ours = OURS[part](fit(key))
    theirs = frame(raw(key)[part])
    theirs = theirs[theirs["op"].isin(["=~", "~", "~~", "~1", ":="])]
    if part == "table":
        theirs = theirs[theirs["op"] != ":="]
        ours = ours[ours["op"].isin(["=~", "~", "~~", "~1"])]
    own, other = rows(ours), rows(theirs)
    assert list(own.index) == list(other.index)
    return own, other


@models
def test_output_is_of_the_script_as_it_stands(key: str) -> None:
    assert raw(key)["script_md5"] == md5(SCRIPT), "fit.R has changed: run it again"
    assert raw(key)["models_md5"] == md5(MODELS), "models.json has changed: run fit.R again"
    assert raw(key)["converged"]


@models
def test_parameter_table(key: str) -> None:
    """The same rows, the same ones free, the same number of parameters."""
    own, other = both(key, "table")
    np.testing.assert_array_equal(own["user"], other["user"] == 1)
    free = own["free"].to_numpy()
    np.testing.assert_array_equal(free, other["free"] > 0)
    np.testing.assert_array_equal(own["exogenous"], other["exo"] == 1)
    fixed = ~free & ~own["exogenous"].to_numpy()
    np.testing.assert_allclose(own["value"][fixed], other["ustart"][fixed])
    assert fit(key).n_parameters == measures(key)["npar"]


@models
def test_log_likelihood(key: str) -> None:
    """Never below lavaan's; above it only where lavaan's gradient is not zero."""
    gain = fit(key).llf - measures(key)["logl"]
    assert abs(gain) <= LOG_LIKELIHOOD
    assert fit(key).fit_measures["logl_h1"] == pytest.approx(
        measures(key)["unrestricted_logl"], abs=LOG_LIKELIHOOD
    )


@models
def test_estimates(key: str) -> None:
    own, other = both(key, "estimates")
    size = np.maximum(np.abs(other["est"]), other["se"].fillna(0.0))
    np.testing.assert_array_less(np.abs(own["est"] - other["est"]), ESTIMATE * size + 1e-12)


@models
def test_standard_errors_tests_and_intervals(key: str) -> None:
    own, other = both(key, "estimates")
    se = other["se"].to_numpy()
    known = np.isfinite(se) & (se > 0)
    np.testing.assert_allclose(own["se"][known], se[known], rtol=STANDARD_ERROR)
    assert (own["se"][~known].fillna(0.0) == 0).all()
    z = other["z"][known]
    np.testing.assert_allclose(own["z"][known], z, rtol=2 * STANDARD_ERROR, atol=2e-5)
    for ours, theirs in (("ci_lower", "ci.lower"), ("ci_upper", "ci.upper")):
        gap = np.abs(own[ours][known] - other[theirs][known])
        assert (gap <= 3 * STANDARD_ERROR * se[known]).all()


@models
def test_standardised(key: str) -> None:
    own, other = both(key, "estimates")
    for ours, theirs in (("std_all", "std.all"), ("std_lv", "std.lv")):
        gap = np.abs(own[ours] - other[theirs])
        assert (gap[np.isfinite(other[theirs])] <= 2e-5).all()
    own, other = both(key, "standardized")
    known = other["se"].fillna(0.0) > 1e-8
    np.testing.assert_allclose(own["se"][known], other["se"][known], rtol=STANDARD_ERROR, atol=1e-7)


@models
def test_fit_measures(key: str) -> None:
    theirs = measures(key)
    ours = fit(key).fit_measures
    names = {"bic2": "sabic", "unrestricted_logl": "logl_h1"}
    checked = 0
    for name, value in theirs.items():
        own = names.get(name, name)
        if own not in ours.index or not np.isfinite(value):
            continue
        if own == "scaling_factor_h0":
            # lavaan divides by all free rows, not by those that constraints leave.
            value *= free_rows(key) / fit(key).n_parameters
        if own.endswith("_scaled") and "_ci_" in own and theirs["df"] * scale(key) < 1:
            continue  # lavaan gives zero where c df is below one
        checked += 1
        scaled = "scal" in own or "robust" in own
        tolerance = {"abs": 1e-4, "rel": SCALING} if scaled else {"abs": 1e-6, "rel": 1e-7}
        assert ours[own] == pytest.approx(value, **tolerance), own
    # Of hs_single lavaan's baseline did not converge: it gives no comparative index.
    least = 15 if key == "hs_single" else 19
    assert checked >= (least if fit(key).options.robust is None else 30)


def scale(key: str) -> float:
    return measures(key)["chisq_scaling_factor"]


def free_rows(key: str) -> int:
    """Free rows of lavaan's table, equal ones counted apart."""
    return int((frame(raw(key)["table"])["free"] > 0).sum())


@models
def test_modification_indices(key: str) -> None:
    if "modification" not in raw(key):
        pytest.skip("lavaan gives none for this model")
    theirs = frame(raw(key)["modification"])
    theirs = theirs[theirs["mi"] > 1e-3]
    # lavaan regresses fixed exogenous variables too.
    exogenous = {name for own in fit(key).table.roles for name in own.exogenous}
    theirs = theirs[~theirs["lhs"].isin(exogenous)]
    theirs, ours = rows(theirs), rows(fit(key).modification_indices())
    assert list(theirs.index.difference(ours.index)) == []
    ours = ours.loc[theirs.index]
    for name, least in (("mi", 1e-4), ("epc", 1e-5)):
        gap = np.abs(ours[name] - theirs[name])
        assert (gap <= np.maximum(1e-3 * np.abs(theirs[name]), least)).all(), name


@models
def test_what_the_model_implies(key: str) -> None:
    said = raw(key)["implied"]
    own = fit(key).implied()[0].loc[said["names"], said["names"]].to_numpy()
    sd = np.sqrt(np.diag(own))
    gap = (own - np.array(said["cov"])) / np.outer(sd, sd)
    assert np.abs(gap).max() <= 1e-5
    r2 = raw(key)["r2"]
    values = np.array(r2["values"], dtype=float)
    known = np.isfinite(values)
    own_r2 = fit(key).r2.reindex(r2["names"]).to_numpy()
    np.testing.assert_allclose(own_r2[known], values[known], atol=1e-5)


@models
@pytest.mark.parametrize("method", ["regression", "Bartlett"])
def test_factor_scores(key: str, method: str) -> None:
    if method not in raw(key):
        pytest.skip("lavaan gives none for this model")
    said = raw(key)[method]
    values = np.array(said["values"], dtype=float)
    if key in NO_BARTLETT and method == "Bartlett":
        with pytest.raises(tl.OptionError, match="no observed indicators"):
            fit(key).factor_scores("bartlett")
        return
    own = fit(key).factor_scores(method.lower())
    group = SPECIFIED[key]["options"].get("group")
    if group is not None:
        column = data(SPECIFIED[key]["data"])[group]
        own = own[(column == column.iloc[0]).to_numpy()]
    spread = values.std(axis=0)
    ours = own[said["names"]].head(5).to_numpy()
    if not fit(key).table.meanstructure:
        # Without means lavaan's scores are those of exogenous variables that are not centred.
        ours, values = ours - ours[0], values - values[0]
    gap = np.abs(ours - values)
    assert (gap <= 1e-4 * np.maximum(spread, 1e-8)).all()


NO_BARTLETT = {"hs_higher"}
"""A factor of factors; lavaan's scores there come from a singular matrix."""


def test_the_estimators_differ_where_lavaan_s_do() -> None:
    """Else one could go by the other's name."""
    se = {key: fit(key).bse["visual=~x2"] for key in ("hs", "hs_mlr", "hs_mlm", "hs_observed")}
    assert len({round(value, 4) for value in se.values()}) == 4
    c = {fit(key).fit_measures["chisq_scaling_factor"] for key in ("hs_mlr", "hs_mlm")}
    assert max(c) - min(c) > 0.05
