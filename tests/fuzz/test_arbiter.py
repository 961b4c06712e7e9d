"""The arbiter of the live comparison, against the density of y written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from . import arbiter, designs

PLAIN = [
    seed
    for seed in range(120)
    if (d := designs.draw(seed)).traits["scale"] == "usual"
    and d.traits["x mean"] == "0"
    and 12 <= len(d.data) <= 90
]


def _dense(design: designs.Design, theta: np.ndarray) -> float:
    """Minus twice the (restricted) log-likelihood, from n x n matrices and X itself."""
    q = design.traits["slopes"] + design.traits["intercept"]
    w = (arbiter.random_matrix(design) @ arbiter.root(theta, q)).astype(float)
    labels = design.data["g"].to_numpy()
    v = np.eye(len(w)) + np.where(labels[:, None] == labels[None, :], w @ w.T, 0.0)
    x = arbiter.fixed_matrix(design).to_numpy(float)
    x = x[:, arbiter.orthogonalise(x.astype(np.longdouble))[2]]
    y = design.data["y"].to_numpy(float)
    n, p = x.shape
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    rest = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    nu = n - p if design.reml else n
    sigma2 = float(rest @ inverse @ rest) / nu
    if not design.reml:
        return float(-2 * multivariate_normal(cov=v).logpdf(rest / np.sqrt(sigma2))) + n * np.log(
            sigma2
        )
    logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
    return float(logs + nu * (1 + np.log(2 * np.pi * sigma2)))


@pytest.mark.parametrize("seed", PLAIN)
def test_arbiter_is_the_normal_density(seed: int) -> None:
    design = designs.draw(seed)
    q = design.traits["slopes"] + design.traits["intercept"]
    size = q * (q + 1) // 2 if design.traits["correlated"] else q
    theta = np.linspace(0.4, 0.9, size)
    # y - X b in doubles keeps ten digits where the mean of y is a million and sigma is 1e-3.
    tolerance = 1e-4 if design.traits["y mean"] else 1e-7
    assert arbiter.criterion(design, theta) == pytest.approx(_dense(design, theta), rel=tolerance)


def test_there_are_designs_of_both_kinds() -> None:
    methods = {designs.draw(seed).reml for seed in PLAIN}
    assert methods == {True, False}
    assert len(PLAIN) >= 15


def test_a_design_is_the_same_for_ever() -> None:
    first, again = designs.draw(17), designs.draw(17)
    assert first.formula == again.formula
    assert first.traits == again.traits
    assert first.data.equals(again.data)
