"""What studies print, on one scale: standardized differences with their sampling variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared
from teamlink.synthesis.effect_sizes import effect_sizes
from teamlink.typing import Array

__all__ = ["STEP", "EffectsStep", "difference_of_correlation"]

GROUPS = ("mean1", "sd1", "n1", "mean2", "sd2", "n2")


@dataclass(frozen=True, slots=True)
class EffectsStep:
    """Effects of studies: Hedges' g of two groups; a correlation turned into a difference.

    A study that prints means has `mean1`, `sd1`, `n1`, `mean2`, `sd2`, `n2`; one that prints a
    correlation has `r` and `n`. A study with neither has no effect.

    Attributes
    ----------
    table : the studies' file, which gets the columns `effect` and `variance`
    """

    table: str = "studies"

    @property
    def text(self) -> str:
        """The step in words."""
        return "`effect`, `variance`: Hedges' g of two groups, or 2r / sqrt(1 - r^2)"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the file holds afterwards, and what is wrong."""
        faults = layout.column_faults(self.table, (*GROUPS, "r", "n"), "step effects")
        return layout.adding(self.table, "effect", "variance"), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the file with the effects."""
        frame = prepared.tables[self.table]
        columns = {name: frame[name].to_numpy(dtype=float) for name in (*GROUPS, "r", "n")}
        effect, variance = np.full((2, len(frame)), np.nan)
        compared = ~np.isnan([columns[name] for name in GROUPS]).any(axis=0)
        related = ~compared & ~np.isnan([columns["r"], columns["n"]]).any(axis=0)
        if compared.any():
            found = effect_sizes("g", **{name: columns[name][compared] for name in GROUPS})
            effect[compared], variance[compared] = found["effect"], found["variance"]
        if related.any():
            r, n = columns["r"][related], columns["n"][related]
            effect[related], variance[related] = difference_of_correlation(r, n)
        return prepared.with_columns(self.table, {"effect": effect, "variance": variance})


def difference_of_correlation(r: Array, n: Array) -> tuple[Array, Array]:
    r"""Turn correlations into standardized differences of two halves, with sampling variances.

    Parameters
    ----------
    r, n : Array
        (k,), correlations and numbers of units.

    Returns
    -------
    Array, Array
        :math:`d = 2 r / \sqrt{1 - r^2} = 2 \sinh z` with Fisher's z, and
        :math:`4 \cosh^2 z / (n - 3)`, its variance to first order.

    References
    ----------
    Borenstein, M., Hedges, L. V., Higgins, J. P. T., & Rothstein, H. R. (2009). *Introduction to
    meta-analysis*. Wiley. https://doi.org/10.1002/9780470743386

    Examples
    --------
    >>> import numpy as np
    >>> d, v = difference_of_correlation(np.array([0.6]), np.array([103.0]))
    >>> d.round(6).tolist(), v.round(6).tolist()
    ([1.5], [0.0625])
    """
    found = effect_sizes("z", r=r, n=n)
    z, v = found["effect"].to_numpy(), found["variance"].to_numpy()
    return 2 * np.sinh(z), 4 * np.cosh(z) ** 2 * v


STEP = EffectsStep
