"""Two levels and missing values through `sem`: optima, invariances, and bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import BoundaryFit, DroppedRows, FewGroups, NotConverged

MODEL = """
level: 1
    fw =~ y1 + y2 + y3
    fw ~ x
level: 2
    fb =~ y1 + y2 + y3
    fb ~ w
"""


def schools(seed, J=40, missing=0.0, sizes=(2, 9)):
    rng = np.random.default_rng(seed)
    n = rng.integers(*sizes, J)
    codes = rng.permutation(np.repeat(np.arange(J), n))
    N = len(codes)
    w, x = rng.normal(size=J), rng.normal(size=N)
    fb = 0.5 * w + rng.normal(size=J)
    fw = 0.4 * x + rng.normal(size=N)
    frame = pd.DataFrame({"school": codes, "x": x, "w": w[codes]})
    for k, loading in enumerate((1.0, 0.8, 0.7)):
        u = loading * fb + 0.6 * rng.normal(size=J)
        y = 1.0 + k + loading * fw + u[codes] + 0.8 * rng.normal(size=N)
        y[rng.random(N) < missing] = np.nan
        frame[f"y{k + 1}"] = y
    frame["half"] = np.where(codes % 2 == 0, "a", "b")
    return frame


def slope_and_bend(function, at, step=1e-4):
    """Differences (k,) of values and (k, k) of gradients, of order four.

    `function` gives both at many points (A, k) at once, so each point is asked for once.
    """

    def both(points):
        found = function(points)
        return np.column_stack([found.value, found.gradient])

    E = step * np.eye(len(at))
    near = both(at + E) - both(at - E)
    far = both(at + 2 * E) - both(at - 2 * E)
    found = (8 * near - far) / (12 * step)
    return found[:, 0], found[:, 1:]


CASES = {
    "complete": (0.0, {}),
    "missing": (0.15, {"missing": "fiml"}),
    "random_x": (0.0, {"fixed_x": False}),
    "groups": (0.0, {"group": "half"}),
    "equal_groups": (0.0, {"group": "half", "group_equal": ["loadings"]}),
    "groups_missing": (0.15, {"group": "half", "missing": "fiml"}),
    "robust": (0.0, {"estimator": "mlr"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_end_is_an_optimum(case):
    missing, options = CASES[case]
    fit = tl.sem(MODEL, schools(1, J=90, missing=missing), cluster="school", **options)
    assert fit.converged
    assert np.abs(fit.model.deviance(fit.working_theta[None]).gradient).max() < 1e-5
    assert fit.fit_measures["chisq"] >= 0


class TestInvariance:
    def test_order_and_names_of_clusters(self):
        frame = schools(3)
        plain = tl.sem(MODEL, frame, cluster="school")
        named = frame.assign(school="s" + frame["school"].astype(str))
        other = tl.sem(MODEL, named.sample(frac=1, random_state=1), cluster="school")
        assert other.llf == pytest.approx(plain.llf, abs=1e-7)
        assert other.params.to_numpy() == pytest.approx(plain.params.to_numpy(), abs=1e-5)

    def test_units(self):
        frame = schools(4)
        plain = tl.sem(MODEL, frame, cluster="school")
        moved = frame.assign(y1=100 + 10 * frame["y1"], x=frame["x"] / 100 - 3)
        other = tl.sem(MODEL, moved, cluster="school")
        change = len(frame) * np.log(10)
        assert other.llf == pytest.approx(plain.llf - change, abs=1e-6)
        assert other.fit_measures["chisq"] == pytest.approx(plain.fit_measures["chisq"], abs=1e-6)

    def test_every_cluster_twice_doubles_the_deviance(self):
        frame = schools(5)
        again = frame.assign(school=frame["school"] + 1000)
        plain = tl.sem(MODEL, frame, cluster="school")
        other = tl.sem(MODEL, pd.concat([frame, again]), cluster="school")
        assert other.deviance == pytest.approx(2 * plain.deviance, rel=1e-10)
        assert other.params.to_numpy() == pytest.approx(plain.params.to_numpy(), abs=1e-5)

    def test_groups_without_equalities_are_separate_models(self):
        frame = schools(6, J=100)
        both = tl.sem(MODEL, frame, cluster="school", group="half")
        apart = [tl.sem(MODEL, part, cluster="school") for _, part in frame.groupby("half")]
        assert both.deviance == pytest.approx(sum(fit.deviance for fit in apart), abs=1e-7)
        chisq = sum(fit.fit_measures["chisq"] for fit in apart)
        assert both.fit_measures["chisq"] == pytest.approx(chisq, abs=1e-6)
        assert both.fit_measures["df"] == sum(fit.fit_measures["df"] for fit in apart)

    def test_equal_loadings_cost_deviance(self):
        frame = schools(6, J=100)
        free = tl.sem(MODEL, frame, cluster="school", group="half")
        equal = tl.sem(MODEL, frame, cluster="school", group="half", group_equal=["loadings"])
        assert equal.fit_measures["df"] == free.fit_measures["df"] + 4
        assert equal.deviance > free.deviance

    def test_nothing_missing_is_listwise(self):
        frame = schools(7)
        one = tl.sem(MODEL, frame, cluster="school")
        other = tl.sem(MODEL, frame, cluster="school", missing="fiml")
        assert one.deviance == pytest.approx(other.deviance, abs=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_factor_scores_are_expectations_given_whole_clusters(missing):
    frame = schools(10, J=60, missing=missing)
    fit = tl.sem(MODEL, frame, cluster="school", missing="fiml")
    found = fit.factor_scores()
    (w, b), (bw, bb) = fit.states, fit.model.structure.blocks
    p, v = bw.p, len(bb.variables)
    lift, mu = np.zeros((p, v)), w.mu[0].copy()
    for k, name in enumerate(bw.observed):
        if name in bb.observed:
            lift[k, bb.variables.index(name)] = 1.0
            mu[k] += b.mu[0, bb.observed.index(name)]
    own = np.zeros((1, v))
    own[0, bb.variables.index("w")] = 1.0
    for school in (0, 7):
        rows = frame[frame["school"] == school]
        n = len(rows)
        H = np.vstack([lift] * n + [own])
        V = H @ b.C[0] @ H.T
        V[: n * p, : n * p] += np.kron(np.eye(n), w.Sigma[0])
        values = rows[list(bw.observed)].to_numpy() - mu
        rest = np.append(values.ravel(), rows["w"].iloc[0] - own[0] @ b.mean[0])
        seen = ~np.isnan(rest)
        solved = np.linalg.solve(V[np.ix_(seen, seen)], rest[seen])
        between = b.mean[0, -1] + (b.C[0, -1] @ H.T)[seen] @ solved
        cross = np.zeros(len(rest))
        cross[:p] = w.C[0, -1, :p]
        within = w.mean[0, -1] + cross[seen] @ solved
        assert found.loc[rows.index[0], "fb"] == pytest.approx(between, abs=1e-9)
        assert found.loc[rows.index[0], "fw"] == pytest.approx(within, abs=1e-9)
        assert np.ptp(found.loc[rows.index, "fb"]) == 0


class TestSaturated:
    def test_a_model_of_all_covariances_fits_as_the_saturated_one(self):
        model = """
        level: 1
            y1 ~~ y2
        level: 2
            y1 ~~ y2 + w
            y2 ~~ w
        """
        fit = tl.sem(model, schools(8), cluster="school")
        assert fit.fit_measures["df"] == 0
        assert fit.fit_measures["chisq"] == pytest.approx(0, abs=1e-7)

    def test_negative_variance_between_is_an_estimate_and_is_named(self):
        frame = schools(9, J=30)
        rng = np.random.default_rng(1)
        y = rng.normal(size=len(frame))
        frame["y1"] = y - 0.98 * pd.Series(y).groupby(frame["school"]).transform("mean")
        with pytest.warns(BoundaryFit, match="singular covariance between clusters"):
            fit = tl.sem("level: 1\n y1 ~ x\nlevel: 2\n y1 ~ w", frame, cluster="school")
        assert fit.improper == ("the variance of y1 between clusters is negative",)
        # Below the boundary of the saturated model, so no chi-square is clipped to zero.
        assert fit.fit_measures["chisq"] < 0

    def test_what_is_improper_bears_its_level_and_group(self):
        frame = schools(9, J=60)
        own = frame["half"] == frame["half"].max()
        rng = np.random.default_rng(1)
        y = pd.Series(rng.normal(size=len(frame)))
        centred = y - 0.98 * y.groupby(frame["school"]).transform("mean")
        frame["y1"] = np.where(own, centred, frame["y1"])
        model = "level: 1\n y1 ~ x\nlevel: 2\n y1 ~ w"
        with pytest.warns(BoundaryFit, match="singular covariance between clusters"):
            fit = tl.sem(model, frame, cluster="school", group="half")
        label = fit.table.groups[frame["half"].unique().tolist().index(frame["half"].max())]
        said = f"the variance of y1 between clusters in group {label!r} is negative"
        assert fit.improper == (said,)


class TestBadInput:
    def test_levels_need_clusters(self):
        with pytest.raises(tl.FormulaError, match="name the column of clusters"):
            tl.sem(MODEL, schools(1))

    def test_variable_of_level_two_that_varies_within(self):
        frame = schools(1)
        frame.loc[0, "w"] += 1
        with pytest.raises(tl.DesignError, match=r"'w'.*varies within 1 of 40 clusters"):
            tl.sem(MODEL, frame, cluster="school")

    def test_variable_of_level_one_that_is_constant_within(self):
        frame = schools(1)
        frame["y1"] = frame.groupby("school")["y1"].transform("mean")
        frame["w"] = 1.0
        with pytest.raises(tl.DesignError) as error:
            tl.sem(MODEL, frame, cluster="school")
        assert len(error.value.faults) == 2
        assert "does not vary within any cluster" in str(error.value)

    def test_one_cluster(self):
        with pytest.raises(tl.DesignError, match="two levels need more"):
            tl.sem(MODEL, schools(1).assign(school=1, w=np.nan).fillna(0), cluster="school")

    @pytest.mark.parametrize("missing", [0.0, 0.1])
    def test_variables_that_determine_each_other_at_either_level(self, missing):
        frame = schools(1, missing=missing)
        frame = frame.assign(y3=frame["y1"] - 2 * frame["y2"], w2=2 * frame["w"] + 1)
        options = {"missing": "fiml"} if missing else {}
        with pytest.raises(tl.DesignError) as error:
            tl.sem(MODEL.replace("~ w", "~ w + w2"), frame, cluster="school", **options)
        assert len(error.value.faults) == 2
        said = str(error.value)
        assert "y1, y2, y3 determine each other" in said
        assert "within clusters" in said
        assert "w, w2 determine each other" in said
        assert "between clusters" in said

    def test_fewer_clusters_than_variables_of_clusters(self):
        frame = schools(1, J=3, sizes=(20, 30))
        frame = frame.assign(w2=frame["w"] ** 2, w3=frame["w"] ** 3)
        model = MODEL.replace("fb ~ w", "fb ~ w + w2 + w3")
        with pytest.raises(tl.DesignError, match="3 clusters for 3 variables"):
            tl.sem(model, frame, cluster="school")

    def test_not_identified_names_the_parameters_of_the_level(self):
        model = """
        level: 1
            y1 ~~ y2 + y3
        level: 2
            fb =~ NA*y1 + y2 + y3
            fb ~~ NA*fb
        """
        with pytest.raises(
            tl.DesignError, match=r"not identified: fb=~y1\.l2.*fb~~fb\.l2"
        ) as error:
            tl.sem(model, schools(1), cluster="school")
        assert "y1~~y2" not in str(error.value)

    def test_unknown_names_at_both_levels_and_of_the_clusters(self):
        model = MODEL.replace("fw ~ x", "fw ~ xx").replace("fb ~ w", "fb ~ ww")
        with pytest.raises(tl.DataError) as error:
            tl.sem(model, schools(1), cluster="scool")
        said = str(error.value)
        assert len(error.value.faults) == 3
        assert all(f"did you mean {name!r}" in said for name in ("x", "w", "school"))

    def test_what_cannot_converge_says_what_to_try(self):
        frame = schools(1, J=4, sizes=(20, 30))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit = tl.sem(MODEL, frame, cluster="school")
        kinds = {w.category for w in caught}
        assert kinds == {FewGroups, BoundaryFit, NotConverged}
        assert "give starts" in fit.convergence.message
        assert "NOT CONVERGED" in str(fit.summary())

    def test_few_clusters(self):
        frame = schools(2, J=3, sizes=(20, 30))
        # Of the warnings that come, the one about few clusters is asked for; one about the
        # boundary may come too.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tl.sem("level: 1\n y1 ~ x\nlevel: 2\n y1 ~ w", frame, cluster="school")
        assert FewGroups in [w.category for w in caught]

    def test_missing_exogenous_rows_are_left_out_and_counted(self):
        frame = schools(3, missing=0.1)
        frame.loc[[1, 5, 9], "x"] = np.nan
        with pytest.warns(DroppedRows, match="3 of"):
            fit = tl.sem(MODEL, frame, cluster="school", missing="fiml")
        assert fit.nobs == len(frame) - 3
        kept = tl.sem(MODEL, frame.drop([1, 5, 9]), cluster="school", missing="fiml")
        assert fit.deviance == pytest.approx(kept.deviance, abs=1e-8)

    def test_columns_never_observed_together(self):
        frame = schools(4)
        frame.loc[::2, "y1"] = np.nan
        frame.loc[1::2, "y2"] = np.nan
        with pytest.raises(tl.DesignError, match="never observed together"):
            tl.sem("f =~ y1 + y2 + y3", frame, missing="fiml")

    def test_satorra_bentler_needs_complete_rows(self):
        with pytest.raises(tl.OptionError, match="use 'mlr'"):
            tl.sem("f =~ y1 + y2 + y3", schools(5), missing="fiml", estimator="mlm")
