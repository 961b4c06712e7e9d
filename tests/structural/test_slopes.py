"""Random slopes of observed predictors: whole clusters, quadrature, differences, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.structural.implied import Moments

from . import dense
from .test_nested import schools, slope_and_bend

FACTOR = """
level: 1
    fw =~ y1 + y2 + y3
    fw ~ rv("s")*x
level: 2
    fb =~ y1 + y2 + y3
    fb ~ w
    s ~ w
"""
CHAIN = """
level: 1
    m ~ rv("a")*x
    y ~ rv("b")*m + x
level: 2
    m ~~ y
    a ~~ b
    y ~~ b
"""


def varying(seed, J=60):
    """Clusters with random slopes of x on m and of m on y."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(J), rng.integers(4, 9, J))
    u = rng.normal(size=(J, 4)) * [0.5, 0.6, 0.4, 0.4]
    x = rng.normal(size=len(codes))
    m = u[codes, 0] + (0.3 + u[codes, 2]) * x + rng.normal(size=len(codes))
    y = u[codes, 1] + (0.4 + u[codes, 3]) * m + 0.2 * x + rng.normal(size=len(codes))
    return pd.DataFrame({"g": codes, "x": x, "m": m, "y": y})


def test_a_slope_on_a_factor_is_that_of_whole_clusters():
    frame = schools(1, J=50)
    fit = tl.sem(FACTOR, frame, cluster="school")
    assert fit.converged
    (group,) = fit.model.likelihood.groups
    within, between = fit.states
    moments = group.places.joined(block_moments(within), block_moments(between))
    codes, _ = pd.factorize(frame["school"], sort=True)
    z = frame.groupby(codes)[["w"]].first().to_numpy()
    names = [fit.model.structure.blocks[0].observed[k] for k in group.places.own_w]
    data = dense.Data(frame[names].to_numpy(), z, codes, frame[["x"]].to_numpy())
    whole = dense.deviance(data, moments)
    assert fit.deviance == pytest.approx(whole - float(fit.model.offset[0]), abs=1e-7)


def block_moments(state):
    return Moments(state.Sigma, state.mu)


@pytest.mark.parametrize(("model", "data"), [(FACTOR, schools), (CHAIN, varying)])
def test_gradient_and_hessian(model, data):
    frame = data(2, J=50)
    fit = tl.sem(model, frame, cluster="school" if "school" in frame else "g")
    rng = np.random.default_rng(3)
    theta = fit.working_theta + 0.05 * rng.standard_normal(len(fit.working_theta))

    def at(points):
        return fit.model.deviance(points, np.zeros(len(points), dtype=np.intp))

    here = at(theta[None])
    slope, bend = slope_and_bend(at, theta)
    assert here.gradient[0] == pytest.approx(slope, rel=1e-7, abs=1e-6)
    assert here.hessian[0] == pytest.approx(bend, abs=1e-7 * np.abs(bend).max())


def test_a_mediators_random_slope_by_quadrature():
    # The slopes a and b multiply each other on the way from x to y, so that y given x is not
    # normal; but m is observed, and given m the likelihood is exact.
    frame = varying(4, J=30)
    fit = tl.sem(CHAIN, frame, cluster="g")
    # Two rows a cluster leave the integrand flat enough for 24 nodes a dimension.
    some = frame[frame["g"] < 2].groupby("g").head(2)
    rows = fit.parameters.set_index(["lhs", "op", "rhs", "level"])["est"]
    names = ("m", "y", "a", "b")
    T = np.zeros((4, 4))
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            key = (one, "~~", other, 2)
            T[i, j] = rows.get(key, rows.get((other, "~~", one, 2), 0.0))
    mean = np.array([rows[(name, "~1", "", 2)] for name in names])
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    grid = np.stack(np.meshgrid(*[nodes] * 4, indexing="ij"), -1).reshape(-1, 4)
    mass = np.prod(np.stack(np.meshgrid(*[weights] * 4, indexing="ij"), -1).reshape(-1, 4), 1)
    mass = mass / (2 * np.pi) ** 2
    w, Q = np.linalg.eigh(T)
    u = mean + grid @ (Q * np.sqrt(np.maximum(w, 0))).T
    total = 0.0
    for _, rows_j in some.groupby("g"):
        log = np.zeros(len(u))
        for _, row in rows_j.iterrows():
            for value, centre, name in (
                (row.m, u[:, 0] + u[:, 2] * row.x, "m"),
                (row.y, u[:, 1] + u[:, 3] * row.m + rows[("y", "~", "x", 1)] * row.x, "y"),
            ):
                variance = rows[(name, "~~", name, 1)]
                log -= 0.5 * (np.log(2 * np.pi * variance) + (value - centre) ** 2 / variance)
        total -= 2 * np.log(np.sum(mass * np.exp(log)))
    (group,) = fit.model.likelihood.groups
    moments = group.places.joined(*(block_moments(state) for state in fit.states))
    order = [fit.model.structure.blocks[0].observed[k] for k in group.places.own_w]
    x = some[["x", "m"]].to_numpy()
    data = dense.Data(some[order].to_numpy(), np.zeros((2, 0)), some["g"].to_numpy(), x)
    whole = dense.deviance(data, moments)
    S, centre = moments.Sigma_w[0], moments.mu[0]
    k = order.index("x")
    own = (some["x"] - centre[k]) ** 2 / S[k, k] + np.log(2 * np.pi * S[k, k])
    assert whole - own.sum() == pytest.approx(total, rel=1e-6)


class TestInput:
    def refused(self, model, match):
        with pytest.raises(tl.FormulaError, match=match):
            tl.sem(model, varying(5), cluster="g")

    def test_two_levels_are_needed(self):
        with pytest.raises(tl.FormulaError, match="two levels"):
            tl.sem('y ~ rv("s")*x', varying(5))

    def test_level_two_has_none(self):
        self.refused('level: 1\n y ~ x\nlevel: 2\n y ~ rv("s")*m', "stands in level 1")

    def test_other_modifiers(self):
        self.refused('level: 1\n y ~ rv("s")*x + b*x\nlevel: 2\n y ~~ y', "without other modifiers")

    def test_one_path_a_slope(self):
        self.refused('level: 1\n y ~ rv("s")*x + rv("s")*m\nlevel: 2\n y ~~ y', "two paths")

    def test_predictor_that_depends_on_the_outcome(self):
        self.refused('level: 1\n y ~ rv("s")*m\n m ~ y\nlevel: 2\n y ~~ y', "depends on 'y'")

    def test_latent_predictor(self):
        self.refused('level: 1\n f =~ x + m\n y ~ rv("s")*f\nlevel: 2\n y ~~ y', "is a factor")

    def test_no_test_of_fit_and_no_standard_solution(self):
        fit = tl.sem(CHAIN, varying(6), cluster="g")
        assert "chisq" not in fit.fit_measures
        assert {"logl", "aic", "bic", "npar"} <= set(fit.fit_measures.index)
        assert fit.parameters["std_all"].isna().all()
        assert "Log-likelihood" in str(fit.summary())
        for ask in (lambda: fit.standardized, lambda: fit.level_fit, fit.residuals):
            with pytest.raises(tl.OptionError, match="random slopes"):
                ask()

    def test_robust_standard_errors(self):
        plain = tl.sem(CHAIN, varying(7), cluster="g")
        robust = tl.sem(CHAIN, varying(7), cluster="g", estimator="mlr")
        assert robust.params.to_numpy() == pytest.approx(plain.params.to_numpy())
        ratio = (robust.bse / plain.bse).to_numpy()
        assert ratio == pytest.approx(np.ones(len(ratio)), abs=0.6)
        assert not (ratio == 1).any()
