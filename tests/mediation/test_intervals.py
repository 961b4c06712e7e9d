"""Intervals of effects: against formulas, brute force, and one another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import teamlink as tl
from teamlink.errors import FewReplicates
from teamlink.inference import intervals as quantiles
from teamlink.mediation import intervals

from .worlds import schools

DATA = schools()
FOUND = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school")


def joint() -> tuple[np.ndarray, np.ndarray]:
    names = ["a_between", "b_between"]
    return FOUND.fit.params[names].to_numpy(), FOUND.fit.cov_params().loc[names, names].to_numpy()


def test_delta_is_its_formula() -> None:
    (a, b), V = joint()
    se = np.sqrt(b**2 * V[0, 0] + a**2 * V[1, 1] + 2 * a * b * V[0, 1])
    row = FOUND.conf_int("delta", 0.9).set_index("label").loc["indirect_between"]
    assert row["std_error"] == pytest.approx(se, rel=1e-9)
    assert row["conf_low"] == pytest.approx(a * b - stats.norm.ppf(0.95) * se, rel=1e-9)
    assert row["p"] == pytest.approx(2 * stats.norm.sf(abs(a * b / se)), rel=1e-9)


def test_monte_carlo_has_the_moments_of_a_product() -> None:
    (a, b), V = joint()
    n = 1_000_000
    column = FOUND.labels.index("indirect_between")
    sample = FOUND.draws(n, seed=5)[:, column]
    cov = V[0, 1]
    mean = a * b + cov
    variance = (
        a**2 * V[1, 1] + b**2 * V[0, 0] + 2 * a * b * cov + V[0, 0] * V[1, 1] + cov**2
    )  # fmt: skip
    # Five Monte-Carlo standard errors; a variance's is that of fourth moments near the normal's.
    assert sample.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / n))
    assert sample.var() == pytest.approx(variance, rel=5 * np.sqrt(3 / n))


def test_monte_carlo_of_a_coefficient_is_its_wald_interval() -> None:
    drawn = FOUND.conf_int("monte-carlo", n=400_000).set_index("label")
    wald = FOUND.conf_int("delta").set_index("label")
    for label in ("a_between", "b_between", "c_between"):
        se = wald.loc[label, "std_error"]
        # The end of a 95 % interval has an error of 2.7 se / sqrt(n).
        for end in ("conf_low", "conf_high"):
            assert drawn.loc[label, end] == pytest.approx(wald.loc[label, end], abs=0.022 * se)


def test_same_seed_same_numbers() -> None:
    one, two = FOUND.conf_int(seed=3), FOUND.conf_int(seed=3)
    assert one.equals(two)
    assert not one.equals(FOUND.conf_int(seed=4))


class TestBootstrap:
    N = 40
    BOOT = FOUND.bootstrap(N, seed=7)

    def test_is_brute_force_on_rows_drawn(self) -> None:
        rng = np.random.default_rng(7)
        weights = rng.multinomial(60, np.full(60, 1 / 60), size=self.N)
        rows = [np.flatnonzero(DATA["school"] == j) for j in range(60)]
        place = list(self.BOOT.labels.terms)
        for r in (0, 17, 39):
            drawn = [j for j in range(60) for _ in range(weights[r, j])]
            again = DATA.iloc[np.concatenate([rows[j] for j in drawn])].assign(
                school=np.repeat(np.arange(60), [len(rows[j]) for j in drawn])
            )
            fit = tl.mediate("2-1-1", "x2", "m1", "y1", again, "school").fit
            ours = self.BOOT.draws.values[r, [place.index(label) for label in FOUND.labels]]
            assert ours == pytest.approx(fit.params[list(FOUND.labels)].to_numpy(), abs=1e-6)

    def test_ends_are_quantiles(self) -> None:
        place = list(self.BOOT.labels.terms).index("indirect_between")
        sample = self.BOOT.draws.values[:, place]
        row = FOUND.conf_int("percentile", 0.9, boot=self.BOOT).set_index("label")
        low, high = quantiles.percentile(sample, 0.9)
        found = row.loc["indirect_between", ["conf_low", "conf_high"]].tolist()
        assert found == pytest.approx([low, high])

    def test_bca_leaves_out_each_school(self) -> None:
        with pytest.warns(FewReplicates):
            frame = FOUND.conf_int("bca", 0.95, boot=self.BOOT).set_index("label")
        place = list(self.BOOT.labels.terms).index("indirect_between")
        without = self.BOOT.jackknifed[:, place]
        one = DATA[DATA["school"] != 11]
        fit = tl.mediate("2-1-1", "x2", "m1", "y1", one, "school").fit
        assert without[11] == pytest.approx(fit.params["indirect_between"], abs=1e-6)
        ends, _ = quantiles.bca(
            self.BOOT.draws.values[:, place], FOUND.fit.params["indirect_between"], without, 0.95
        )
        assert frame.loc["indirect_between", ["conf_low", "conf_high"]].tolist() == pytest.approx(
            ends.tolist()
        )


def test_p_is_where_the_interval_ends_at_zero() -> None:
    rng = np.random.default_rng(2)
    sample = rng.gamma(3.0, size=99_999) - 0.7
    jackknife = rng.gamma(2.0, size=60) / 60
    p = intervals.share_p(sample)
    assert quantiles.percentile(sample, 1 - p)[0] == pytest.approx(0, abs=2e-3)
    p = intervals.bca_p(sample, 2.0, jackknife)
    assert quantiles.bca(sample, 2.0, jackknife, 1 - p)[0][0] == pytest.approx(0, abs=2e-3)


def test_a_singular_covariance_is_refused() -> None:
    """Two copies of one mediator, with noise too small to tell them apart."""
    reason = intervals.near_singular(FOUND.fit, FOUND.labels)
    assert reason == ""
    from dataclasses import replace

    V = FOUND.fit.estimates.covariance.copy()
    names = list(FOUND.fit.estimates.names)
    i, j = names.index("a_between"), names.index("b_between")
    V[0, i, :] = V[0, j, :] * 2
    V[0, :, i] = V[0, :, j] * 2
    V[0, i, i] = 4 * V[0, j, j]
    fit = replace(FOUND.fit, estimates=replace(FOUND.fit.estimates, covariance=V))
    found = replace(FOUND, fit=fit)
    with pytest.raises(tl.FitError, match="singular"):
        found.conf_int("monte-carlo")
    assert set(found.effects["method"]) == {"delta"}


def test_proportion_is_left_out_where_signs_differ() -> None:
    alike = tl.mediate("2-1-1", "x2", "m1", "y1", DATA.assign(y1=DATA.y1 + DATA.x2), "school")
    p = alike.fit.params
    assert p["c_between"] > 0
    (row,) = alike.proportion_mediated.to_dict("records")
    assert row["estimate"] == pytest.approx(p["indirect_between"] / p["total_between"])
    assert row["conf_low"] < row["estimate"] < row["conf_high"]
    assert "Proportion mediated, between" in str(alike.summary())
    turned = DATA.assign(y1=DATA["y1"] - 2 * DATA["x2"])
    other = tl.mediate("2-1-1", "x2", "m1", "y1", turned, "school")
    assert other.fit.params["c_between"] < 0 < other.fit.params["indirect_between"]
    assert other.proportion_mediated.empty
    assert "Proportion" not in str(other.summary())


@pytest.mark.parametrize(
    ("options", "said"), [({"method": "sobel"}, "not offered"), ({"level": 95}, "between 0 and 1")]
)
def test_options(options: dict, said: str) -> None:
    with pytest.raises(tl.OptionError, match=said):
        FOUND.conf_int(**options)
