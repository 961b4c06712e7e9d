"""Likelihood-ratio tests between two fits of structural equations, scaled where they are robust.

References
----------
Satorra, Bentler (2001). A scaled difference chi-square test statistic for moment structure
analysis. doi:10.1007/BF02296192
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import chdtrc

from teamlink.errors import OptionError

if TYPE_CHECKING:
    from teamlink.structural.result import StructuralFit

__all__ = ["Difference", "scaled_difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A likelihood-ratio test.

    Attributes
    ----------
    chisq, df, pvalue : the test
    factor : by which chi-square was divided, one for "ml"
    """

    chisq: float
    df: int
    pvalue: float
    factor: float


def scaled_difference(smaller: StructuralFit, larger: StructuralFit) -> Difference:
    """Test a fit against one with more parameters.

    Raises
    ------
    OptionError
        They must not be compared, or the scaling factor of the difference is not positive.
    """
    reason = smaller.model.why_incomparable(larger.model)
    reason = reason or smaller.model.why_not_nested_in(larger.model)
    if reason is None and smaller.options.estimator != larger.options.estimator:
        reason = "one is robust in another way than the other"
    df = smaller.references.df - larger.references.df
    if reason is None and df <= 0:
        reason = "the other one does not have more parameters"
    if reason is not None:
        raise OptionError(f"these fits cannot be tested against each other: {reason}")
    chisq = smaller.deviance - larger.deviance
    c = 1.0
    if smaller.scaling is not None and larger.scaling is not None:
        more = larger.references.df
        above = smaller.references.df * smaller.scaling.test
        c = (above - (more * larger.scaling.test if more else 0.0)) / df
        if c <= 0:
            raise OptionError(f"the scaling factor of the difference is not positive ({c:.3g})")
    return Difference(chisq / c, df, float(chdtrc(df, max(chisq / c, 0.0))), c)
