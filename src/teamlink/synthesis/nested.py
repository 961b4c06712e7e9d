r"""Three levels: effects within studies, with known sampling variances.

    y = Xb + u_study + u_effect + e,   V = diag(v) + s_1 ZZ' + s_2 I,

Z the membership of effects in studies. The scores and expected information of the two variances are

    -tr(P V_i)/2 + y'P V_i P y/2,     tr(P V_i P V_j)/2,     V_1 = ZZ', V_2 = I,

(with V^-1 for P in the traces by ML). Steps by the information, halved until the likelihood rises,
variances held at zero where they would go below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.errors import FitError
from teamlink.synthesis.pooling import Effects
from teamlink.typing import Array, Codes

__all__ = ["Nested", "nested_variances"]

_STEPS = 200
_STARTS = ((0.5, 0.5), (0.05, 0.95), (0.95, 0.05), (0.001, 0.001))


@dataclass(frozen=True, slots=True)
class Nested:
    """Effects in studies.

    Attributes
    ----------
    effects : y, v, X
    study : (k,) codes
    reml : whether the likelihood is restricted
    """

    effects: Effects
    study: Codes
    reml: bool

    @property
    def together(self) -> Array:
        """(k, k) whether two effects belong to one study."""
        same: Array = (self.study[:, None] == self.study[None, :]).astype(float)
        return same

    def covariance(self, s: Array) -> Array:
        """(k, k) V at the variances s (2,)."""
        k = len(self.effects.y)
        found: Array = np.diag(self.effects.v) + s[0] * self.together + s[1] * np.eye(k)
        return found

    def at(self, s: Array) -> tuple[float, Array, Array]:
        """Minus twice the log-likelihood, the scores (2,) and the information (2, 2)."""
        y, X = self.effects.y, self.effects.X
        k, p = X.shape
        V = self.covariance(s)
        inverse = np.linalg.inv(V)
        XtVX = X.T @ inverse @ X
        P = inverse - inverse @ X @ np.linalg.solve(XtVX, X.T @ inverse)
        value = float(np.linalg.slogdet(V)[1] + y @ P @ y + k * np.log(2 * np.pi))
        if self.reml:
            value += float(np.linalg.slogdet(XtVX)[1] - np.linalg.slogdet(X.T @ X)[1])
            value -= p * np.log(2 * np.pi)
        M = P if self.reml else inverse
        Py = P @ y
        parts = [self.together, np.eye(k)]
        score = np.array([0.5 * (Py @ part @ Py - (M * part).sum()) for part in parts])
        sides = [M @ part for part in parts]
        information = np.array([[0.5 * (a * b.T).sum() for b in sides] for a in sides])
        return value, score, information


def nested_variances(model: Nested) -> tuple[Array, float]:
    """Variances between studies and between effects of one study, and the criterion there.

    Raises
    ------
    FitError
        No start led to an optimum.
    """
    spread = max(float(model.effects.y.var()), float(model.effects.v.mean()))
    found = [_climb(model, spread * np.array(start)) for start in _STARTS]
    sound = [one for one in found if one is not None]
    if not sound:
        raise FitError("the variances between studies and effects did not converge")
    return min(sound, key=lambda one: one[1])


def _climb(model: Nested, s: Array) -> tuple[Array, float] | None:
    value, score, information = model.at(s)
    for _ in range(_STEPS):
        free = (s > 0) | (score > 0)
        if not free.any():
            return s, value
        step = np.zeros(2)
        step[free] = np.linalg.solve(information[np.ix_(free, free)], score[free])
        promised = float(score @ step)
        if promised < 1e-20:
            return s, value
        for halving in range(40):
            new = np.maximum(s + 0.5**halving * step, 0.0)
            there = model.at(new)
            if there[0] <= value:
                break
        moved = float(np.abs(new - s).max())
        s, (value, score, information) = new, there
        if moved <= 1e-14 * max(float(s.max()), 1e-300):
            return s, value
    return None
