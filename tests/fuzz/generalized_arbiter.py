"""The criterion of a generalized model by dense matrices, from its definition: slow and plain.

It knows nothing of the engine: given coefficients and covariances it makes Z as a dense matrix,
finds the joint mode by Newton's method, and adds up Laplace's approximation or the quadrature.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, gammaln, log_expit

from .generalized_designs import Design


def _root(Sigma: np.ndarray) -> np.ndarray:
    w, V = np.linalg.eigh(Sigma)
    return V * np.sqrt(np.maximum(w, 0.0))


def _terms(design: Design, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log density, score and weight of each row."""
    y = design.data["y"].to_numpy(float)
    if design.family == "poisson":
        mu = np.exp(eta)
        return y * eta - mu - gammaln(y + 1), y - mu, mu
    m = design.data["m"].to_numpy(float)
    choose = gammaln(m + 1) - gammaln(y + 1) - gammaln(m - y + 1)
    p = expit(eta)
    value = y * log_expit(eta) + (m - y) * log_expit(-eta) + choose
    return value, y - m * p, m * p * (1 - p)


def criterion(design: Design, beta: np.ndarray, covariances: dict[str, np.ndarray]) -> float:
    """Minus twice the approximated log-likelihood, all constants included."""
    n = len(design.data)
    ones = np.ones(n)
    column = {"1": ones, "x": design.data["x"].to_numpy(), "w": design.data["w"].to_numpy()}
    fixed = np.column_stack([column[name] for name in design.fixed]) @ beta
    parts = []
    for group, names in design.effects.items():
        codes = design.data[group].to_numpy()
        indicators = np.eye(codes.max() + 1)[codes]
        Z = np.column_stack([column[name] for name in names]) @ _root(covariances[group])
        parts += [indicators * Z[:, k : k + 1] for k in range(Z.shape[1])]
    A = np.column_stack(parts)
    u = np.zeros(A.shape[1])

    def h(u: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return float(_terms(design, fixed + A @ u)[0].sum() - 0.5 * u @ u)

    for _ in range(200):
        _, s, w = _terms(design, fixed + A @ u)
        H = np.eye(len(u)) + (A.T * w) @ A
        step = np.linalg.solve(H, A.T @ s - u)
        length = 1.0
        while not h(u + length * step) >= h(u) - 1e-12 * abs(h(u)) and length > 1e-10:
            length *= 0.5
        u = u + length * step
        if np.abs(step).max() < 1e-10:
            break
    _, _, w = _terms(design, fixed + A @ u)
    H = np.eye(len(u)) + (A.T * w) @ A
    if design.nagq == 1:
        return float(np.linalg.slogdet(H)[1] - 2 * h(u))
    z, omega = np.polynomial.hermite_e.hermegauss(design.nagq)
    spread, codes = 1 / np.sqrt(np.diag(H)), design.data["g"].to_numpy()
    total = np.zeros(len(u))
    for node, weight in zip(z, omega / omega.sum(), strict=True):
        at = u + spread * node
        own = np.bincount(codes, _terms(design, fixed + A @ at)[0], len(u)) - 0.5 * at**2
        total += weight * np.exp(own + 0.5 * node**2 - _group_top(design, fixed, A, u, codes))
    top = _group_top(design, fixed, A, u, codes)
    return float(-2 * (np.log(total) + top + np.log(spread)).sum())


def _group_top(
    design: Design, fixed: np.ndarray, A: np.ndarray, u: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    return np.bincount(codes, _terms(design, fixed + A @ u)[0], len(u)) - 0.5 * u**2
