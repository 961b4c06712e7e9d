"""Reference distributions of likelihood ratios, against exact and brute-force ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.inference import compare as compared
from teamlink.inference.ratio import chi_square, mixture, simulated_share


@pytest.fixture(scope="module")
def hsb() -> pd.DataFrame:
    return tl.datasets.load("hsb82")


def balanced(seed: int = 1) -> pd.DataFrame:
    """Eight schools of 3 rooms of 4 rows."""
    rng = np.random.default_rng(seed)
    rows = [(s, r) for s in range(8) for r in range(3) for _ in range(4)]
    frame = pd.DataFrame(rows, columns=["school", "room"])
    room = 0.8 * rng.normal(size=24)[frame["school"] * 3 + frame["room"]]
    school = 0.45 * rng.normal(size=8)[frame["school"]]
    return frame.assign(y=school + room + rng.normal(size=len(frame)))


def test_mixtures_of_chi_squares():
    for x, df in ((0.4, 1), (2.7, 2), (5.1, 4)):
        assert chi_square(x, df) == pytest.approx(stats.chi2.sf(x, df))
    assert mixture(2.7, 2) == pytest.approx((stats.chi2.sf(2.7, 1) + stats.chi2.sf(2.7, 2)) / 2)
    assert mixture(2.7, 1) == pytest.approx(stats.chi2.sf(2.7, 1) / 2)
    # a variance estimated at zero is no evidence at all
    assert mixture(-1e-12, 1) == 1.0
    # the five per cent points of Stram and Lee's mixtures of 0:1 and 1:2 degrees of freedom
    assert mixture(2.7055, 1) == pytest.approx(0.05, abs=1e-5)
    assert mixture(5.1383, 2) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(
    ("small", "large", "reference"),
    [
        ("(1 | school)", "(cses | school)", "chi2(1)/2 + chi2(2)/2"),
        ("(1 | school)", "(cses || school)", "chi2(0)/2 + chi2(1)/2"),
        ("(cses | school)", "(cses + meanses | school)", "chi2(2)/2 + chi2(3)/2"),
        ("(cses || school)", "(cses | school)", "chi2(1)"),
        ("(1 | school)", "female + (cses | school)", "chi2(2)/2 + chi2(3)/2"),
        ("(1 | school)", "female + (1 | school)", "chi2(1)"),
        ("(1 | school)", "(cses + female | school)", "chi2(5)"),
        ("(1 | sector)", "(1 | sector) + (1 | school)", "chi2(0)/2 + chi2(1)/2"),
    ],
)
@pytest.mark.filterwarnings("ignore::teamlink.errors.FewGroups")
def test_the_table_says_which_distribution(hsb, small, large, reference):
    table = hsb[hsb["school"].isin(hsb["school"].unique()[::8])]
    fits = [tl.lmm(f"mathach ~ cses + meanses + {x}", table, reml=False) for x in (small, large)]
    found = tl.compare(*fits)
    row = found.table.iloc[1]
    assert row["reference"] == reference
    assert row["p_chi2"] == pytest.approx(stats.chi2.sf(row["chisq"], row["df"]))
    if "/2" in reference:
        assert row["p_value"] == pytest.approx(mixture(row["chisq"], int(row["df"])))
    else:
        assert row["p_value"] == row["p_chi2"]
    assert ("simulate=n" in " ".join(found.remarks)) == (
        reference == "chi2(5)" or ("/2" in reference and fits[0].boundary)
    )
    assert reference in str(found)


@pytest.mark.parametrize("n", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_simulated_p_is_the_exact_one_where_there_is_one(n):
    """With balanced nesting the ratio rises with F of the mean squares, whose law is known."""
    table = balanced()
    small = tl.lmm("y ~ 1 + (1 | school:room)", table)
    large = tl.lmm("y ~ 1 + (1 | school) + (1 | school:room)", table)
    rooms = table.groupby(["school", "room"])["y"].mean()
    schools = rooms.groupby("school").mean()
    within = ((rooms - rooms.groupby("school").transform("mean")) ** 2).sum() / 16
    exact = stats.f.sf(3 * schools.var() / within, 7, 16)
    assert 0.02 < exact < 0.4
    found = tl.compare(small, large, simulate=n, seed=2)
    row = found.table.iloc[1]
    # four standard errors of a share of n draws
    assert abs(row["p_value"] - exact) < 4 * np.sqrt(exact * (1 - exact) / n)
    assert row["reference"] == f"simulated ({n})"
    zero = (found.draws["chisq"] < 1e-6).mean()
    assert zero == pytest.approx(stats.f.cdf(1, 7, 16), abs=0.045)
    again = tl.compare(small, large, simulate=50, seed=2)
    assert again.draws["chisq"].to_numpy() == pytest.approx(found.draws["chisq"][:50], abs=1e-9)
    assert "simulated ratios, with a standard error" in str(found)


def test_draws_are_refits_of_simulated_responses(hsb):
    table = hsb[hsb["school"].isin(hsb["school"].unique()[::8])]
    small, large = (
        tl.lmm(f"mathach ~ cses + {x}", table, reml=False)
        for x in ("(1 | school)", "meanses + (cses | school)")
    )
    found = tl.compare(small, large, simulate=4, seed=9)
    Y = tl.simulate(small, 4, seed=9)
    for r in range(4):
        new = table.assign(mathach=Y[r])
        one, two = (tl.lmm(str(f.formula), new, reml=False) for f in (small, large))
        assert found.draws["chisq"][r] == pytest.approx(one.deviance - two.deviance, abs=1e-8)


def test_failed_draws_are_counted_and_left_out(hsb, monkeypatch):
    table = hsb[hsb["school"].isin(hsb["school"].unique()[::8])]
    small, large = (
        tl.lmm(f"mathach ~ cses + {x} + (1 | school)", table, reml=False) for x in ("1", "female")
    )

    def some(*_):
        return np.array([0.5, np.nan, 99.0]), ("", "did not converge", "")

    monkeypatch.setattr(compared, "simulated_ratios", some)
    found = tl.compare(small, large, simulate=3)
    assert "FAILED: 1 of 3 draws (did not converge)" in str(found)
    chisq = found.table["chisq"].iloc[1]
    assert found.table["p_value"].iloc[1] == pytest.approx((1 + (chisq < 99) + (chisq < 0.5)) / 3)
    assert simulated_share(2.0, np.array([1.0, 3.0, np.nan])) == pytest.approx(2 / 3)


def test_numbers_of_draws_that_are_none(hsb):
    fits = [tl.lmm(f"mathach ~ {x} + (1 | school)", hsb, reml=False) for x in ("1", "cses")]
    with pytest.raises(tl.OptionError, match="n=0"):
        tl.compare(*fits, simulate=0)
