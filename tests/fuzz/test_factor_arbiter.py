"""The arbiter for several factors, against the density of y written out and against the other."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from . import arbiter, designs, factor_arbiter, factor_designs
from .designs import Design
from .factor_arbiter import Root, effect_columns, group_codes

PLAIN = [
    seed
    for seed in range(120)
    if (d := factor_designs.draw(seed)).traits["scale"] == "usual"
    and d.traits["x mean"] == "0"
    and d.traits["y mean"] == 0.0
    and 12 <= len(d.data) <= 60
]


def some_roots(design: Design) -> list[Root]:
    """Factors of every term that the design could have: an intercept and a slope in each."""
    low = np.array([[0.8, 0.0], [-0.3, 0.5]])
    groups = [(name,) for name in design.factors] + [design.factors[:2]]
    return [Root(g, ("Intercept", "x1"), low * (k + 1) / 2) for k, g in enumerate(groups)]


def _dense(design: Design, roots: list[Root]) -> float:
    """Minus twice the (restricted) log-likelihood from n x n matrices and X itself."""
    x = arbiter.fixed_matrix(design).to_numpy(float)
    x = x[:, arbiter.orthogonalise(x.astype(np.longdouble))[2]]
    y = design.data["y"].to_numpy(float)
    n, p = x.shape
    v = np.eye(n)
    for root in roots:
        codes = group_codes(design.data, root.group)
        w = effect_columns(design.data, root.effects).astype(float) @ root.values
        v += np.where(codes[:, None] == codes[None, :], w @ w.T, 0.0)
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    rest = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    nu = n - p if design.reml else n
    value = np.linalg.slogdet(v)[1] + nu * (1 + np.log(2 * np.pi * (rest @ inverse @ rest) / nu))
    return float(value + (np.linalg.slogdet(information)[1] if design.reml else 0.0))


@pytest.mark.parametrize("seed", PLAIN)
def test_arbiter_is_the_normal_density(seed: int) -> None:
    design = factor_designs.draw(seed)
    roots = some_roots(design)
    assert factor_arbiter.criterion(design, roots) == pytest.approx(_dense(design, roots), rel=1e-9)


ONE_FACTOR = [
    seed
    for seed in range(40)
    if (d := designs.draw(seed)).traits["scale"] == "usual"
    and d.traits["x mean"] == "0"
    and d.traits["groups"] * (d.traits["slopes"] + 1) <= 300
    and len(d.data) > 4 * d.traits["groups"]
]


@pytest.mark.parametrize("seed", ONE_FACTOR)
def test_both_arbiters_agree_on_one_factor(seed: int) -> None:
    design = designs.draw(seed)
    q = design.traits["slopes"] + design.traits["intercept"]
    theta = np.linspace(0.4, 0.9, q * (q + 1) // 2 if design.traits["correlated"] else q)
    names = [f"x{k}" for k in range(1, design.traits["slopes"] + 1)]
    effects = ("Intercept", *names) if design.traits["intercept"] else tuple(names)
    root = Root(("g",), effects, arbiter.root(theta, q).astype(float))
    expected = arbiter.criterion(design, theta)
    # the same sums in another order, on some designs with responses of a million
    assert factor_arbiter.criterion(design, [root]) == pytest.approx(expected, rel=1e-9, abs=1e-7)


def test_theta_is_cut_as_lme4_orders_it() -> None:
    terms = [
        {"group": "b:a", "names": ["(Intercept)", "x1"]},
        {"group": "a", "names": ["x2"]},
    ]
    first, second = factor_arbiter.roots_of_lme4(terms, np.array([1.0, 2.0, 3.0, 4.0]))
    assert first.group == ("b", "a")
    assert first.effects == ("Intercept", "x1")
    assert first.values.tolist() == [[1.0, 0.0], [2.0, 3.0]]
    assert second.values.tolist() == [[4.0]]
    with pytest.raises(ValueError, match="5 elements"):
        factor_arbiter.roots_of_lme4(terms, np.arange(5.0))


def test_designs_are_of_every_kind() -> None:
    drawn = [factor_designs.draw(seed) for seed in range(200)]
    structures = Counter(d.traits["structure"] for d in drawn)
    assert len(structures) == 9
    assert sum("/" in d.formula for d in drawn) >= 5
    assert sum("||" in d.formula for d in drawn) >= 10
    assert sum(len(d.traits["groups"]) == 3 for d in drawn) >= 50
    assert {d.reml for d in drawn} == {True, False}
    assert len(PLAIN) >= 15
    assert len(ONE_FACTOR) >= 15


def test_a_design_is_the_same_for_ever() -> None:
    first, again = factor_designs.draw(17), factor_designs.draw(17)
    assert first.formula == again.formula
    assert first.traits == again.traits
    assert first.data.equals(again.data)
