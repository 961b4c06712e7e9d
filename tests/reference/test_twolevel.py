"""The likelihoods of two levels and of missing values against lavaan."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from teamlink.moments.cells import cluster_cells
from teamlink.moments.clusters import cluster_moments, moments_by_size
from teamlink.moments.covariances import find_patterns, moments_by_pattern
from teamlink.structural.clusterscores import cluster_scores
from teamlink.structural.clusterwise import clusterwise_hessian, clusterwise_point
from teamlink.structural.fiml import normal_curvature, normal_point, row_scores
from teamlink.structural.levelfit import (
    baseline_clusterwise,
    baseline_normal,
    baseline_two_level,
    srmr_between,
    srmr_within,
)
from teamlink.structural.levels import LevelMoments
from teamlink.structural.saturated import (
    saturated_clusterwise,
    saturated_normal,
    saturated_two_level,
)
from teamlink.structural.twolevel import two_level_hessian, two_level_point

from .twolevel import parse

BOTH = np.array([True, True, True, False, False, False])
EVERY = np.ones(2, dtype=bool)

# lavaan's optimiser stops when the log-likelihood changes by less than 1e-10 of itself.
LOGL = 1e-6


def rows(holed):
    frame = parse.demo(holed)
    codes, levels = pd.factorize(frame["cluster"])
    z = frame.groupby(codes)[list(parse.CLUSTER)].first().to_numpy()
    return frame[list(parse.WITHIN)].to_numpy(), z, codes, len(levels)


def complete():
    return moments_by_size(cluster_moments(*rows(False)))


def exogenous():
    """Deviance of x and w, which lavaan takes off where they are fixed."""
    y, z, _, _ = rows(False)
    total = 0.0
    for block in (y[:, 3:], z):
        n, p = block.shape
        S = np.cov(block.T, bias=True)
        total += n * (p * (np.log(2 * np.pi) + 1) + np.linalg.slogdet(S)[1])
    return total


def implied(key):
    """lavaan's implied moments of a two-level model, in our arrangement."""
    r = parse.reference(key)
    w, b = pd.DataFrame(r.cov["within"]), pd.DataFrame(r.cov["cluster"])
    w.index = w.columns = pd.Index(r.names["within"])
    b.index = b.columns = pd.Index(r.names["cluster"])
    y, z = list(parse.WITHIN), list(parse.CLUSTER)
    mean = pd.Series(r.mean["within"], r.names["within"]).reindex(y)
    between = pd.Series(r.mean["cluster"], r.names["cluster"])
    mean = mean.add(between.reindex(y), fill_value=0.0)
    return LevelMoments.without_slopes(
        mean.to_numpy()[None], between[z].to_numpy()[None], w.loc[y, y].to_numpy()[None],
        b.reindex(index=y, columns=y, fill_value=0.0).to_numpy()[None],
        b.reindex(index=y, columns=z, fill_value=0.0).to_numpy()[None],
        b.loc[z, z].to_numpy()[None],
    )  # fmt: skip


class TestTwoLevels:
    @pytest.mark.parametrize("key", ["complete", "complete_random_x"])
    def test_likelihood_of_lavaans_estimates(self, key):
        point = two_level_point(complete(), implied(key))
        offset = exogenous() if key == "complete" else 0.0
        logl = parse.reference(key).measures["logl"]
        assert -(point.deviance[0] - offset) / 2 == pytest.approx(logl, abs=LOGL)

    def test_saturated_model_is_never_below_lavaans(self):
        found = saturated_two_level(complete(), BOTH)
        assert found.converged[0]
        assert found.gradient[0] < 1e-6
        ours = -(found.deviance[0] - exogenous()) / 2
        theirs = parse.reference("complete").measures["unrestricted.logl"]
        # lavaan's EM stops when the log-likelihood changes by less than 1e-4.
        assert theirs <= ours + LOGL
        assert ours == pytest.approx(theirs, abs=1e-3)

    def test_baseline(self):
        stats = complete()
        baseline = baseline_two_level(stats, BOTH, ~BOTH, EVERY)
        theirs = parse.reference("complete").measures
        ours = -(baseline.deviance[0] - exogenous()) / 2
        lavaan = theirs["unrestricted.logl"] - theirs["baseline.chisq"] / 2
        assert ours == pytest.approx(lavaan, abs=LOGL)

    def test_srmr(self):
        saturated = saturated_two_level(complete(), BOTH).moments
        theirs = parse.reference("complete").measures
        # The saturated moments of lavaan are those at which its EM stopped.
        within, between = theirs["srmr_within"], theirs["srmr_between"]
        model = implied("complete")
        assert srmr_within(saturated, model)[0] == pytest.approx(within, rel=2e-3)
        assert srmr_between(saturated, model, BOTH)[0] == pytest.approx(between, rel=2e-3)

    def test_scaling_factor_of_the_saturated_model(self):
        stats, clusters = complete(), cluster_moments(*rows(False))
        moments = saturated_two_level(stats, BOTH).moments
        ways = free_moments()
        point = two_level_point(stats, moments)
        information = two_level_hessian(point, ways)[0] / 2
        scores = cluster_scores(clusters, point, moments, ways)
        factor = np.trace(np.linalg.solve(information, scores.T @ scores)) / scores.shape[1]
        theirs = parse.reference("complete_mlr").measures["scaling.factor.h1"]
        assert factor == pytest.approx(theirs, abs=1e-3)


def free_moments():
    """Directions in which a saturated model moves when the moments of x and w are held."""
    p, q, b = 6, 2, 3
    w = [(i, j) for i in range(p) for j in range(i + 1) if j < b]
    pairs = [(i, j) for i in range(b) for j in range(i + 1)]
    cross = [(i, j) for i in range(b) for j in range(q)]
    K = b + len(w) + len(pairs) + len(cross)
    arrays = [np.zeros((1, K, *shape)) for shape in ((p,), (q,), (p, p), (p, p), (p, q), (q, q))]
    k = 0
    for i in range(b):
        arrays[0][0, k, i] = 1.0
        k += 1
    for place, some in ((2, w), (3, pairs)):
        for i, j in some:
            arrays[place][0, k, i, j] = arrays[place][0, k, j, i] = 1.0
            k += 1
    for i, j in cross:
        arrays[4][0, k, i, j] = 1.0
        k += 1
    return LevelMoments.without_slopes(*arrays)


class TestTwoLevelsWithMissingValues:
    def test_likelihood_of_lavaans_estimates(self):
        point = clusterwise_point(cluster_cells(*rows(True)), implied("missing"))
        logl = parse.reference("missing").measures["logl"]
        assert -(point.deviance[0] - exogenous()) / 2 == pytest.approx(logl, abs=LOGL)

    def test_saturated_model_is_never_below_lavaans(self):
        found = saturated_clusterwise(cluster_cells(*rows(True)), BOTH)
        assert found.gradient[0] < 1e-6
        ours = -(found.deviance[0] - exogenous()) / 2
        theirs = parse.reference("missing").measures["unrestricted.logl"]
        # lavaan stops 0.002 short of it, so its chi-square is 0.004 too small.
        assert theirs <= ours + LOGL
        assert ours == pytest.approx(theirs, abs=1e-2)

    def test_baseline(self):
        baseline = baseline_clusterwise(cluster_cells(*rows(True)), BOTH, ~BOTH, EVERY)
        theirs = parse.reference("missing").measures
        ours = -(baseline.deviance[0] - exogenous()) / 2
        lavaan = theirs["unrestricted.logl"] - theirs["baseline.chisq"] / 2
        # lavaan fits this one by EM too, which stops early.
        assert lavaan <= ours + LOGL
        assert ours == pytest.approx(lavaan, abs=1e-3)

    def test_a_newton_step_from_the_saturated_model_promises_nothing(self):
        cells = cluster_cells(*rows(True))
        found = saturated_clusterwise(cells, BOTH)
        ways = free_moments()
        point = clusterwise_point(cells, found.moments)
        step = np.linalg.solve(
            clusterwise_hessian(cells, point, ways)[0], point.gradient.along(ways)[0]
        )
        assert step @ point.gradient.along(ways)[0] < 1e-12


class TestOneLevelWithMissingValues:
    @pytest.mark.parametrize(("key", "holed"), [("rows_complete", False), ("rows_missing", True)])
    def test_likelihoods(self, key, holed):
        y = parse.holzinger(holed).to_numpy()
        stats = moments_by_pattern(y, find_patterns(y))
        r = parse.reference(key)
        point = normal_point(stats, r.mean[""][None], r.cov[""][None])
        assert -point.deviance[0] / 2 == pytest.approx(r.measures["logl"], abs=LOGL)
        saturated = -saturated_normal(stats).deviance[0] / 2
        theirs = r.measures["unrestricted.logl"]
        assert theirs <= saturated + LOGL
        assert saturated == pytest.approx(theirs, abs=1e-5)
        baseline = -baseline_normal(stats, np.zeros(9, dtype=bool)).deviance[0] / 2
        lavaan = theirs - r.measures["baseline.chisq"] / 2
        assert baseline == pytest.approx(lavaan, abs=1e-5)

    def test_scaling_factor_of_the_saturated_model(self):
        y = parse.holzinger(True).to_numpy()
        patterns = find_patterns(y)
        stats = moments_by_pattern(y, patterns)
        found = saturated_normal(stats)
        pairs = [(i, j) for i in range(9) for j in range(i + 1)]
        dmu, dSigma = np.zeros((1, 54, 9)), np.zeros((1, 54, 9, 9))
        dmu[0, np.arange(9), np.arange(9)] = 1.0
        for k, (i, j) in enumerate(pairs):
            dSigma[0, 9 + k, i, j] = dSigma[0, 9 + k, j, i] = 1.0
        point = normal_point(stats, found.mu, found.Sigma)
        information = normal_curvature(point).second(dmu, dSigma)[0] / 2
        scores = row_scores(y, patterns, found.mu[0], found.Sigma[0], dmu[0], dSigma[0])
        factor = np.trace(np.linalg.solve(information, scores.T @ scores)) / 54
        theirs = parse.reference("rows_missing_mlr").measures["scaling.factor.h1"]
        assert factor == pytest.approx(theirs, abs=1e-3)


def test_the_output_is_that_of_the_script():
    assert parse.raw()["digest"] == parse.md5(parse.SCRIPT)


@pytest.mark.live_r
def test_lavaan_says_the_same_today(tmp_path):
    script = tmp_path / "run.R"
    shutil.copy(parse.SCRIPT, script)
    subprocess.run(["Rscript", str(script)], check=True, capture_output=True, timeout=600)
    found = json.loads((tmp_path / "output.json").read_text())["models"]
    for key, model in parse.raw()["models"].items():
        assert found[key]["logl"] == pytest.approx(model["logl"], abs=1e-8)
