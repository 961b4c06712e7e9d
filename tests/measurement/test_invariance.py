"""The ladder of invariance: identification, what must not move it, and what it refuses."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import BoundaryFit
from teamlink.measurement.rungs import cutoff
from teamlink.structural.release import release_tests

MODEL = "f =~ a + b + c + d"
TWO = "f =~ a + b + c; g =~ e + h + k"
GROUPS = "group: north\n f =~ a + b + c\ngroup: south\n f =~ a + b + c"
LEVELS = "level: 1\n f =~ a + b + c\nlevel: 2\n f =~ a + b + c"
COLUMNS = ["npar", "df", "chisq", "cfi", "rmsea", "srmr"]


@cache
def survey(shift: float = 0.0, loading: float = 1.0, n: int = 600, seed: int = 7) -> pd.DataFrame:
    """Two groups; of the second the intercept of d is shifted, and its loading another one."""
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    x = {name: f + rng.normal(size=n) for name in "abc"}
    second = np.arange(n) >= n // 2
    x["d"] = np.where(second, loading, 1.0) * f + rng.normal(size=n) + shift * second
    g = 0.5 * f + rng.normal(size=n)
    x |= {name: g + rng.normal(size=n) for name in "ehk"}
    return pd.DataFrame({**x, "town": np.where(second, "south", "north")})


@cache
def nested(between: float = 0.0, J: int = 80, n: int = 8) -> pd.DataFrame:
    """Teachers in schools, loadings equal at both levels; `between` is a residual variance."""
    rng = np.random.default_rng(3)
    school = np.repeat(np.arange(J), n)
    f = 0.7 * rng.normal(size=J)[school] + rng.normal(size=J * n)
    items = {
        name: load * f + rng.normal(size=J * n) + np.sqrt(between) * rng.normal(size=J)[school]
        for name, load in zip("abcd", (1, 0.8, 1.2, 0.9), strict=True)
    }
    return pd.DataFrame({**items, "school": school, "half": np.where(school % 2, "x", "y")})


def across(data: pd.DataFrame, model: str = MODEL, **options: Any) -> Any:
    return tl.invariance(model, data, group="town", **options)


class TestAcrossGroups:
    def test_invariant_data_hold(self) -> None:
        found = across(survey())
        assert found.holds("chen") == found.holds("chisq") == "strict"
        assert list(found.fits) == ["configural", "metric", "scalar", "strict"]

    def test_another_intercept_is_found_and_freed(self) -> None:
        found = across(survey(shift=1.0))
        assert found.holds("chen") == found.holds("chisq") == "metric"
        assert found.release_tests("scalar")["parameter"][0] == "d~1"
        freed = across(survey(shift=1.0), free=["d ~ 1"])
        assert freed.holds("chisq") == "strict"
        assert freed.free == ("d~1",)

    def test_another_loading_is_found(self) -> None:
        found = across(survey(loading=2.0), free=[])
        assert found.holds("chisq") == "configural"
        assert found.release_tests("metric")["parameter"][0] == "f=~d"

    def test_degrees_of_freedom_of_each_rung(self) -> None:
        every = ["configural", "metric", "scalar", "strict", "lv_variances", "means"]
        found = across(survey(), rungs=every).table
        # a factor of k = 4 items: k - 1 loadings, k intercepts less a mean, k residuals, then 1, 1
        assert np.diff(found["df"]).tolist() == [3, 3, 4, 1, 1]

    def test_markers_and_unit_variances_fit_alike(self) -> None:
        one, two = across(survey(), TWO), across(survey(), TWO, std_lv=True)
        pd.testing.assert_frame_equal(one.table[COLUMNS], two.table[COLUMNS], rtol=1e-6, atol=1e-7)

    def test_means_of_factors_are_free_from_scalar_on(self) -> None:
        fits = across(survey(), TWO).fits
        for rung, free in (("metric", 0), ("scalar", 2), ("strict", 2)):
            rows = fits[rung].table.rows
            assert sum(r.free for r in rows if r.op == "~1" and r.lhs in "fg") == free

    def test_aliases_and_order(self) -> None:
        found = across(survey(), rungs=["strong", "weak", "configural"])
        assert list(found.fits) == ["configural", "metric", "scalar"]

    def test_the_score_is_about_the_drop_of_chi_square(self) -> None:
        data = survey(shift=0.15, n=4000)
        found = across(data)
        score = found.release_tests("scalar").set_index("parameter")["score"]["d~1"]
        freed = across(data, free=["d~1"])
        drop = found.table["chisq"]["scalar"] - freed.table["chisq"]["scalar"]
        assert score == pytest.approx(drop, rel=0.02)

    def test_scores_are_zero_where_nothing_is_to_be_gained(self) -> None:
        """Of two equal copies of one group, equalities cost nothing."""
        data = survey()[["a", "b", "c", "d"]]
        twice = pd.concat([data.assign(town="x"), data.assign(town="y")], ignore_index=True)
        found = across(twice)
        assert found.table["delta_chisq"].iloc[1:].abs().max() < 1e-6
        for rung in ("metric", "scalar", "strict"):
            assert found.release_tests(rung)["score"].max() < 1e-8

    def test_no_label_no_test(self) -> None:
        fit = tl.sem(MODEL, survey())
        assert release_tests(fit.model, fit.x).empty

    @pytest.mark.parametrize("rung", ["metric", "scalar", "strict", "lv_variances", "means"])
    def test_release_tests_are_of_the_rung(self, rung: str) -> None:
        every = ["configural", "metric", "scalar", "strict", "lv_variances", "means"]
        names = across(survey(), rungs=every).release_tests(rung)["parameter"].tolist()
        expected = {
            "metric": ["f=~b", "f=~c", "f=~d"], "scalar": ["a~1", "b~1", "c~1", "d~1"],
            "strict": ["a~~a", "b~~b", "c~~c", "d~~d"], "lv_variances": ["f~~f"], "means": [],
        }[rung]  # fmt: skip
        assert sorted(names) == expected

    def test_robust_and_missing(self) -> None:
        data = survey().copy()
        data.loc[::9, "b"] = np.nan
        found = across(data, estimator="mlr", missing="fiml")
        assert found.fits["strict"].nobs == len(data)
        assert any("Satorra and Bentler" in note for note in found.notes)
        test = found.fits["metric"].difference_test(found.fits["configural"])
        assert found.table["delta_chisq"]["metric"] == pytest.approx(test.chisq)

    def test_clusters_make_it_robust(self) -> None:
        found = tl.invariance(MODEL, nested(), group="half", cluster="school")
        assert found.fits["metric"].scaling is not None

    def test_two_levels_across_groups(self) -> None:
        """Means of factors are free between clusters only: within they are not identified."""
        model = "level: 1\n w =~ a + b + c\nlevel: 2\n v =~ a + b + c"
        found = tl.invariance(model, nested(0.2), group="half", cluster="school")
        rows = found.fits["scalar"].table.rows
        assert [r.lhs for r in rows if r.op == "~1" and r.free and r.lhs in "wv"] == ["v"]
        assert np.diff(found.table["df"]).tolist() == [4, 2, 6]
        assert {"srmr_within", "srmr_between"} <= set(found.table)


@settings(max_examples=settings().max_examples // 6)
@given(st.permutations("abcd"), st.sampled_from([0.01, 1.0, 50.0]), st.booleans())
def test_units_order_and_names_change_nothing(order: Any, stretch: float, swap: bool) -> None:
    data = survey(shift=0.5)
    moved = data.assign(**{name: 3 + stretch * data[name] for name in "abcd"})
    if swap:
        moved["town"] = moved["town"].map({"north": "zz", "south": "aa"})
    one = across(data)
    two = across(moved, f"f =~ {' + '.join(order)}")
    columns = [*COLUMNS, "delta_chisq", "delta_cfi"]
    pd.testing.assert_frame_equal(one.table[columns], two.table[columns], rtol=1e-6, atol=1e-6)


class TestAcrossLevels:
    def across(self, data: pd.DataFrame, **options: Any) -> Any:
        return tl.invariance(MODEL, data, cluster="school", levels=True, **options)

    def test_no_residual_variance_between(self) -> None:
        with pytest.warns(BoundaryFit, match="singular covariance between clusters"):
            found = self.across(nested())
        assert found.holds("chisq") == "strong"
        assert np.diff(found.table["df"]).tolist() == [3, 4]

    def test_residual_variance_between(self) -> None:
        found = self.across(nested(0.3))
        assert found.holds("chen") == found.holds("chisq") == "metric"
        tests = found.release_tests("strong")
        assert sorted(tests["parameter"]) == ["a~~a", "b~~b", "c~~c", "d~~d"]
        assert (tests["pvalue"] < 0.05).all()

    def test_markers_and_unit_variances_fit_alike(self) -> None:
        one, two = self.across(nested(0.3)), self.across(nested(0.3), std_lv=True)
        pd.testing.assert_frame_equal(
            one.table[["npar", "chisq"]], two.table[["npar", "chisq"]], rtol=1e-6, atol=1e-6
        )

    def test_what_is_freed_is_free(self) -> None:
        found = self.across(nested(0.3), free=["f=~b", "c~~c"])
        assert np.diff(found.table["df"]).tolist() == [2, 3]
        rows = {(r.plain, r.level): r for r in found.fits["strong"].table.rows}
        assert rows["c~~c", 2].free
        assert not rows["a~~a", 2].free
        assert rows["f=~b", 1].label != rows["f=~b", 2].label or not rows["f=~b", 1].label

    def test_equal_loadings_are_equal(self) -> None:
        table = self.across(nested(0.3)).fits["metric"].parameters
        loads = table[table["op"] == "=~"].pivot_table(index="rhs", columns="level", values="est")
        np.testing.assert_allclose(loads[1], loads[2], rtol=1e-12)

    def test_own_labels_and_residual_covariances_are_kept(self) -> None:
        model = "f =~ a + k*b + k*c + d; a ~~ b"
        found = tl.invariance(model, nested(0.3), cluster="school", levels=True)
        table = found.fits["metric"].parameters.set_index(["lhs", "op", "rhs", "level"])["est"]
        assert table["f", "=~", "b", 1] == table["f", "=~", "c", 2]
        assert ("a", "~~", "b", 2) in table.index
        assert found.fits["strong"].converged

    def test_summary_says_what_chen_did_not_study(self) -> None:
        said = str(self.across(nested(0.3)).summary())
        assert "not for levels" in said
        assert "edge of their range" in said
        assert "FAILS" in said


class TestSummary:
    def test_names_cutoffs_and_what_to_free(self) -> None:
        said = str(across(survey(shift=1.0), free=["f=~b"]).summary())
        for words in ("Chen (2007)", "(-0.010)", "d~1", "f=~b (partial", "metric holds"):
            assert words in said

    def test_a_ladder_on_sand_is_remarked(self) -> None:
        poor = survey().assign(b=survey()["b"] + survey()["e"], c=survey()["c"] + survey()["e"])
        assert "fits poorly" in str(across(poor, MODEL).summary())
        assert "fits poorly" not in str(across(survey()).summary())

    def test_html_and_repr(self) -> None:
        found = across(survey())
        assert "<table" in found._repr_html_()
        assert repr(found).startswith("<Invariance across groups of 'town'")
        assert str(found) == str(found.summary())

    @pytest.mark.parametrize(
        ("rung", "n", "limits"),
        [
            ("metric", 300, (-0.005, 0.010, 0.025)), ("scalar", 300, (-0.005, 0.010, 0.005)),
            ("metric", 301, (-0.010, 0.015, 0.030)), ("strict", 301, (-0.010, 0.015, 0.010)),
        ],
    )  # fmt: skip
    def test_chens_cutoffs(self, rung: str, n: int, limits: tuple[float, ...]) -> None:
        found = cutoff(rung, n)
        assert found is not None
        assert (found.cfi, found.rmsea, found.srmr) == limits
        assert not found.holds(limits[0], limits[1], 0.0)
        assert not found.holds(limits[0], 0.0, limits[2])
        assert found.holds(limits[0], 0.0, 0.0)
        assert found.holds(0.0, limits[1], limits[2])
        assert cutoff("means", n) is None


class TestRefused:
    @pytest.mark.parametrize(
        ("model", "options", "words"),
        [
            (MODEL, {}, "one of them"),
            (MODEL, {"group": "town", "levels": True, "cluster": "a"}, "one of them"),
            (MODEL, {"levels": True}, "needs the column of clusters"),
            (MODEL, {"group": "town", "rungs": ["configurall", "metric"]}, "did you mean"),
            (MODEL, {"group": "town", "rungs": ["metric", "scalar"]}, "begins with 'configural'"),
            (MODEL, {"group": "town", "rungs": ["configural"]}, "one rung more"),
            (MODEL, {"group": "town", "free": ["f=~z"]}, "no parameter 'f=~z'"),
            (GROUPS, {"group": "town"}, "blocks of gr"),
            (LEVELS, {"levels": True, "cluster": "town"}, "itself"),
            (MODEL + "; f ~ e", {"levels": True, "cluster": "town"}, "measurement model"),
            (MODEL, {"levels": True, "cluster": "town", "free": ["f=~z"]}, "no parameter"),
        ],
    )  # fmt: skip
    def test_options(self, model: str, options: dict[str, Any], words: str) -> None:
        with pytest.raises(tl.OptionError, match=words):
            tl.invariance(model, survey(), **options)

    def test_release_of_what_is_not_held(self) -> None:
        with pytest.raises(tl.OptionError, match="rung='configural'"):
            across(survey()).release_tests("configural")
        with pytest.raises(tl.OptionError, match="by='cfi'"):
            across(survey()).holds("cfi")

    def test_faults_of_the_model_show_their_place(self) -> None:
        with pytest.raises(tl.FormulaError):
            across(survey(), "f =~ a + b +")


@pytest.mark.slow
def test_clusters_that_are_ignored_speak_against_intercepts() -> None:
    """Items differ between schools, not between halves: rejections of "scalar" at 5 per cent."""
    robust, naive = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        school = np.repeat(np.arange(40), 10)
        f = 0.6 * rng.normal(size=40)[school] + rng.normal(size=400)
        x = f[:, None] + 0.4 * rng.normal(size=(40, 4))[school] + rng.normal(size=(400, 4))
        data = pd.DataFrame(x, columns=list("abcd")).assign(school=school, half=school % 2)
        one = tl.invariance(MODEL, data, group="half", cluster="school").table
        two = tl.invariance(MODEL, data, group="half").table
        robust += one["delta_pvalue"]["scalar"] < 0.05
        naive += two["delta_pvalue"]["scalar"] < 0.05
    # 3 of 60 expected, and up to 9 by chance and for the few clusters
    assert robust <= 9
    assert naive > robust
