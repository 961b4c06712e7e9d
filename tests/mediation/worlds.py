"""Members of schools with known paths, large enough that nothing has to be warned of."""

from __future__ import annotations

import numpy as np
import pandas as pd


def schools(
    seed: int = 1, J: int = 60, sizes: tuple[int, ...] = (6, 10, 14), slopes: float = 0.0
) -> pd.DataFrame:
    """Variables x2, z2, m2 of schools and x1, m1, n1, y1 of members, with items i1 to i3 of m1.

    `slopes`: by how much slopes within schools differ among them.
    """
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(J), np.resize(sizes, J))
    n = len(school)
    x2, z2, e2, u1, u2, u3, u4 = rng.standard_normal((7, J))
    e = rng.standard_normal((8, n))
    m2 = 0.4 * x2 + 0.9 * e2
    a, b, c = 0.4 * slopes * np.random.default_rng(seed + 1).standard_normal((3, J))
    x1 = (0.3 * x2 + 0.6 * u1)[school] + e[0]
    m1 = (0.4 * x2 + 0.2 * m2 + 0.6 * u2)[school] + (0.3 + a)[school] * x1 + e[1]
    n1 = (0.2 * x2 + 0.3 * u2 + 0.6 * u3)[school] + 0.2 * m1 + e[2]
    y1 = (0.2 * m2 + 0.3 * u2 + 0.5 * u4)[school] + (0.4 + a + b)[school] * m1
    y1 += 0.2 * n1 + (0.1 + c)[school] * x1 + e[3]
    columns = {"x2": x2[school], "z2": z2[school], "m2": m2[school], "x1": x1, "m1": m1}
    columns |= {"n1": n1, "y1": y1}
    columns |= {f"i{k}": m1 + 0.7 * e[3 + k] for k in (1, 2, 3)}
    return pd.DataFrame({"school": school, **columns})


def confounded(seed: int, J: int, a: float, b: float, rho: float) -> pd.DataFrame:
    """2-1-1 with residuals of mediator and outcome between schools that correlate by rho."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(J), 10)
    x, e_m, own = rng.standard_normal((3, J))
    e_y = 0.8 * (rho * e_m + np.sqrt(1 - rho**2) * own)
    mean = a * x + e_m
    noise = rng.standard_normal((2, len(school)))
    m = mean[school] + noise[0]
    y = (b * mean + 0.2 * x + e_y)[school] + 0.3 * noise[0] + noise[1]
    return pd.DataFrame({"school": school, "x": x[school], "m": m, "y": y})
