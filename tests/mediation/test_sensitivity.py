"""Sensitivity to a confounder: against refits, closed forms, and a world that has one."""

from __future__ import annotations

import numpy as np
import pytest

import teamlink as tl

from .worlds import confounded, schools

DATA = schools()
ONE = tl.mediate("2-1-1", "x2", "m1", "y1", DATA, "school")


def residuals(fit: tl.sem, level: int) -> dict[tuple[str, str], float]:
    table = fit.parameters
    rows = table[(table["op"] == "~~") & (table["level"] == level)]
    return {(r.lhs, r.rhs): r.est for r in rows.itertuples()}


@pytest.mark.parametrize("rho", [-0.6, 0.3, 0.7])
def test_one_mediator_is_the_formula(rho: float) -> None:
    p, psi = ONE.fit.params, residuals(ONE.fit, 2)
    ratio = np.sqrt(psi["y1", "y1"] / psi["m1", "m1"])
    shift = rho / np.sqrt(1 - rho**2) * ratio
    middle, _, _, direct = ONE.sensitivity().at(rho)
    assert middle == pytest.approx(p["a_between"] * (p["b_between"] - shift), rel=1e-9)
    assert direct == pytest.approx(p["c_between"] + p["a_between"] * shift, rel=1e-9)
    assert middle + direct == pytest.approx(p["total_between"], rel=1e-9)


def test_without_confounder_it_is_the_delta_interval() -> None:
    middle, low, high, direct = ONE.sensitivity().at(0.0)
    row = ONE.conf_int("delta").set_index("label").loc["indirect_between"]
    assert [middle, low, high] == pytest.approx(
        row[["estimate", "conf_low", "conf_high"]].tolist(), rel=1e-6
    )
    assert direct == pytest.approx(ONE.fit.params["c_between"], rel=1e-12)


MODELS = {
    "parallel": tl.mediate("2-1-1", "x2", ["m1", "n1"], "y1", DATA, "school"),
    "serial": tl.mediate("2-1-1", "x2", ["m1", "n1"], "y1", DATA, "school", serial=True),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("mediator", ["m1", "n1"])
@pytest.mark.parametrize("rho", [-0.4, 0.25])
def test_a_refit_with_that_correlation_fits_as_well(kind: str, mediator: str, rho: float) -> None:
    found = MODELS[kind]
    sensitivity = found.sensitivity([rho], mediator)
    (row,) = sensitivity.table.to_dict("records")
    one, k = sensitivity.structure, sensitivity.k
    own = one.Psi[0, k, k]
    h = own * np.linalg.inv(one.Psi[0])[k, k]
    covariance = float(rho * np.sqrt(own * one.psi_y[0] / (1 - rho**2 * h)))
    other = {"m1": "n1", "n1": "m1"}[mediator]
    head, _, tail = found.equations.partition("indirect1_between")
    said = (
        f"{head}    {mediator} ~~ {covariance!r}*y1\n    {other} ~~ 0*y1\nindirect1_between{tail}"
    )
    again = tl.sem(said, DATA, "school")
    assert again.deviance == pytest.approx(found.fit.deviance, abs=1e-6)
    assert again.params["indirect_between"] == pytest.approx(row["indirect"], rel=1e-4)
    assert again.params["c_between"] == pytest.approx(row["direct"], rel=1e-4, abs=1e-5)
    psi = residuals(again, 2)
    assert covariance / np.sqrt(psi[mediator, mediator] * psi["y1", "y1"]) == pytest.approx(
        rho, rel=1e-3
    )


def test_tipping_points() -> None:
    sensitivity = ONE.sensitivity()
    tip = sensitivity.tipping
    p, psi = ONE.fit.params, residuals(ONE.fit, 2)
    b, m, y = p["b_between"], psi["m1", "m1"], psi["y1", "y1"]
    assert tip["indirect"] == pytest.approx(b * np.sqrt(m) / np.sqrt(b**2 * m + y), abs=1e-9)
    assert sensitivity.at(tip["indirect"])[0] == pytest.approx(0, abs=1e-9)
    assert sensitivity.at(tip["interval"])[1] == pytest.approx(0, abs=1e-9)
    assert 0 < tip["interval"] < tip["indirect"]
    assert f"rho = {tip['indirect']:.3f}" in str(sensitivity.summary())


def test_an_interval_that_includes_zero_already() -> None:
    null = tl.mediate("2-2-1", "z2", "m2", "y1", DATA, "school")
    assert null.sensitivity().tipping["interval"] == 0


def test_a_world_with_a_known_confounder() -> None:
    """2,000 schools: the naive effect is off, that at the true correlation is not."""
    a, b, rho = 0.5, 0.4, 0.5
    found = tl.mediate("2-1-1", "x", "m", "y", confounded(4, 2000, a, b, rho), "school")
    naive = found.conf_int("delta").set_index("label").loc["indirect_between"]
    assert naive["conf_low"] > a * b
    _, low, high, _ = found.sensitivity(confidence=0.999).at(rho)
    assert low < a * b < high
    assert high - low < 0.2


def test_levels_are_apart() -> None:
    found = tl.mediate("1-1-1", "x1", "m1", "y1", DATA, "school")
    within = found.sensitivity(level="within")
    between = found.sensitivity()
    assert between.level == "between"
    assert within.at(0.0)[0] == pytest.approx(found.fit.params["indirect_within"], rel=1e-12)
    assert between.at(0.0)[0] == pytest.approx(found.fit.params["indirect_between"], rel=1e-12)


def test_table_leaves_out_what_no_matrix_has() -> None:
    sensitivity = MODELS["parallel"].sensitivity([-0.99, 0.0, 0.99], "m1")
    assert sensitivity.limit < 0.99
    assert sensitivity.table["rho"].tolist() == [0.0]


@pytest.mark.parametrize(
    "options", [{"level": "within"}, {"mediator": "m2"}, {"rho": [1.0]}, {"confidence": 2}]
)
def test_options(options: dict) -> None:
    with pytest.raises(tl.OptionError):
        ONE.sensitivity(**options)
