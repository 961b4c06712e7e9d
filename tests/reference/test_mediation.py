"""`mediate` against lavaan, effect by effect, and against nlme where slopes are random."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl
from teamlink.errors import TeamlinkWarning

from .mediation import parse
from .twolevel import parse as twolevel

ITEMS = {"climate": ["c1", "c2", "c3"]}

CALLS: dict[str, tuple[str, str, Any, str, dict[str, Any]]] = {
    "demo_211": ("2-1-1", "w1", "y1", "y2", {}),
    "demo_221": ("2-2-1", "w1", "w2", "y1", {}),
    "demo_111": ("1-1-1", "y1", "y2", "y3", {"fixed_x": False}),
    "teachers_211": ("2-1-1", "lead", "trust", "math", {"covariates": ["support"]}),
    "teachers_221_serial": ("2-2-1", "lead", ["collab", "efficacy"], "math", {"serial": True}),
    "teachers_211_parallel": ("2-1-1", "lead", ["trust", "morale"], "math", {}),
    "teachers_111_serial": (
        "1-1-1", "ses", ["trust", "morale"], "math", {"serial": True, "fixed_x": False}
    ),
    "teachers_2211": ("2-2-1-1", "lead", ["collab", "trust"], "math", {"serial": True}),
    "teachers_latent": ("2-1-1", "lead", "climate", "math", {"measures": ITEMS}),
    "teachers_latent_221": ("2-2-1", "lead", "climate", "math", {"measures": ITEMS}),
    "teachers_missing": ("2-1-1", "lead", "trust", "math", {"missing": "fiml"}),
    "schools_222": ("2-2-2", "trust", "morale", "math", {}),
    "teachers_single": ("single", "ses", "effort", "reading", {}),
}  # fmt: skip


@cache
def found(key: str) -> Any:
    design, x, m, y, options = CALLS[key]
    data = twolevel.demo() if key.startswith("demo") else parse.teachers(key.endswith("missing"))
    with warnings.catch_warnings():
        # What is warned of is tested in tests/mediation.
        warnings.simplefilter("ignore", TeamlinkWarning)
        cluster = "cluster" if key.startswith("demo") else "school"
        return tl.mediate(design, x, m, y, data, cluster, **options)


def test_output_is_that_of_the_script() -> None:
    assert parse.raw()["digest"] == parse.md5(parse.SCRIPT)


@pytest.mark.parametrize("key", CALLS)
class TestAgainstLavaan:
    def test_log_likelihood(self, key: str) -> None:
        theirs = parse.number(key, "logl")
        assert found(key).fit.converged
        # lavaan's optimiser stops a little early at two levels; ours may be better, never worse.
        # With missing values its saturated model, which gives moments of x, stops earlier still.
        limit = 1e-3 if key == "teachers_missing" else 1e-4
        assert theirs - 1e-6 <= found(key).fit.llf <= theirs + limit
        # That one was asked for the intercepts too.
        means = 2 if key == "schools_222" else 0
        assert found(key).fit.n_parameters == parse.number(key, "npar") - means

    def test_every_effect_and_its_error(self, key: str) -> None:
        theirs = parse.reference(key)
        fit = found(key).fit
        here = [label for label in theirs.index if label in fit.params.index]
        assert set(theirs.index) - set(here) <= {"p", "q"}
        away = np.abs(fit.params[here] - theirs.loc[here, "est"]) / theirs.loc[here, "se"]
        assert away.max() < 5e-3
        # Errors move with the estimates, and lavaan's information is a difference of slopes.
        assert fit.bse[here].to_numpy() == pytest.approx(
            theirs.loc[here, "se"].to_numpy(), rel=1e-3
        )

    def test_effects_are_those_of_the_fit(self, key: str) -> None:
        frame = found(key).conf_int("delta").set_index("label")
        assert frame["estimate"].to_numpy() == pytest.approx(found(key).fit.params[frame.index])
        assert "indirect" in set(frame["effect"])


@cache
def random_slopes() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        return tl.mediate(
            "1-1-1", "ses", "effort", "reading", parse.teachers(), "school", random_slopes=True
        )


class TestRandomSlopes:
    """The stacked mixed model of Bauer, Preacher and Gil by nlme, residuals of two variances."""

    def test_log_likelihood(self) -> None:
        theirs = parse.number("random", "logl")
        assert theirs - 1e-6 <= random_slopes().fit.llf <= theirs + 1e-6

    def test_effects(self) -> None:
        _, _, a, b, c, mean, _ = parse.raw()["models"]["random"]["fixed"]
        ours, cov = random_slopes().fit.params, parse.number("random", "cov_ab")
        # Both at the optimum; nlme stops where its likelihood has eight digits.
        for name, theirs in {
            "a_within": a, "b_within": b, "c_within": c, "a_between": mean, "cov_ab": cov,
            "indirect_within": a * b + cov, "total_within": c + a * b + cov,
        }.items():  # fmt: skip
            assert ours[name] == pytest.approx(theirs, abs=1e-5)

    def test_variances_of_slopes(self) -> None:
        rows = random_slopes().fit.parameters.set_index(["lhs", "op", "rhs"])["est"]
        for slope in ("a", "b"):
            own = rows[f"slope_{slope}", "~~", f"slope_{slope}"]
            assert own == pytest.approx(parse.number("random", f"var_{slope}"), abs=1e-5)
