"""Several grouping factors: what must not change, and what must change by a known amount."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl

# Samples have four to nine schools, and five areas.
pytestmark = pytest.mark.filterwarnings("ignore::teamlink.errors.FewGroups")

seeds = st.integers(0, 10_000)
common = settings(max_examples=settings().max_examples // 8)

SAME = {"abs": 1e-7}
"""Both fits stop within 1e-10 of the optimum of a deviance of size 1e2 to 1e3."""

FORMULAS = (
    "y ~ x + z + (x | school) + (1 | child)",
    "y ~ x + z + (1 | home) + (1 | child)",
    "y ~ x + z + (1 | home) + (z || child)",
    "y ~ x + z + (x | school) + (1 | area)",
    "y ~ x + z + (1 | school) + (1 | child) + (1 | area)",
    "y ~ x + z + (1 | home/child) + (0 + x | area)",
)
formulas = st.sampled_from(FORMULAS)


def draw(seed: int) -> pd.DataFrame:
    """Children in a home school; some rows in another school; areas that cross everything."""
    rng = np.random.default_rng(seed)
    schools, children = int(rng.integers(4, 10)), int(rng.integers(15, 40))
    child = np.repeat(np.arange(children), rng.integers(1, 6, children))
    n = child.size
    home = rng.integers(0, schools, children)[child]
    school = np.where(rng.random(n) < 0.2, rng.integers(0, schools, n), home)
    area = rng.integers(0, 5, n)
    x, z = rng.normal(size=n), rng.normal(size=n)
    scale = rng.choice([0.0, 0.3, 1.0], 4)
    b = rng.normal(size=(schools, 2)) * scale[:2]
    y = 2 + x - z + b[school, 0] + b[school, 1] * x + scale[2] * rng.normal(size=children)[child]
    y = y + scale[3] * rng.normal(size=5)[area] + rng.normal(size=n)
    return pd.DataFrame(
        {"y": y, "x": x, "z": z, "school": school, "home": home, "child": child, "area": area}
    )


def by_group(fit: Any) -> dict[str, float]:
    """Variances and covariances by group and terms, without regard to order."""
    found = {}
    for row in fit.varcorr.itertuples():
        group = ":".join(sorted(row.group.split(":")))
        terms = sorted(t for t in (row.term1, row.term2) if isinstance(t, str))
        found[" ".join([group, *terms])] = row.vcov
    return found


def assert_same_components(one: Any, two: Any) -> None:
    """Variances agree to what a deviance known to 1e-10 says of them."""
    first, second = by_group(one), by_group(two)
    assert first.keys() == second.keys()
    size = max(abs(v) for v in first.values())
    for name, value in first.items():
        assert second[name] == pytest.approx(value, abs=2e-4 * size), name


@common
@given(seeds, formulas, st.booleans())
def test_row_order_and_labels(seed: int, formula: str, reml: bool) -> None:
    data = draw(seed)
    fit = tl.lmm(formula, data, reml=reml)
    rng = np.random.default_rng(seed)
    other = data.sample(frac=1, random_state=seed)
    for name in ("school", "home", "child", "area"):
        labels = rng.permutation(60)
        other[name] = [f"{name} {labels[k]}" for k in other[name]]
    again = tl.lmm(formula, other, reml=reml)
    assert again.deviance == pytest.approx(fit.deviance, **SAME)
    assert again.params.to_numpy() == pytest.approx(fit.params.to_numpy(), abs=1e-5)
    assert_same_components(fit, again)


@common
@given(seeds, st.booleans())
def test_order_of_the_factors_in_the_formula(seed: int, reml: bool) -> None:
    data = draw(seed)
    terms = ["(x | school)", "(1 | child)", "(1 | area)"]
    fits = [
        tl.lmm(f"y ~ x + z + {' + '.join(order)}", data, reml=reml)
        for order in (terms, terms[::-1], [terms[1], terms[0], terms[2]])
    ]
    for again in fits[1:]:
        assert again.deviance == pytest.approx(fits[0].deviance, **SAME)
        assert_same_components(fits[0], again)


@common
@given(seeds, formulas, st.floats(-1e6, 1e6), st.sampled_from([1e-4, 3.0, 1e5]))
def test_response_in_other_units(seed: int, formula: str, shift: float, scale: float) -> None:
    data = draw(seed)
    fit = tl.lmm(formula, data, reml=False)
    again = tl.lmm(formula, data.assign(y=shift + scale * data["y"]), reml=False)
    moved = fit.deviance + 2 * len(data) * np.log(scale)
    # a shift of 1e6 leaves six digits of a response with spread 1e-4
    lost = 1e-6 + 1e-8 * abs(shift / scale)
    if lost < 1:
        assert again.deviance == pytest.approx(moved, abs=max(1e-6, lost))
        for name, value in by_group(fit).items():
            size = max(1.0, value) * max(1e-3, lost)
            assert by_group(again)[name] / scale**2 == pytest.approx(value, abs=size)


@common
@given(seeds, formulas)
def test_recoding_of_the_fixed_part_moves_reml_by_its_determinant(seed: int, formula: str) -> None:
    data = draw(seed).assign(s=lambda d: d["x"] + d["z"], d=lambda d: 2 * (d["x"] - d["z"]))
    fit = tl.lmm(formula, data)
    again = tl.lmm(formula.replace("x + z", "s + d", 1), data)
    # (s, d) = (x, z) C with |det C| = 4; log|X'V^-1 X| gains 2 log 4
    assert again.deviance == pytest.approx(fit.deviance + 2 * np.log(4), **SAME)
    assert again.fittedvalues.to_numpy() == pytest.approx(fit.fittedvalues.to_numpy(), abs=1e-4)
    assert_same_components(fit, again)


@common
@given(seeds, st.floats(-1e3, 1e3), st.sampled_from([1e-3, 1.0, 1e3]))
def test_predictor_of_an_unstructured_slope_moved_and_scaled(
    seed: int, shift: float, scale: float
) -> None:
    data = draw(seed)
    formula = "y ~ x + z + (x | school) + (1 | child)"
    fit = tl.lmm(formula, data, reml=False)
    again = tl.lmm(formula, data.assign(x=shift + scale * data["x"]), reml=False)
    if abs(shift / scale) < 1e5:
        assert again.deviance == pytest.approx(fit.deviance, abs=1e-6)


@common
@given(seeds, st.booleans())
def test_a_nested_factor_is_spelled_in_four_ways(seed: int, reml: bool) -> None:
    """As a path, as two terms, by ids that are unique, by ids used again in every school."""
    data = draw(seed)
    anew = data.groupby("home")["child"].transform(lambda c: pd.factorize(c)[0])
    data = data.assign(anew=anew)
    formulas = (
        "y ~ x + (1 | home/child)",
        "y ~ x + (1 | home) + (1 | home:child)",
        "y ~ x + (1 | child) + (1 | home)",
        "y ~ x + (1 | home/anew)",
    )
    fits = [tl.lmm(formula, data, reml=reml) for formula in formulas]
    for again in fits[1:]:
        assert again.deviance == pytest.approx(fits[0].deviance, **SAME)
        assert sorted(by_group(again).values()) == pytest.approx(
            sorted(by_group(fits[0]).values()), rel=1e-3, abs=1e-4
        )


@common
@given(seeds, st.booleans())
def test_uncorrelated_terms_written_apart_or_with_two_bars(seed: int, reml: bool) -> None:
    data = draw(seed)
    one = tl.lmm("y ~ x + z + (x || school) + (1 | child)", data, reml=reml)
    two = tl.lmm("y ~ x + z + (1 | school) + (1 | child) + (0 + x | school)", data, reml=reml)
    assert one.deviance == pytest.approx(two.deviance, **SAME)
    assert_same_components(one, two)


@common
@given(seeds, st.booleans())
def test_a_row_without_information_turns_nesting_into_crossing(seed: int, reml: bool) -> None:
    """Where d is zero the child does not enter, so its id says nothing: same likelihood.

    But with that row in the name of a child of another school, children are no longer nested.
    """
    data = draw(seed)
    other = data["home"] != data["home"].iloc[0]
    if not other.any():
        return
    data = data.assign(d=data["x"].abs() + 0.1)
    data.loc[0, "d"] = 0.0
    crossed = data.copy()
    crossed.loc[0, "child"] = data.loc[other, "child"].iloc[0]
    formula = "y ~ x + (1 | home) + (0 + d | child)"
    nested, again = tl.lmm(formula, data, reml=reml), tl.lmm(formula, crossed, reml=reml)
    assert again.deviance == pytest.approx(nested.deviance, **SAME)
    assert again.params.to_numpy() == pytest.approx(nested.params.to_numpy(), abs=1e-5)
    assert again.bse.to_numpy() == pytest.approx(nested.bse.to_numpy(), rel=1e-4)
    assert_same_components(nested, again)


@common
@given(seeds, formulas, st.booleans())
def test_everything_twice_in_new_groups_doubles_the_ml_deviance(
    seed: int, formula: str, shuffle: bool
) -> None:
    data = draw(seed)
    fit = tl.lmm(formula, data, reml=False)
    names = ["school", "home", "child", "area"]
    twice = pd.concat([data, data.assign(**{n: data[n] + 1000 for n in names})], ignore_index=True)
    if shuffle:
        twice = twice.sample(frac=1, random_state=seed)
    again = tl.lmm(formula, twice, reml=False)
    assert again.deviance == pytest.approx(2 * fit.deviance, abs=1e-6)
    assert again.bse.to_numpy() == pytest.approx(fit.bse.to_numpy() / np.sqrt(2), rel=1e-4)


@common
@given(seeds)
def test_two_factors_that_group_alike_are_refused(seed: int) -> None:
    """Only the sum of their variances can be estimated, whatever the labels are."""
    data = draw(seed).assign(twin=lambda d: "t" + d["child"].astype(str))
    with pytest.raises(tl.DesignError, match="group the rows alike"):
        tl.lmm("y ~ x + (1 | child) + (1 | twin) + (1 | area)", data)


@common
@given(seeds)
def test_more_freedom_never_raises_the_ml_deviance(seed: int) -> None:
    data = draw(seed)
    chain = [
        "y ~ x + (1 | school)",
        "y ~ x + (1 | school) + (1 | child)",
        "y ~ x + (x || school) + (1 | child)",
        "y ~ x + (x | school) + (1 | child)",
        "y ~ x + (x | school) + (1 | child) + (1 | area)",
    ]
    deviances = np.array([tl.lmm(formula, data, reml=False).deviance for formula in chain])
    assert (np.diff(deviances) <= 1e-7).all()


@common
@given(seeds)
def test_a_variance_at_zero_is_a_factor_left_out(seed: int) -> None:
    data = draw(seed)
    fit = tl.lmm("y ~ x + (1 | school) + (1 | area)", data)
    at_zero = [name for name in ("school", "area") if by_group(fit)[f"{name} Intercept"] == 0.0]
    if len(at_zero) == 1:
        kept = "area" if at_zero == ["school"] else "school"
        alone = tl.lmm(f"y ~ x + (1 | {kept})", data)
        assert alone.deviance == pytest.approx(fit.deviance, **SAME)
        assert fit.boundary
        assert alone.df.to_numpy() == pytest.approx(fit.df.to_numpy(), rel=1e-5)


@common
@given(seeds, formulas, st.integers(2, 4))
def test_refits_do_not_depend_on_their_company(seed: int, formula: str, R: int) -> None:
    data = draw(seed)
    fit = tl.lmm(formula, data)
    Y = np.random.default_rng(seed).normal(size=(len(data), R))
    together = tl.refit(fit, Y)
    alone = pd.concat([tl.refit(fit, Y[:, r]) for r in range(R)], ignore_index=True)
    # 1e-8: the bar for batches; both stop within 1e-10 of the optimum
    assert together["deviance"].to_numpy() == pytest.approx(alone["deviance"].to_numpy(), abs=1e-8)


# ---- multiple membership -----------------------------------------------------------------------

WITH_MEMBERSHIP = st.sampled_from(
    [
        "y ~ x + (1 | school)",
        "y ~ x + (x | school) + (1 | child)",
        "y ~ x + (1 | school) + (1 | area)",
    ]
)


def pairs(data: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A second school for some rows, with weights that need not sum to one."""
    rng = np.random.default_rng(seed)
    second = rng.permutation(data["school"].to_numpy()).astype(float)
    second[rng.random(len(data)) < 0.6] = np.nan
    w = rng.uniform(0.2, 1.5, (len(data), 2))
    return data.assign(
        second=second, weight1=w[:, 0], weight2=np.where(np.isnan(second), np.nan, w[:, 1])
    )


@common
@given(seeds, WITH_MEMBERSHIP, st.booleans())
def test_membership_of_one_group_with_weight_one_is_the_factor(
    seed: int, formula: str, reml: bool
) -> None:
    data = draw(seed)
    plain = tl.lmm(formula, data, reml=reml)
    belongs = {"school": tl.membership(data, ["school"])}
    again = tl.lmm(formula, data, reml=reml, memberships=belongs)
    assert again.deviance == pytest.approx(plain.deviance, **SAME)
    assert again.params.to_numpy() == pytest.approx(plain.params.to_numpy(), abs=1e-5)
    assert_same_components(plain, again)


@common
@given(seeds, WITH_MEMBERSHIP, st.sampled_from([0.25, 3.0]))
def test_weights_in_other_units_scale_the_variance(seed: int, formula: str, unit: float) -> None:
    data = pairs(draw(seed), seed)
    columns = (["school", "second"], ["weight1", "weight2"])
    fit = tl.lmm(formula, data, memberships={"school": tl.membership(data, *columns)})
    scaled = data.assign(weight1=unit * data["weight1"], weight2=unit * data["weight2"])
    again = tl.lmm(formula, scaled, memberships={"school": tl.membership(scaled, *columns)})
    assert again.deviance == pytest.approx(fit.deviance, **SAME)
    size = max(by_group(fit).values())
    for name, value in by_group(fit).items():
        factor = unit**2 if name.startswith("school") else 1.0
        assert factor * by_group(again)[name] == pytest.approx(value, abs=2e-4 * size), name


@common
@given(seeds, WITH_MEMBERSHIP)
def test_order_of_rows_and_of_the_columns_of_membership(seed: int, formula: str) -> None:
    data = pairs(draw(seed), seed)
    one = tl.membership(data, ["school", "second"], ["weight1", "weight2"])
    fit = tl.lmm(formula, data, memberships={"school": one})
    other = data.sample(frac=1, random_state=seed)
    two = tl.membership(other, ["second", "school"], ["weight2", "weight1"])
    again = tl.lmm(formula, other, memberships={"school": two})
    assert again.deviance == pytest.approx(fit.deviance, **SAME)
    assert_same_components(fit, again)
