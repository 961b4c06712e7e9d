"""Omega: against brute force, against each other, and what must not move them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.measurement.reliabilities import composites, delta_covariance, harmonic_size
from teamlink.measurement.schmid_leiman import minres, oblimin, schmid_leiman, varimax

LOADINGS = (1.0, 0.6, 1.4, 0.8, 1.1)
ITEMS = list("abcde")


@cache
def survey(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    f = rng.normal(size=n)
    return pd.DataFrame(
        {name: load * f + rng.normal(size=n) for name, load in zip(ITEMS, LOADINGS, strict=True)}
    )


@cache
def facets(n: int = 500) -> pd.DataFrame:
    """A general factor and three facets of three items each."""
    rng = np.random.default_rng(4)
    g, s = rng.normal(size=n), rng.normal(size=(n, 3))
    return pd.DataFrame({f"i{k}": g + 0.8 * s[:, k // 3] + rng.normal(size=n) for k in range(9)})


@cache
def nested(J: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    sizes = rng.integers(4, 12, size=J)
    school = np.repeat(np.arange(J), sizes)
    N = len(school)
    f = 0.8 * rng.normal(size=J)[school] + rng.normal(size=N)
    data = {
        name: load * f + 0.4 * rng.normal(size=J)[school] + rng.normal(size=N)
        for name, load in zip("abc", LOADINGS, strict=False)
    }
    return pd.DataFrame({**data, "school": school})


def one_factor(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Loadings and residual variances of a fit with a factor of variance one."""
    loads = table.loc[table["op"] == "=~", "est"].to_numpy()
    own = (table["op"] == "~~") & (table["lhs"] == table["rhs"]) & (table["lhs"] != "f")
    return loads, table.loc[own, "est"].to_numpy()


def test_total_by_hand() -> None:
    table = tl.sem("f =~ a + b + c + d + e", survey(), std_lv=True).parameters
    loads, residuals = one_factor(table)
    expected = loads.sum() ** 2 / (loads.sum() ** 2 + residuals.sum())
    found = tl.omega(survey())
    assert found == pytest.approx(expected, rel=1e-9)
    assert found.name == "omega total"
    S = np.cov(survey().T, bias=True)
    observed = tl.omega(survey(), denominator="observed")
    assert observed == pytest.approx(loads.sum() ** 2 / S.sum(), rel=1e-9)
    assert np.isnan(observed.low)


def test_recovers_the_population() -> None:
    load = np.array(LOADINGS)
    expected = load.sum() ** 2 / (load.sum() ** 2 + 5)
    found = tl.omega(survey(20_000))
    assert found == pytest.approx(expected, abs=0.004)
    assert found.low < expected < found.high


def test_is_not_below_alpha() -> None:
    assert tl.omega(survey()) > tl.alpha(survey())


def test_is_alpha_where_loadings_are_equal() -> None:
    """Of a model with equal loadings, and equal residuals, omega is alpha of its covariance."""
    text = "f =~ l*a + l*b + l*c + l*d + l*e; " + "; ".join(f"{x} ~~ t*{x}" for x in ITEMS)
    found = tl.omega(survey(), model=text)
    S = tl.sem(text, survey(), std_lv=True).implied()[0].to_numpy()
    k = 5
    assert found == pytest.approx(k / (k - 1) * (1 - np.trace(S) / S.sum()), rel=1e-9)


def test_delta_method_is_that_of_a_defined_parameter() -> None:
    loads = " + ".join(f"l{x}*{x}" for x in ITEMS)
    rest = "; ".join(f"{x} ~~ t{x}*{x}" for x in ITEMS)
    top = "(" + " + ".join(f"l{x}" for x in ITEMS) + ")^2"
    text = f"f =~ {loads}; {rest}; o := {top} / ({top} + {' + '.join('t' + x for x in ITEMS)})"
    row = tl.sem(text, survey(), std_lv=True).parameters.query("op == ':='").iloc[0]
    found = tl.omega(survey()).table.iloc[0]
    assert found["estimate"] == pytest.approx(row["est"], rel=1e-9)
    assert found["std_error"] == pytest.approx(row["se"], rel=1e-6)
    assert found["conf_low"] == pytest.approx(row["ci_lower"], rel=1e-6)


def test_slopes_do_not_hang_on_the_step() -> None:
    fit = tl.sem("f =~ a + b + c + d + e", survey(), std_lv=True)
    of = composites(fit, observed=False, total=False).of
    V = fit.estimates.covariance[0]
    h = 1e-3 * np.sqrt(np.diag(V))
    at = [of((fit.x + s * step)[None])[0, 0] for step in np.diag(h) for s in (1, -1)]
    J = (np.array(at[::2]) - np.array(at[1::2])) / (2 * h)
    assert delta_covariance(fit, of)[0, 0] == pytest.approx(J @ V @ J, rel=1e-6)


def test_logit_stays_inside() -> None:
    found = tl.omega(survey(), interval="logit", level=0.999)
    assert 0 < found.low < found < found.high < 1
    p = found.table["estimate"].iloc[0]
    half = 3.2905267314919255 * found.table["std_error"].iloc[0] / (p * (1 - p))
    assert found.high == pytest.approx(1 / (1 + np.exp(-np.log(p / (1 - p)) - half)))


def test_bootstrap_agrees_with_the_delta_method() -> None:
    one, two = tl.omega(survey()), tl.omega(survey(), interval="percentile", n=400)
    assert two.table["std_error"].iloc[0] == pytest.approx(one.table["std_error"].iloc[0], rel=0.15)
    assert "400 replicates" in two.interval


def test_factors_and_all_items() -> None:
    model = "f =~ i0 + i1 + i2; g =~ i3 + i4 + i5"
    found = tl.omega(facets(), model=model)
    assert found.table.index.tolist() == ["f", "g", "all items"]
    fit = found.fits["cfa"]
    L = found.loadings.fillna(0.0).to_numpy()
    Phi = fit.states[0].C[0][-2:, -2:]
    Sigma = fit.implied()[0].to_numpy()
    assert found.table["estimate"]["all items"] == pytest.approx(
        (L @ Phi @ L.T).sum() / Sigma.sum()
    )


class TestHierarchical:
    def test_recovers_the_population(self) -> None:
        # sum of nine items: 81 general, 3 * 9 * 0.64 of facets, 9 of errors
        total = 81 + 27 * 0.64 + 9
        found = tl.omega(facets(20_000), kind="hierarchical")
        assert found == pytest.approx(81 / total, abs=0.02)
        assert found.table["estimate"]["total"] == pytest.approx(1 - 9 / total, abs=0.01)

    def test_signs_are_turned(self) -> None:
        data = facets().assign(i4=-facets()["i4"])
        one, two = tl.omega(facets(), kind="hierarchical"), tl.omega(data, kind="hierarchical")
        assert two == pytest.approx(one, abs=1e-5)
        assert any("i4" in note for note in two.notes)

    @settings(deadline=None, max_examples=10)
    @given(st.permutations(range(9)), st.sampled_from([0.1, 30.0]))
    def test_order_and_units_change_nothing(self, order: Any, stretch: float) -> None:
        one = tl.omega(facets(), kind="hierarchical").table["estimate"].iloc[:3]
        data = 2 + stretch * facets().iloc[:, order]
        two = tl.omega(data, kind="hierarchical").table["estimate"].iloc[:3]
        np.testing.assert_allclose(one, two, atol=1e-5)

    def test_minres_is_a_minimum(self) -> None:
        R = np.corrcoef(facets().T)
        loads, good = minres(R, 3)
        assert good

        def misfit(L: np.ndarray) -> float:
            rest = R - L @ L.T
            return float((rest[np.triu_indices(9, 1)] ** 2).sum())

        rng = np.random.default_rng(1)
        for _ in range(20):
            assert misfit(loads + 1e-3 * rng.normal(size=loads.shape)) > misfit(loads)

    def test_rotations_keep_what_is_common(self) -> None:
        loads, _ = minres(np.corrcoef(facets().T), 3)
        pattern, Phi = oblimin(varimax(loads))
        np.testing.assert_allclose(pattern @ Phi @ pattern.T, loads @ loads.T, atol=1e-12)
        np.testing.assert_allclose(np.diag(Phi), 1)

    def test_oblimin_is_a_minimum(self) -> None:
        loads, _ = minres(np.corrcoef(facets().T), 3)
        start = varimax(loads)

        def criterion(T: np.ndarray) -> float:
            square = (start @ np.linalg.inv(T).T) ** 2
            return float((square.sum(axis=1) ** 2 - (square**2).sum(axis=1)).sum())

        pattern, Phi = oblimin(start)
        # T from pattern = start T^-T
        T = np.linalg.inv(np.linalg.lstsq(start, pattern, rcond=None)[0]).T
        np.testing.assert_allclose(T.T @ T, Phi, atol=1e-10)
        rng = np.random.default_rng(1)
        for _ in range(20):
            other = T + 1e-3 * rng.normal(size=T.shape)
            other /= np.sqrt((other**2).sum(axis=0))
            assert criterion(other) > criterion(T)

    def test_schmid_leiman_splits_the_communality(self) -> None:
        found, good = schmid_leiman(np.corrcoef(facets().T), 3)
        assert good
        # exact for simple structure; here cross-loadings make the products of factors count
        simple = (found.group**2).sum(axis=1) + found.general**2
        np.testing.assert_allclose(simple, 1 - found.uniqueness, atol=0.05)

    def test_bootstrap_of_rows_and_clusters(self) -> None:
        options: dict[str, Any] = {"kind": "hierarchical", "interval": "percentile", "n": 25}
        one = tl.omega(facets(), **options)
        assert one.low < one < one.high
        data = facets().assign(school=np.arange(500) % 25)
        two = tl.omega(data, cluster="school", **options)
        assert two == one
        assert two.n_clusters == 25

    def test_two_group_factors_are_remarked(self) -> None:
        found = tl.omega(facets(), kind="hierarchical", n_factors=2)
        assert any("Three are better" in note for note in found.notes)


class TestMultilevel:
    def test_by_hand(self) -> None:
        found = tl.omega(nested(), kind="multilevel", cluster="school").table["estimate"]
        one = "f =~ NA*a + b + c\nf ~~ 1*f"
        table = tl.sem(f"level: 1\n{one}\nlevel: 2\n{one}", nested(), cluster="school").parameters
        for level, name in ((1, "within"), (2, "between")):
            loads, residuals = one_factor(table[table["level"] == level])
            expected = loads.sum() ** 2 / (loads.sum() ** 2 + residuals.sum())
            assert found[name] == pytest.approx(expected, rel=1e-7)

    def test_recovers_the_population(self) -> None:
        load = np.array(LOADINGS[:3])
        common, w, b = load.sum() ** 2, 3.0, 3 * 0.16
        found = tl.omega(nested(1500), kind="multilevel", cluster="school")
        size = harmonic_size(found.fits["shared"])
        mean = 0.64 * common + b + (common + w) / size
        expected = {
            "within": common / (common + w),
            "between": 0.64 * common / (0.64 * common + b),
            "W, configural": common / (common + w),
            "2L, configural": 1.64 * common / (1.64 * common + w + b),
            "B, shared": 0.64 * common / mean,
            "IRR, shared": (0.64 * common + b) / mean,
        }
        np.testing.assert_allclose(found.table["estimate"], list(expected.values()), atol=0.025)

    def test_harmonic_size(self) -> None:
        found = tl.omega(nested(), kind="multilevel", cluster="school")
        sizes = nested().groupby("school").size()
        assert harmonic_size(found.fits["levels"]) == pytest.approx(1 / (1 / sizes).mean())
        assert found.n_clusters == 120

    def test_clusters_make_errors_robust(self) -> None:
        one = tl.omega(nested(), list("abc"))
        two = tl.omega(nested(), list("abc"), cluster="school")
        assert two == pytest.approx(one, rel=1e-9)
        assert two.table["std_error"].iloc[0] != one.table["std_error"].iloc[0]


@settings(deadline=None, max_examples=8)
@given(st.permutations(ITEMS), st.sampled_from([0.01, 30.0]), st.floats(-9, 9))
def test_order_and_units_change_nothing(order: Any, stretch: float, shift: float) -> None:
    one, two = tl.omega(survey()), tl.omega(shift + stretch * survey()[order])
    np.testing.assert_allclose([two, *two.conf_int], [one, *one.conf_int], rtol=1e-6)


def test_summary_says_which_omega_it_is() -> None:
    said = str(tl.omega(survey()).summary())
    assert "McDonald" in said
    assert "implied variance" in said
    multilevel = str(tl.omega(nested(), kind="multilevel", cluster="school").summary())
    assert "Lai (2021)" in multilevel
    assert "raw composite" in multilevel
    assert "Schmid" in str(tl.omega(facets(), kind="hierarchical").summary())


def test_a_poor_model_is_called_poor() -> None:
    assert "That is poor" in str(tl.omega(facets()).summary())
    assert "poor" not in str(tl.omega(survey()).summary())


def test_negative_loadings_are_named() -> None:
    found = tl.omega(survey().assign(b=-survey()["b"]))
    assert any("Negative loadings: b" in note for note in found.notes)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"kind": "totl"}, "did you mean 'total'"),
            ({"kind": "cfa"}, "go together"),
            ({"kind": "total", "model": "f =~ a + b + c"}, "go together"),
            ({"model": "f =~ a + b + c", "columns": ["a"]}, "the model names its items"),
            ({"group": "a"}, "goes with a model"),
            ({"kind": "multilevel"}, "needs the column of clusters"),
            ({"kind": "hierarchical", "denominator": "observed"}, "does not go with"),
            ({"denominator": "observed", "interval": "delta"}, "is no parameter"),
            ({"kind": "hierarchical", "interval": "delta"}, "'percentile' only"),
            ({"kind": "hierarchical", "n_factors": 3}, "identify 2 to 2 group factors"),
            ({"kind": "hierarchical", "n_factors": 1}, "identify"),
            ({"interval": "bca"}, "interval='bca'"),
            ({"level": 2}, "level=2"),
        ],
    )
    def test_options(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(tl.OptionError, match=words):
            tl.omega(survey(), **options)

    def test_two_items(self) -> None:
        with pytest.raises(tl.DataError, match="three items"):
            tl.omega(survey(), ["a", "b"])

    def test_items_that_determine_each_other(self) -> None:
        data = facets().assign(i8=facets()["i0"] + facets()["i1"])
        with pytest.raises(tl.DataError, match="singular"):
            tl.omega(data, kind="hierarchical")

    def test_constant_item(self) -> None:
        with pytest.raises(tl.DataError, match="constant"):
            tl.omega(survey().assign(a=1.0))
