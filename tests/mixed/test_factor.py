"""Grouping factors: their groups, their order, their columns, and what cannot be estimated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import teamlink as tl
from teamlink.errors import DroppedRows, FewGroups
from teamlink.mixed.covariance import RandomStructure, random_basis
from teamlink.mixed.design import design, sole_factor
from teamlink.mixed.factor import lies_within, same_groups
from teamlink.mixed.membership import Membership
from teamlink.mixed.nesting import why_not_nested


@pytest.fixture
def data() -> pd.DataFrame:
    """Batches of three casks whose codes repeat; tasters who taste in every batch."""
    rng = np.random.default_rng(3)
    batch = np.repeat(list("ABCDEFGHIJ"), 12)
    return pd.DataFrame(
        {
            "y": rng.normal(size=120),
            "x": rng.normal(size=120) + 2,
            "batch": batch,
            "cask": np.tile(np.repeat(list("abc"), 4), 10),
            "taster": np.arange(120) % 8,
        }
    )


def written_out(factor):
    """(n, J q) random-effects matrix, row by row."""
    big = np.zeros((len(factor.Z), factor.n_groups * factor.q))
    W = factor.weights.toarray()
    for i, row in enumerate(W):
        for j in np.flatnonzero(row):
            big[i, j * factor.q : (j + 1) * factor.q] = row[j] * factor.Z[i]
    return big


def test_groups_within_groups_are_the_pairs_that_occur(data):
    found = design("y ~ x + (1 | batch/cask)", data)
    assert [(f.name, f.n_groups) for f in found.factors] == [("batch:cask", 30), ("batch", 10)]
    inner, outer = found.factors
    assert list(inner.levels[:3]) == ["A:a", "A:b", "A:c"]
    assert inner.levels.name == "batch:cask"
    assert inner.variables == ("batch", "cask")
    assert lies_within(inner, outer)
    assert not lies_within(outer, inner)


def test_unique_ids_of_inner_groups_make_the_same_model(data):
    nested = design("y ~ x + (1 | batch/cask)", data)
    unique = data.assign(id=data["batch"] + data["cask"])
    plain = design("y ~ x + (1 | batch) + (1 | id)", unique)
    assert [f.name for f in plain.factors] == ["id", "batch"]
    for one, two in zip(nested.factors, plain.factors, strict=True):
        assert np.array_equal(one.codes, two.codes)
        assert same_groups(one, two)


def test_more_groups_come_first_and_ties_keep_the_order_of_the_formula(data):
    data = data.assign(other=(np.arange(120) // 2) % 10)
    names = [f.name for f in design("y ~ 1 + (1|taster) + (1|other) + (1|batch)", data).factors]
    assert names == ["other", "batch", "taster"]
    names = [f.name for f in design("y ~ 1 + (1|taster) + (1|batch) + (1|other)", data).factors]
    assert names == ["batch", "other", "taster"]


def test_terms_by_the_same_variables_are_one_factor_with_several_blocks(data):
    found = design("y ~ x + (1|batch:cask) + (1|taster) + (0 + x|cask:batch)", data)
    first, second = found.factors
    assert (first.name, first.blocks, first.names) == ("batch:cask", (1, 1), ("Intercept", "x"))
    assert first.intercepts == (0, -1)
    assert (second.name, second.blocks) == ("taster", (1,))
    assert found.effects == (
        ("batch:cask", "Intercept"), ("batch:cask", "x"), ("taster", "Intercept"),
    )  # fmt: skip
    assert np.array_equal(first.Z, np.column_stack([np.ones(120), data["x"]]))


def test_sparse_matrix_is_effect_major(data):
    for factor in design("y ~ x + (x | batch) + (1 | taster)", data).factors:
        J, q = factor.n_groups, factor.q
        major = written_out(factor).reshape(120, J, q).transpose(0, 2, 1).reshape(120, J * q)
        assert np.array_equal(factor.by_effect(factor.Z).toarray(), major)


def test_effects_of_rows_are_the_sparse_matrix_times_the_effects(data):
    rng = np.random.default_rng(0)
    W = rng.uniform(size=(120, 6)) * (rng.uniform(size=(120, 6)) < 0.4)
    several = {"team": Membership(csr_array(W), pd.Index(list("uvwxyz")))}
    found = design("y ~ x + (x | batch) + (x | team)", data, several)
    for factor in found.factors:
        b = rng.normal(size=(factor.n_groups, factor.q, 3))
        y = np.ones((120, 3))
        factor.add_to(y, b)
        expected = written_out(factor) @ b.reshape(-1, 3)
        assert y == pytest.approx(1 + expected, abs=1e-12)
        J, q = factor.n_groups, factor.q
        flat = factor.by_effect(factor.Z) @ b.transpose(1, 0, 2).reshape(q * J, 3)
        assert flat == pytest.approx(expected, abs=1e-12)


def test_rows_of_unknown_groups_get_nothing(data):
    from dataclasses import replace

    factor = design("y ~ x + (x | batch)", data).factors[0]
    codes = factor.codes.copy()
    codes[::3] = -1
    holed = replace(factor, codes=codes)
    b = np.random.default_rng(0).normal(size=(10, 2, 1))
    y = np.zeros((120, 1))
    holed.add_to(y, b)
    assert (y[::3] == 0).all()
    assert y == pytest.approx(
        holed.by_effect(holed.Z) @ b.transpose(1, 0, 2).reshape(-1, 1), abs=1e-12
    )


def test_structure_covers_all_factors():
    structure = RandomStructure.of_factors([(2, 1), (1,)])
    assert structure.factors == (slice(0, 3), slice(3, 4))
    assert structure.slices == (slice(0, 2), slice(2, 3), slice(3, 4))
    Lambda = structure.factor(np.arange(1.0, 6.0))
    assert Lambda.tolist() == [[1, 0, 0, 0], [2, 3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 5]]


def test_working_columns_carry_the_same_effects(data):
    several = {"team": Membership(csr_array(np.eye(8)[data["taster"]] * 3), pd.RangeIndex(8))}
    found = design("y ~ x + (x | batch) + (x | team)", data, several)
    structure = RandomStructure.of_factors([f.blocks for f in found.factors])
    basis = random_basis(found.factors, structure)
    b = np.random.default_rng(1).normal(size=structure.q)
    for k, (factor, place) in enumerate(zip(found.factors, structure.factors, strict=True)):
        working = basis.columns(factor.Z, k)
        assert working @ b[place] == pytest.approx(factor.Z @ (basis.T @ b)[place], abs=1e-12)
        assert np.mean(working[:, 1] ** 2) == pytest.approx(1)
        centred = abs(working[:, 1].mean()) < 1e-12
        assert centred == (factor.membership is None)
    outside = np.ones((4, 4), dtype=bool)
    for place in structure.factors:
        outside[place, place] = False
    assert (basis.T[outside] == 0).all()


def test_every_fault_of_every_factor_at_once(data):
    with pytest.raises(tl.DesignError) as error:
        design(
            "y ~ x + (1 | one) + (1 | each) + (x | pair)",
            data.assign(y=1.0, one=1, each=range(120), pair=np.arange(120) // 2),
        )
    assert [fault.where for fault in error.value.faults] == [
        "column 'y'", "group 'each'", "group 'pair'", "group 'one'",
    ]  # fmt: skip
    assert "each of the 120 groups has one row" in str(error.value)
    assert "2 correlated random effects in each of 60 groups" in str(error.value)


def test_several_factors_may_have_more_effects_than_rows(data):
    data = data.assign(a=np.arange(120) // 2, b=np.arange(120) % 60)
    found = design("y ~ x + (1 | a) + (1 | b) + (1 | batch)", data)
    assert sum(f.n_groups * f.q for f in found.factors) > found.n


def test_two_factors_that_group_the_rows_alike_are_refused(data):
    renamed = data.assign(lot=data["batch"].map(dict(zip("ABCDEFGHIJ", "JIHGFEDCBA", strict=True))))
    with pytest.raises(tl.DesignError, match="'lot' and 'batch' group the rows alike"):
        design("y ~ x + (1 | lot) + (1 | taster) + (x | batch)", renamed)
    one = Membership(csr_array(np.eye(10)[data["batch"].map(ord) - 65]), pd.RangeIndex(10))
    with pytest.raises(tl.DesignError, match="'team' and 'batch' group the rows alike"):
        design("y ~ x + (1 | team) + (1 | batch)", data, {"team": one})


def test_few_groups_are_warned_about_for_each_factor(data):
    with (
        pytest.warns(FewGroups, match="only 3 groups: the variance of 'cask'"),
        pytest.warns(FewGroups, match="only 2 groups: the variance of 'half'"),
    ):
        design("y ~ x + (1 | cask) + (1 | half)", data.assign(half=np.arange(120) % 2))


def test_rows_and_groups_that_are_left_out_leave_the_membership_too(data):
    W = np.eye(9)[np.arange(120) % 8]
    W[5] = np.eye(9)[8]
    data.loc[[2, 5, 50], "x"] = np.nan
    teams = Membership(csr_array(W), pd.Index(list("stuvwxyzo")))
    with pytest.warns(DroppedRows):
        factor = design("y ~ x + (1 | team)", data, {"team": teams}).factors[0]
    kept = np.setdiff1d(np.arange(120), [2, 5, 50])
    assert list(factor.levels) == list("stuvwxyz")
    assert np.array_equal(factor.membership.toarray(), W[kept][:, :8])


def test_memberships_that_do_not_fit_the_formula_or_the_table(data):
    teams = Membership(csr_array(np.eye(8)[data["taster"]]), pd.RangeIndex(8))
    with pytest.raises(tl.OptionError, match=r"'teem'; did you mean 'team'\?"):
        design("y ~ x + (1 | team)", data.assign(team=1), {"teem": teams})
    with pytest.raises(tl.DesignError, match="the table has 119 rows, but 'team' has 120"):
        design("y ~ x + (1 | team)", data.iloc[1:], {"team": teams})
    with pytest.raises(tl.OptionError, match="'team' is a ndarray; make one by"):
        design("y ~ x + (1 | team)", data, {"team": np.eye(120)})
    with pytest.raises(tl.FormulaError, match="rows belong to several groups of 'team'"):
        design("y ~ x + (1 | batch:team)", data, {"team": teams})


def test_what_is_not_fitted_yet_says_so_in_one_place(data):
    teams = Membership(csr_array(np.eye(8)[data["taster"]]), pd.RangeIndex(8))
    found = design("y ~ x + (1 | team)", data, {"team": teams})
    with pytest.raises(tl.OptionError, match="clusters: not yet for a model with multiple"):
        sole_factor(found, "clusters")
    both = design("y ~ x + (1 | batch) + (1 | taster)", data)
    with pytest.raises(tl.OptionError, match=r"several grouping factors \(batch, taster\)"):
        sole_factor(both, "clusters")


@pytest.mark.parametrize(
    ("small", "large", "why"),
    [
        ("(1 | batch)", "(1 | batch) + (1 | taster)", None),
        ("(1 | taster)", "(x | taster) + (1 | batch)", None),
        ("(x || batch)", "(1 | taster) + (x | batch)", None),
        ("(1 | batch) + (1 | taster)", "(1 | batch)", "no factor that groups the rows as 'taster'"),
        ("(x | batch)", "(1 | batch) + (x | taster)", "random effects of the smaller"),
        ("(1 | lot)", "(1 | batch/cask)", None),
        ("(1 | taster)", "(1 | batch)", "group the rows differently"),
    ],
)
def test_one_model_is_a_special_case_of_another_factor_by_factor(data, small, large, why):
    data = data.assign(lot=data["batch"].str.lower())
    one, two = design(f"y ~ x + {small}", data), design(f"y ~ x + {large}", data)
    said = why_not_nested(one, two, one.X, two.X)
    assert (said is None) if why is None else (said is not None and why in said)
