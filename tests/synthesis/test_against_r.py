"""Meta-analyses number by number against R's metafor and clubSandwich."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

HOME = Path(__file__).parents[1] / "reference" / "synthesis"
R: dict[str, Any] = json.loads((HOME / "output.json").read_text(encoding="utf-8"))

CLOSED = 1e-10
"""Relative. Closed formulas of the same numbers."""

SOLVED = 1e-6
"""Relative. metafor solves for tau2 until it changes by 1e-14; its slope there is still 1e-8."""

SEARCHED = 2e-6
"""Relative. rma.mv searches with derivatives by differences and stops at 1e-14 of the criterion,
which leaves its variances about 1e-7 off; ours may only be likelier."""


@cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(HOME / f"{name}.csv")


@cache
def pooled(key: str) -> tl.meta:
    name, method, test = key.split("_")
    return tl.meta(
        "yi",
        "vi",
        data=table("bcg" if name == "moderated" else name),
        study="trial",
        moderators="ablat + alloc" if name == "moderated" else None,
        method=method,
        knha={"z": False, "knha": True, "adhoc": "adhoc"}[test],
    )


def near(ours: Any, theirs: Any, rtol: float, atol: float = 0.0) -> None:
    np.testing.assert_allclose(np.asarray(ours, dtype=float), theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("file", sorted(R["digests"]))
def test_script_data_and_output_belong_together(file: str) -> None:
    raw = (HOME / file).read_bytes()
    assert hashlib.md5(raw, usedforsecurity=False).hexdigest() == R["digests"][file]


@pytest.mark.parametrize("key", R["models"])
class TestModels:
    def test_estimates(self, key: str) -> None:
        ours, theirs = pooled(key), R["models"][key]
        near(ours.tau2, theirs["tau2"], SOLVED, 1e-10)
        near(ours.params, theirs["b"], SOLVED, 1e-9)
        near(ours.bse, theirs["se"], SOLVED)
        near(ours.pvalues, theirs["p"], 1e-4)
        ends = ours.conf_int()
        near(ends["conf_low"], theirs["low"], SOLVED, 1e-8)
        near(ends["conf_high"], theirs["high"], SOLVED, 1e-8)

    def test_heterogeneity(self, key: str) -> None:
        ours, theirs = pooled(key), R["models"][key]
        near([ours.q, ours.q_pvalue], [theirs["Q"], theirs["Qp"]], CLOSED)
        near([100 * ours.i2, ours.h2], [theirs["I2"], theirs["H2"]], SOLVED, 1e-7)

    def test_interval_of_tau2(self, key: str) -> None:
        ours = pooled(key).tau2_interval
        if "profile" not in R["models"][key]:
            assert ours is None
        elif None in R["models"][key]["profile"]:
            assert ours == (0.0, 0.0)  # R gives none where even zero is too much
        else:
            near(ours, R["models"][key]["profile"], 1e-7, 1e-9)

    def test_moderators_together(self, key: str) -> None:
        ours, theirs = pooled(key), R["models"][key]
        if not key.startswith("moderated"):
            with pytest.raises(tl.OptionError, match="no moderators"):
                _ = ours.moderator_test
            return
        found = ours.moderator_test
        r = found["df_num"]
        statistic = found["statistic"] * (r if np.isinf(found["df_denom"]) else 1)
        near(statistic, theirs["QM"], SOLVED)
        near(found["p_value"], theirs["QMp"], 1e-4)

    def test_prediction_and_weights(self, key: str) -> None:
        ours, theirs = pooled(key), R["models"][key]
        if "prediction" in theirs:
            near(ours.prediction_interval(), theirs["prediction"], SOLVED, 1e-8)
        if "weights" in theirs:
            near(ours.weights, theirs["weights"], SOLVED)

    def test_likelihood(self, key: str) -> None:
        ours, theirs = pooled(key), R["models"][key]
        if key.split("_")[1] in ("dl", "pm"):
            assert np.isnan(ours.llf)
        else:
            near(ours.llf, theirs["ll"], 1e-9)
            assert ours.llf >= theirs["ll"] - 1e-9


def test_leave_one_out() -> None:
    ours = pooled("bcg_reml_knha").leave_one_out()
    theirs = np.array(R["one_out"])
    theirs[:, 6] /= 100
    near(ours, theirs, SOLVED, 1e-8)


def test_egger() -> None:
    ours, theirs = pooled("bcg_reml_knha").egger(), R["egger"]
    near(ours["statistic"], theirs["stat"], CLOSED)
    near(ours["p_value"], theirs["p"], 1e-8)
    near([ours["df"], ours["limit"]], [theirs["df"], theirs["limit"]], 1e-9)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2"])
def test_clusters(kind: str) -> None:
    ours = tl.meta("yi", "vi", data=table("calendar"), cluster="district", robust=kind)
    theirs = R["clusters"][kind]
    near([ours.params.iloc[0], ours.bse.iloc[0]], [theirs["b"], theirs["se"]], SOLVED)
    near(ours.df, theirs["df"], 1e-6)
    near(ours.pvalues, theirs["p"], 1e-5)


def test_clusters_and_moderators() -> None:
    ours = tl.meta(
        "yi", "vi", data=table("calendar"), cluster="district", moderators="year + curve"
    )
    theirs = R["clusters"]["CR2_bent"]
    near(ours.params, theirs["b"], 1e-5)
    near(ours.bse, theirs["se"], 1e-5)
    near(ours.df, theirs["df"], 1e-5)
    near(list(ours.moderator_test.values()), theirs["joint"], 1e-4)


@pytest.mark.parametrize(("key", "method", "moderators"), [
    ("reml", "reml", None), ("ml", "ml", None), ("year", "reml", "year"),
])  # fmt: skip
def test_three_levels(key: str, method: str, moderators: str | None) -> None:
    ours = tl.meta(
        "yi",
        "vi",
        data=table("calendar"),
        cluster="district",
        nested=True,
        robust="none",
        method=method,
        moderators=moderators,
    )
    theirs = R["nested"][key]
    assert ours.llf >= theirs["ll"] - 1e-9
    near(ours.llf, theirs["ll"], 1e-8)
    near(ours.variances, theirs["sigma2"], SEARCHED)
    near(ours.params, theirs["b"], SEARCHED)
    near(ours.bse, theirs["se"], SEARCHED)


def test_three_levels_robust() -> None:
    ours = tl.meta("yi", "vi", data=table("calendar"), cluster="district", nested=True)
    theirs = R["nested"]["CR2"]
    near(ours.bse, theirs["se"], SEARCHED)
    near(ours.df, theirs["df"], SEARCHED)
    near(ours.pvalues, theirs["p"], 10 * SEARCHED)


def test_effect_sizes() -> None:
    z = tl.effect_sizes("z", r=[0.1, -0.4, 0.85], n=[20, 53, 400])
    near(z["effect"], R["sizes"]["z"]["yi"], CLOSED)
    near(z["variance"], R["sizes"]["z"]["vi"], CLOSED)
    t = table("means")
    g = tl.effect_sizes(
        "g", mean1=t["m1"], sd1=t["sd1"], n1=t["n1"], mean2=t["m2"], sd2=t["sd2"], n2=t["n2"]
    )
    near(g["effect"], R["sizes"]["g"]["yi"], CLOSED)
    near(g["variance"], R["sizes"]["g"]["vi"], CLOSED)
    b = table("bcg")
    risk = tl.effect_sizes(
        "log_risk_ratio", events1=b["tpos"], n1=b["n1"], events2=b["cpos"], n2=b["n2"]
    )
    near(risk["effect"], b["yi"], CLOSED)
    near(risk["variance"], b["vi"], CLOSED)
