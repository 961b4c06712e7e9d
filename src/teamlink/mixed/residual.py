"""What a user says about residuals: which correlate, and how their variances differ.

A structure is inert until `bind_residuals` meets it with a table. Two structures may be added where
one says how residuals correlate and the other how their variances differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from teamlink.errors import OptionError

__all__ = [
    "ResidualStructure",
    "ar1",
    "car1",
    "compound_symmetry",
    "toeplitz",
    "unstructured",
    "variance_by",
]

Kind = Literal["independent", "ar1", "car1", "compound_symmetry", "toeplitz", "unstructured"]

_WORDS = {
    "ar1": "AR(1)",
    "car1": "continuous-time AR(1)",
    "compound_symmetry": "compound symmetry",
    "toeplitz": "Toeplitz",
    "unstructured": "unstructured",
}


@dataclass(frozen=True, slots=True)
class ResidualStructure:
    """How residuals correlate within units, and how their variances differ.

    Made by `ar1`, `car1`, `compound_symmetry`, `toeplitz`, `unstructured` and `variance_by`.

    Attributes
    ----------
    kind : the family of correlations
    position : the column that places rows in time, where the family needs one
    by : the columns that say which rows belong to one unit; none where residuals are independent
    variances : the columns by which variances differ; none where all are equal
    """

    kind: Kind
    position: str | None
    by: tuple[str, ...]
    variances: tuple[str, ...]

    def __add__(self, other: ResidualStructure) -> ResidualStructure:
        if not isinstance(other, ResidualStructure):
            return NotImplemented
        if self.kind != "independent" and other.kind != "independent":
            raise OptionError(
                f"residual: {self} and {other} both say how residuals correlate; take one of them"
            )
        if self.variances and other.variances:
            raise OptionError(
                f"residual: {self} and {other} both say how variances differ; name the columns "
                "in one variance_by(...), which takes their combinations, and give "
                "equal_variances=True to unstructured(...)"
            )
        base, rest = (self, other) if self.kind != "independent" else (other, self)
        return replace(base, variances=base.variances or rest.variances)

    @property
    def variables(self) -> tuple[str, ...]:
        """The columns that the structure needs."""
        place = () if self.position is None else (self.position,)
        return tuple(dict.fromkeys((*place, *self.by, *self.variances)))

    def __str__(self) -> str:
        said = []
        if self.kind != "independent":
            place = "" if self.position is None else f" over {self.position}"
            said.append(f"{_WORDS[self.kind]}{place} within {':'.join(self.by)}")
        if self.variances:
            said.append(f"variances by {':'.join(self.variances)}")
        return ", ".join(said)


def ar1(position: str, by: str | Sequence[str]) -> ResidualStructure:
    """Residuals that follow a first-order autoregression within units.

    Parameters
    ----------
    position : str
        Column of whole time steps, such as ``"occasion"``; any whole numbers apart will do, and a
        gap counts: occasions 1 and 4 correlate by phi cubed.
    by : str or sequence of str
        Column of the units, such as ``"child"``; several columns taken together.

    Returns
    -------
    ResidualStructure
        For ``tl.lmm(..., residual=...)``. Add `variance_by` for variances that differ.

    Raises
    ------
    OptionError
        A column is not named by a text.

    Notes
    -----
    ``cor(e_s, e_t) = phi^|s - t|`` with phi between -1 and 1 [1]_.

    In R: ``nlme::lme(..., correlation = corAR1(form = ~ occasion | child))``. nlme's
    ``corAR1(form = ~ 1 | child)`` counts the rows of a child as they come, so that a missed
    occasion leaves no gap; number the rows by child for that.

    References
    ----------
    .. [1] Pinheiro, Bates (2000). Mixed-effects models in S and S-PLUS. doi:10.1007/b98882

    Examples
    --------
    >>> import teamlink as tl
    >>> print(tl.ar1("occasion", by="child") + tl.variance_by("sex"))
    AR(1) over occasion within child, variances by sex
    """
    return _correlated("ar1", position, by)


def car1(position: str, by: str | Sequence[str]) -> ResidualStructure:
    """Residuals that follow a first-order autoregression in continuous time within units.

    Parameters
    ----------
    position : str
        Numeric column of times, in any unit.
    by : str or sequence of str
        Column of the units; several columns taken together.

    Returns
    -------
    ResidualStructure
        For ``tl.lmm(..., residual=...)``.

    Raises
    ------
    OptionError
        A column is not named by a text.

    Notes
    -----
    ``cor(e_s, e_t) = phi^|s - t|`` with phi between 0 and 1, the correlation one unit of time
    apart; times need not be whole.

    In R: ``nlme::lme(..., correlation = corCAR1(form = ~ time | child))``.

    References
    ----------
    .. [1] Jones (1993). Longitudinal data with serial correlation. doi:10.1201/9781489945150

    Examples
    --------
    >>> import teamlink as tl
    >>> print(tl.car1("days", by="child"))
    continuous-time AR(1) over days within child
    """
    return _correlated("car1", position, by)


def compound_symmetry(by: str | Sequence[str]) -> ResidualStructure:
    """Residuals of which all pairs within a unit correlate alike.

    Parameters
    ----------
    by : str or sequence of str
        Column of the units; several columns taken together.

    Returns
    -------
    ResidualStructure
        For ``tl.lmm(..., residual=...)``.

    Raises
    ------
    OptionError
        A column is not named by a text.

    Notes
    -----
    ``cor(e_s, e_t) = rho``, between ``-1 / (T - 1)`` and 1, T the size of the largest unit. Where
    rho is positive it is the model with a random intercept by the unit.

    In R: ``nlme::gls(..., correlation = corCompSymm(form = ~ 1 | child))``.

    References
    ----------
    .. [1] Pinheiro, Bates (2000). Mixed-effects models in S and S-PLUS. doi:10.1007/b98882

    Examples
    --------
    >>> import teamlink as tl
    >>> print(tl.compound_symmetry(by="child"))
    compound symmetry within child
    """
    return ResidualStructure("compound_symmetry", None, _names("by", by), ())


def toeplitz(position: str, by: str | Sequence[str]) -> ResidualStructure:
    """Residuals whose correlation within a unit depends on the lag, freely.

    Parameters
    ----------
    position : str
        Column of whole time steps, as for `ar1`.
    by : str or sequence of str
        Column of the units; several columns taken together.

    Returns
    -------
    ResidualStructure
        For ``tl.lmm(..., residual=...)``.

    Raises
    ------
    OptionError
        A column is not named by a text.

    Notes
    -----
    ``cor(e_s, e_t) = rho_|s - t|``, one parameter a lag, restricted only by the matrix over all
    occasions being positive definite: the partial autocorrelations are free [1]_.

    In R, for occasions 1 to T: ``nlme::gls(..., correlation = corARMA(p = T - 1, form = ~ occasion
    | child))``, which prints the coefficients of the autoregression.

    References
    ----------
    .. [1] Barndorff-Nielsen, Schou (1973). On the parametrization of autoregressive models by
       partial autocorrelations. doi:10.1016/0047-259X(73)90030-4

    Examples
    --------
    >>> import teamlink as tl
    >>> print(tl.toeplitz("occasion", by="child"))
    Toeplitz over occasion within child
    """
    return _correlated("toeplitz", position, by)


def unstructured(
    position: str, by: str | Sequence[str], equal_variances: bool = False
) -> ResidualStructure:
    """Residuals with a covariance for every pair of occasions.

    Parameters
    ----------
    position : str
        Column of occasions; any labels. Few: T occasions have ``T (T + 1) / 2`` parameters.
    by : str or sequence of str
        Column of the units; several columns taken together.
    equal_variances : bool
        Correlations only, one variance for all occasions.

    Returns
    -------
    ResidualStructure
        For ``tl.lmm(..., residual=...)``.

    Raises
    ------
    OptionError
        A column is not named by a text.

    Notes
    -----
    The covariance is ``sigma^2 D C D``: C any correlation matrix, D the standard deviations of the
    occasions relative to the first.

    In R: ``nlme::gls(..., correlation = corSymm(form = ~ occasion | child), weights =
    varIdent(form = ~ 1 | occasion))``; without ``weights`` for equal variances.

    References
    ----------
    .. [1] Pinheiro, Bates (1996). Unconstrained parametrizations for variance-covariance matrices.
       doi:10.1007/BF00140873

    Examples
    --------
    >>> import teamlink as tl
    >>> print(tl.unstructured("occasion", by="child"))
    unstructured over occasion within child, variances by occasion
    """
    made = _correlated("unstructured", position, by)
    return made if equal_variances else replace(made, variances=(position,))


def variance_by(*columns: str) -> ResidualStructure:
    """Residual variances that differ between groups of rows.

    Parameters
    ----------
    *columns : str
        One column, or several whose combinations each have a variance.

    Returns
    -------
    ResidualStructure
        For ``tl.lmm(..., residual=...)``; add it to a structure of correlations.

    Raises
    ------
    OptionError
        No column is named, or not by a text.

    Notes
    -----
    The standard deviation is sigma in the first stratum (in sorted order, or in the order of a
    categorical column) and ``sigma * ratio`` in each of the others.

    In R: ``nlme::lme(..., weights = varIdent(form = ~ 1 | sex))``, whose first stratum is the one
    that comes first in the table.

    References
    ----------
    .. [1] Pinheiro, Bates (2000). Mixed-effects models in S and S-PLUS. doi:10.1007/b98882

    Examples
    --------
    >>> import teamlink as tl
    >>> print(tl.variance_by("sex", "wave"))
    variances by sex:wave
    """
    return ResidualStructure("independent", None, (), _names("variance_by", columns))


def _correlated(kind: Kind, position: str, by: str | Sequence[str]) -> ResidualStructure:
    (place,) = _names("position", [position])
    return ResidualStructure(kind, place, _names("by", by), ())


def _names(argument: str, columns: Any) -> tuple[str, ...]:
    """Names of columns, at least one, each a text."""
    one = isinstance(columns, str) or not isinstance(columns, Sequence)
    names = (columns,) if one else tuple(columns)
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong or not names:
        said = f"{wrong[0]!r} is no name of a column" if wrong else "no column is named"
        raise OptionError(f"{argument}: {said}; give a text such as 'child'")
    return names
