"""Refits, bootstraps and comparisons of models with several grouping factors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.inference import replicates
from teamlink.inference.replicates import batch_size
from teamlink.mixed.bind import bind
from teamlink.mixed.design import design


def table(seed: int = 4, districts: int = 12) -> pd.DataFrame:
    """Students in rooms in districts, and by neighbourhood across the rooms of a district."""
    rng = np.random.default_rng(seed)
    d = np.repeat(np.arange(districts), rng.integers(12, 25, districts))
    room = d * 10 + rng.integers(0, 4, d.size)
    hood = d * 10 + rng.integers(0, 3, d.size)
    x = rng.normal(size=d.size)
    y = 20 + 0.5 * x + rng.normal(size=d.size)
    for codes, sd, slope in ((d, 0.7, 0.0), (room, 0.6, 0.4), (hood, 0.8, 0.0)):
        u = rng.normal(size=(2, codes.max() + 1))
        y += sd * u[0][codes] + slope * u[1][codes] * x
    return pd.DataFrame({"y": y, "x": x, "district": d, "room": room, "hood": hood})


def moved(frame: pd.DataFrame) -> dict[str, object]:
    """Every fifth student was in the next room of the district too."""
    second = np.where(np.arange(len(frame)) % 5 == 0, frame["district"] * 10, frame["room"])
    both = pd.DataFrame({"a": frame["room"].astype(str), "b": second.astype(str)})
    return {"rooms": tl.membership(both, ["a", "b"])}


FORMULAS = {
    "nested": "y ~ x + (1 | district/room)",
    "slopes": "y ~ x + (1 | district) + (x | room)",
    "crossed": "y ~ x + (1 | room) + (1 | hood)",
    "membership": "y ~ x + (1 | rooms) + (1 | hood)",
}
structures = pytest.mark.parametrize("kind", list(FORMULAS))


def in_turn(name: str, options: tuple[str, str]) -> pytest.MarkDecorator:
    """Every structure with one of two options in turn; the other half is slow."""
    return pytest.mark.parametrize(
        ("kind", name),
        [
            pytest.param(kind, option, marks=() if (k + i) % 2 else pytest.mark.slow)
            for k, kind in enumerate(FORMULAS)
            for i, option in enumerate(options)
        ],
    )


def fitted(kind: str, frame: pd.DataFrame, **options):
    memberships = moved(frame) if kind == "membership" else None
    return tl.lmm(FORMULAS[kind], frame, memberships=memberships, **options)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return table()


@in_turn("df", ("satterthwaite", "kenward-roger"))
@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
def test_replicates_of_a_batch_equal_single_fits(frame, kind, df):
    fit = fitted(kind, frame, df=df)
    Y = tl.simulate(fit, 4, seed=2)
    found = tl.refit(fit, Y, random=True)
    for r in (0, 3):
        one = fitted(kind, frame.assign(y=Y[r]), df=df)
        mine = found[found["replicate"] == r]
        p = len(one.params)
        assert mine["deviance"].iloc[0] == pytest.approx(one.deviance, abs=1e-8)
        assert mine["estimate"].to_numpy()[:p] == pytest.approx(one.params.to_numpy(), rel=1e-8)
        components = one.tidy()["estimate"].to_numpy()[p:]
        # a deviance known to 1e-11 knows a variance to the root of that
        assert mine["estimate"].to_numpy()[p:] == pytest.approx(
            components, rel=1e-6, abs=1e-6, nan_ok=True
        )
        assert mine["std_error"].to_numpy()[:p] == pytest.approx(one.bse.to_numpy(), rel=1e-6)
        assert mine["df"].to_numpy()[:p] == pytest.approx(one.df.to_numpy(), rel=1e-5)


@in_turn("boot", ("parametric", "residual"))
def test_bootstraps_do_not_depend_on_batches(frame, kind, boot, monkeypatch):
    fit = fitted(kind, frame)
    whole = tl.bootstrap(fit, 6, boot, seed=5)
    monkeypatch.setattr(replicates, "_BATCH", 4)
    parts = tl.bootstrap(fit, 6, boot, seed=5)
    assert parts.draws.values == pytest.approx(whole.draws.values, rel=1e-6, abs=1e-6, nan_ok=True)
    assert sum(whole.failures.values()) == 0


@structures
def test_parametric_standard_errors_are_those_of_the_model(frame, kind):
    fit = fitted(kind, frame)
    ratio = tl.bootstrap(fit, 300, seed=1).bse[fit.params.index] / fit.bse
    # 300 replicates know a standard deviation to 4.1 %
    assert np.abs(ratio - 1).max() < 0.17


def test_cluster_bootstrap_at_the_top_with_its_jackknife(frame):
    fit = fitted("slopes", frame)
    with pytest.raises(tl.OptionError, match="no grouping factor contains all others"):
        tl.bootstrap(fitted("crossed", frame), 5, "cluster")
    boot = tl.bootstrap(fit, 199, "cluster", seed=2)
    assert boot.fit.model.clusters.name == "district"
    assert len(boot.jackknifed) == 12
    without = fitted("slopes", frame[frame["district"] != 3])
    assert boot.jackknifed[3] == pytest.approx(without.tidy()["estimate"].to_numpy(), rel=1e-5)
    ratio = boot.bse[fit.params.index] / tl.robust(fit, "CR2").bse
    assert ratio.between(0.7, 1.3).all()
    crossed = tl.bootstrap(fitted("crossed", frame), 99, "cluster", cluster=frame["district"])
    assert np.isfinite(crossed.conf_int()[["conf_low", "conf_high"]].to_numpy()).all()


def test_draws_of_clusters_that_identify_nothing_are_counted():
    frame = table(6, districts=5)
    frame = frame.assign(trait=(frame["district"] == 2) * 1.0)
    fit = tl.lmm("y ~ x + trait + (1 | district) + (1 | room)", frame)
    boot = tl.bootstrap(fit, 60, "cluster", seed=1)
    # one district of five is not drawn, or drawn alone: 0.8^5 = 0.33
    assert 8 < boot.failures["the groups drawn do not identify the model"] < 35
    assert len(boot.replicates) == 60 * len(boot.labels.terms)


def test_profiles_and_tests_of_every_structure(frame):
    for kind in FORMULAS:
        fit = fitted(kind, frame)
        ends = tl.profile(fit, which=["x", "sd__Observation"]).conf_int()
        assert (ends["conf_low"] < ends["estimate"]).all()
        assert (ends["conf_high"] > ends["estimate"]).all()
        adjusted = tl.small_sample(fit)
        assert tl.test(adjusted, "x = 0.5").df_denom == pytest.approx(adjusted.df["x"])
        assert tl.test(adjusted, "Intercept = 20, x = 0.5").df_num == 2


def test_comparisons_add_a_factor(frame):
    small = tl.lmm("y ~ x + (1 | room)", frame, reml=False)
    large = tl.lmm("y ~ x + (1 | room) + (1 | hood)", frame, reml=False)
    row = tl.compare(small, large, simulate=60).table.iloc[1]
    assert row["reference"] == "simulated (60)"
    assert tl.compare(small, large).table["reference"].iloc[1] == "chi2(0)/2 + chi2(1)/2"


def test_batches_fit_into_memory(frame):
    """Crossed groups leave dense matrices: the larger these are, the fewer go together."""
    assert batch_size(fitted("crossed", frame).model, len(frame)) == 250
    rng = np.random.default_rng(1)
    sizes = []
    for groups in (100, 300, 1000):
        a, b = rng.integers(0, groups + 50, 9000), rng.integers(0, groups, 9000)
        wide = pd.DataFrame({"y": rng.normal(size=9000), "a": a, "b": b})
        model = bind(design("y ~ 1 + (1 | a) + (1 | b)", wide), True, "normal")
        s = model.roots.upper.stacks[0].shape[1]
        sizes.append(batch_size(model, 9000))
        # some dozen matrices of s rows each, in double precision, below 200 MB
        assert sizes[-1] * 12 * s**2 * 8 < 200e6
    assert sizes[0] > sizes[1] > sizes[2] == 1
    assert batch_size(object(), 1000) == 250
    assert batch_size(object(), 10_000_000) == 1
