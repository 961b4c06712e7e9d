"""What `mediate` writes, fits and refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import (
    ConflatedSlopes,
    FewGroups,
    ImproperSolution,
    TeamlinkWarning,
    UnreliableMeans,
)

from .worlds import schools

DATA = schools()
SLOPES = schools(slopes=1.0, sizes=(12, 16))
ITEMS = {"climate": ["i1", "i2", "i3"]}


class TestEquations:
    def test_of_the_plain_designs(self) -> None:
        found = tl.mediate("1-1-1", "x1", "m1", "y1", DATA, "school")
        assert found.equations.splitlines()[:8] == [
            "level: within",
            "    m1 ~ a_within*x1",
            "    y1 ~ b_within*m1 + c_within*x1",
            "level: between",
            "    m1 ~ a_between*x1",
            "    y1 ~ b_between*m1 + c_between*x1",
            "indirect_within := a_within*b_within",
            "total_within := c_within + indirect_within",
        ]
        found = tl.mediate("2-2-1", "x2", "m2", "y1", DATA, "school")
        assert found.equations.splitlines()[:5] == [
            "level: within",
            "    y1 ~~ y1",
            "level: between",
            "    m2 ~ a_between*x2",
            "    y1 ~ b_between*m2 + c_between*x2",
        ]

    def test_covariates_stand_where_they_vary(self) -> None:
        found = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school", ["x1", "z2"])
        assert found.equations.splitlines()[:6] == [
            "level: within",
            "    m1 ~ x1",
            "    y1 ~ b_within*m1 + x1",
            "level: between",
            "    m1 ~ a_between*x2 + x1 + z2",
            "    y1 ~ b_between*m1 + c_between*x2 + x1 + z2",
        ]

    def test_parallel_mediators_covary_and_serial_ones_act(self) -> None:
        beside = tl.mediate("2-1-1", "x2", ["m1", "n1"], "y1", DATA, "school")
        assert beside.equations.count("m1 ~~ n1") == 2
        along = tl.mediate("2-1-1", "x2", ["m1", "n1"], "y1", DATA, "school", serial=True)
        assert "~~" not in along.equations
        assert "n1 ~ d21_within*m1" in along.equations
        assert "indirect12_between := a1_between*d21_between*b2_between" in along.equations
        # They are the same model but for what is said of it.
        assert beside.fit.llf == pytest.approx(along.fit.llf, abs=1e-6)
        ways = along.effects.query("effect == 'indirect'")["estimate"].sum()
        assert ways == pytest.approx(along.fit.params["indirect_between"], abs=1e-12)

    def test_text_gives_the_same_fit(self) -> None:
        found = tl.mediate("2-1-1", "x2", "climate", "y1", DATA, "school", measures=ITEMS)
        again = tl.sem(found.equations, DATA, "school")
        pd.testing.assert_series_equal(found.fit.params, again.params)
        assert "climate_within =~ i1 + l2_climate*i2 + l3_climate*i3" in found.equations

    def test_rated_schools_have_factors_at_both_levels(self) -> None:
        found = tl.mediate("2-2-1", "climate", "m2", "y1", DATA, "school", measures=ITEMS)
        assert "climate_within ~~ y1" in found.equations
        assert found.fit.converged

    def test_odd_names_are_quoted(self) -> None:
        odd = DATA.rename(columns={"m1": "trust in peers"})
        found = tl.mediate("2-1-1", "x2", "trust in peers", "y1", odd, "school")
        plain = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school")
        assert "`trust in peers`" in found.equations
        assert found.fit.llf == plain.fit.llf


class TestDesigns:
    def test_means_of_schools(self) -> None:
        found = tl.mediate("2-2-2", "x1", "m1", "y1", DATA, "school")
        means = DATA.groupby("school").mean()
        again = tl.mediate("2-2-2", "x1", "m1", "y1", means)
        assert found.fit.nobs == 60
        np.testing.assert_allclose(found.effects["estimate"], again.effects["estimate"], rtol=1e-9)
        assert set(found.effects["level"]) == {"between"}

    def test_single_level_is_a_regression(self) -> None:
        means = DATA.groupby("school").mean()
        found = tl.mediate("single", "x2", "m2", "y1", means)
        slope = np.polyfit(means["x2"], means["m2"], 1)[0]
        assert found.fit.params["a"] == pytest.approx(slope, rel=1e-9)
        X = np.column_stack([np.ones(60), means["m2"], means["x2"]])
        b, c = np.linalg.lstsq(X, means["y1"], rcond=None)[0][1:]
        assert found.fit.params["indirect"] == pytest.approx(slope * b, rel=1e-8)
        assert found.fit.params["total"] == pytest.approx(c + slope * b, rel=1e-8)

    def test_four_variables_over_two_levels(self) -> None:
        found = tl.mediate("2-2-1-1", "x2", ["m2", "m1"], "y1", DATA, "school", serial=True)
        within = found.effects.query("level == 'within'")
        assert within["label"].tolist() == ["b2_within"]

    def test_random_slopes_add_their_covariance(self) -> None:
        found = tl.mediate("1-1-1", "x1", "m1", "y1", SLOPES, "school", random_slopes=True)
        p = found.fit.params
        expected = p["a_within"] * p["b_within"] + p["cov_ab"]
        assert p["indirect_within"] == pytest.approx(expected, abs=1e-12)
        assert found.sensitivity(level="within").at(0.0)[0] == pytest.approx(expected, abs=1e-12)

    def test_any_frame(self) -> None:
        polars = pytest.importorskip("polars")
        found = tl.mediate(
            "2-1-1", "x2", "m1", "y1", polars.DataFrame(DATA.to_dict("list")), "school"
        )
        again = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school")
        pd.testing.assert_frame_equal(found.effects, again.effects)


class TestRefusals:
    def test_unknown_design(self) -> None:
        with pytest.raises(tl.OptionError, match="did you mean '2-1-1'"):
            tl.mediate("2-11", "x2", "m1", "y1", DATA, "school")

    def test_every_fault_at_once(self) -> None:
        with pytest.raises(tl.DataError) as error:
            tl.mediate("1-1-1", "x2", "mm1", "y1", DATA, "school", ["x11"])
        said = {fault.where: str(fault) for fault in error.value.faults}
        assert set(said) == {"column 'mm1'", "column 'x11'", "column 'x2'"}
        assert "did you mean 'm1'?" in said["column 'mm1'"]
        assert "use '2-1-1'" in said["column 'x2'"]

    def test_variable_of_members_as_one_of_schools(self) -> None:
        with pytest.raises(tl.DataError, match=r"varies within clusters of 'school'.*60 of 60"):
            tl.mediate("2-1-1", "x1", "m1", "y1", DATA, "school")

    @pytest.mark.parametrize(
        ("call", "options", "said"),
        [
            (("2-1-1", "x2", "m1", "y1"), {"cluster": None}, "two levels"),
            (("2-1-1", "x2", "m1", "y1"), {"serial": True}, "several mediators"),
            (("2-2-1-1", "x2", "m1", "y1"), {}, "2 serial mediators"),
            (("2-1-1", "x2", "m1", "m1"), {}, "'m1' has two parts"),
            (("2-1-1", "x2", "m1", "y1"), {"covariates": ["school"]}, "'school' has two parts"),
            (("2-1-1", "x2", "m1", "y1"), {"random_slopes": True}, "goes with design='1-1-1'"),
            (("1-1-1", "x1", ["m1", "n1"], "y1"), {"random_slopes": True}, "one mediator"),
            (("1-1-1", "x1", "m1", "y1"), {"centring": "none"}, "random_slopes=True"),
            (("2-1-1", "x2", "m1", "y1"), {"measures": {"m": ["i1"]}}, "no variable of the path"),
            (("2-1-1", "x2", "m1", "y1"), {"measures": {"m1": ["i1"]}}, "two items"),
            (("2-1-1", "x2", "m1", "y1"), {"measures": {"m1": ["i1", "y1"]}}, "another part"),
            (("2-1-1", "x2", "m1", "y1"), {"covariates": {"inside": ["x1"]}}, "not offered"),
        ],
    )
    def test_options(self, call: tuple, options: dict, said: str) -> None:
        options = {"cluster": "school", **options}
        with pytest.raises(tl.OptionError, match=said):
            tl.mediate(*call, DATA, **options)

    def test_names_that_the_model_makes(self) -> None:
        taken = SLOPES.rename(columns={"z2": "x1_mean"})
        call = ("1-1-1", "x1", "m1", "y1", taken, "school", ["x1_mean"])
        with pytest.raises(tl.OptionError, match="'x1_mean'"):
            tl.mediate(*call, random_slopes=True)
        assert tl.mediate(*call).fit.converged

    def test_columns_may_have_the_names_of_labels(self) -> None:
        named = DATA.rename(columns={"x2": "a_between", "m1": "total_between"})
        found = tl.mediate("2-1-1", "a_between", "total_between", "y1", named, "school")
        plain = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school")
        assert found.fit.params["indirect_between"] == plain.fit.params["indirect_between"]

    def test_covariate_at_the_wrong_level(self) -> None:
        with pytest.raises(tl.DataError, match="put it 'between'"):
            tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school", {"within": ["z2"]})
        with pytest.raises(tl.DataError, match="put it in 'both'"):
            tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school", {"between": ["x1"]})


class TestCautions:
    def test_few_schools(self) -> None:
        with pytest.warns(FewGroups, match="30 clusters"):
            found = tl.mediate("2-1-1", "x2", "m1", "y1", DATA[DATA["school"] < 30], "school")
        assert "CAUTION: 30 clusters" in str(found.summary())

    def test_conflated_covariate(self) -> None:
        with pytest.warns(ConflatedSlopes, match="x1"):
            tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school", {"within": ["x1"]})

    def test_conflated_levels(self) -> None:
        with pytest.warns(ConflatedSlopes, match="'1-1-1' keeps them apart"):
            tl.mediate("single", "x1", "m1", "y1", DATA, "school")
        with pytest.warns(ConflatedSlopes, match="centring='none'"):
            tl.mediate(
                "1-1-1", "x1", "m1", "y1", SLOPES, "school", random_slopes=True, centring="none"
            )

    def test_means_of_few_members(self) -> None:
        small = schools(sizes=(3, 4))
        with pytest.warns(UnreliableMeans, match="reliability"):
            tl.mediate("2-2-2", "x1", "n1", "y1", small, "school")

    def test_hardly_any_variance_between(self) -> None:
        flat = DATA.assign(m1=DATA["m1"] - DATA.groupby("school")["m1"].transform("mean"))
        flat["m1"] += 0.4 * np.random.default_rng(0).standard_normal(60)[flat["school"]]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            tl.mediate("2-1-1", "x2", "m1", "y1", flat, "school")
        assert any(w.category is UnreliableMeans and "ICC(1)" in str(w.message) for w in told)

    def test_negative_variance(self) -> None:
        rng = np.random.default_rng(3)
        odd = DATA.assign(y1=0.5 * DATA["m1"] + rng.standard_normal(len(DATA)))
        odd["y1"] -= odd.groupby("school")["y1"].transform("mean") * 0.9
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = tl.mediate("2-1-1", "x2", "m1", "y1", odd, "school")
        assert any(w.category is ImproperSolution for w in told)
        assert "variance of y1 is negative" in str(found.summary())
        assert set(found.effects["method"]) == {"delta"}
        with pytest.warns(ImproperSolution):
            found.conf_int("monte-carlo")

    def test_reliability_of_means(self) -> None:
        found = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school")
        table = found.reliability.set_index("variable")
        for name in ("m1", "y1"):
            assert table.loc[name, "icc1"] == pytest.approx(tl.icc1(DATA, "school", name), rel=1e-9)
            assert table.loc[name, "icc2"] == pytest.approx(tl.icc2(DATA, "school", name), rel=1e-9)


class TestInvariance:
    BASE = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school", ["x1"])

    @settings(max_examples=8, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_of_the_order_of_rows_and_names_of_schools(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        names = np.array([f"s{k}" for k in rng.permutation(60)])
        mixed = DATA.assign(school=names[DATA["school"]]).sample(frac=1, random_state=seed % 2**31)
        again = tl.mediate("2-1-1", "x2", "m1", "y1", mixed, "school", ["x1"])
        np.testing.assert_allclose(again.fit.params, self.BASE.fit.params, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(again.fit.bse, self.BASE.fit.bse, rtol=1e-5, atol=1e-8)

    @settings(max_examples=8, deadline=None)
    @given(
        st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.01, 100), st.sampled_from([1, -1])
    )
    def test_of_units(self, kx: float, km: float, ky: float, sign: int) -> None:
        scaled = DATA.assign(x2=sign * kx * DATA["x2"], m1=km * DATA["m1"] + 3, y1=ky * DATA["y1"])
        again = tl.mediate("2-1-1", "x2", "m1", "y1", scaled, "school", ["x1"]).fit.params
        base = self.BASE.fit.params
        factors = {"a_between": km / kx, "b_between": ky / km, "b_within": ky / km}
        factors |= dict.fromkeys(["indirect_between", "total_between", "c_between"], ky / kx)
        for label, factor in factors.items():
            turn = 1 if label.startswith("b_") else sign
            assert again[label] == pytest.approx(turn * factor * base[label], rel=1e-5)


def test_summary_reads_aloud() -> None:
    found = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school")
    text = str(found.summary())
    row = found.effects.set_index("label").loc["indirect_between"]
    assert (
        f"Indirect effect x2 -> m1 -> y1, between clusters: {row['estimate']:.3f}, interval "
        f"{row['conf_low']:.3f} to {row['conf_high']:.3f}, which excludes zero." in text
    )
    assert "Clusters   60 of school" in text
    assert "<table" in found._repr_html_()


def test_missing_values_by_full_information() -> None:
    holed = DATA.copy()
    holed.loc[::7, "y1"] = np.nan
    with pytest.warns(tl.errors.DroppedRows):
        tl.mediate("2-1-1", "x2", "m1", "y1", holed, "school")
    found = tl.mediate("2-1-1", "x2", "m1", "y1", holed, "school", missing="fiml")
    assert found.fit.nobs == len(DATA)


def test_warnings_point_at_the_caller() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", TeamlinkWarning)
        tl.mediate("2-1-1", "x2", "m1", "y1", DATA[DATA["school"] < 30], "school")
    assert {w.filename for w in told} == {__file__}
