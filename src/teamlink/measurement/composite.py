"""The omega of a composite, as a user meets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from teamlink.fitting.summary import SummaryTable, number
from teamlink.measurement.index import Index
from teamlink.structural.result import StructuralFit

__all__ = ["DEFINITIONS", "Omega", "OmegaInterval", "OmegaKind"]

OmegaKind = Literal["total", "hierarchical", "cfa", "multilevel"]
OmegaInterval = Literal["delta", "logit", "percentile"]

DEFINITIONS = {
    "total": "McDonald's omega: one-factor CFA, (sum of loadings)^2 phi / {below} variance of the "
    "sum",
    "hierarchical": "omega hierarchical of correlations by Schmid and Leiman: minres, oblimin, one "
    "general factor, as psych::omega",
    "cfa": "composite reliability by the CFA given, of each factor's own indicators over their "
    "{below} variance, as semTools::compRelSEM",
    "multilevel": "two-level omega: within and between of Geldhof, Preacher and Zyphur (2014), "
    "the others of Lai (2021)",
}
_ROWS = {
    "within": "components within clusters, loadings free (Geldhof et al.)",
    "between": "latent components between clusters (Geldhof et al.)",
    "W, configural": "deviations from cluster means, loadings equal (Lai)",
    "2L, configural": "raw composite of persons, loadings equal (Lai)",
    "B, shared": "observed cluster means, within level saturated (Lai)",
    "IRR, shared": "agreement of the raters of a cluster on its mean (Lai)",
    "hierarchical": "share of the general factor",
    "total": "share of all common factors",
    "asymptotic": "general factor's share of the common variance",
}


_PARTS = {"total": "common factors, in the sum of the items of {}",
          "general": "general factor, in the sum of the items of {}",
          "group": "{} itself, in the sum of its items"}  # fmt: skip


def _row_of(name: str, said: dict[str, str]) -> str:
    """What a row is a share of."""
    if name in said:
        return said[name]
    factor, _, part = name.partition(" ")
    return _PARTS[part].format(factor)


@dataclass(frozen=True, eq=False, repr=False)
class Omega(Index):
    """Omega, made by `teamlink.omega`; as a number it is the first row of its table.

    Attributes
    ----------
    value, name, definition, low, high, level, interval : see `teamlink.measurement.index.Index`
    kind : {"total", "hierarchical", "cfa", "multilevel"}
        Whose omega it is.
    table : pandas.DataFrame
        A row for each index: ``estimate, std_error, conf_low, conf_high``.
    loadings : pandas.DataFrame
        For "hierarchical" the Schmid-Leiman solution: ``general``, the group factors,
        ``communality``, ``uniqueness``; else loadings of
        the first fit, one column a factor and block.
    fits : dict of str to StructuralFit
        The models behind it; none for "hierarchical".
    n, n_clusters : int
        Rows, and clusters (0 where none were named).
    notes : tuple of str
        What to know about it.

    Examples
    --------
    >>> import numpy as np, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=300)
    >>> found = tl.omega({f"t{i}": trust + rng.normal(size=300) for i in range(4)})
    >>> found.table.columns.tolist()
    ['estimate', 'std_error', 'conf_low', 'conf_high']
    """

    kind: OmegaKind
    table: pd.DataFrame
    loadings: pd.DataFrame
    fits: dict[str, StructuralFit]
    n: int
    n_clusters: int
    notes: tuple[str, ...]

    def facts(self) -> tuple[tuple[str, str], ...]:
        """See `Index.facts`."""
        clusters = f" in {self.n_clusters:,} clusters" if self.n_clusters else ""
        return (*super().facts(), ("Rows", f"{self.n:,}{clusters}"))

    def tables(self) -> tuple[SummaryTable, ...]:
        """See `Index.tables`."""
        share = f"{100 * self.level:g}%"
        said = _ROWS if self.kind in ("multilevel", "hierarchical") else None
        header: tuple[str, ...] = ("Omega", "Of")[: 1 if said is None else 2]
        labels = len(header)
        rows = tuple(
            (
                str(name), *(() if said is None else (_row_of(str(name), said),)),
                *(number(v) for v in row),
            )
            for name, row in zip(self.table.index, self.table.to_numpy(), strict=True)
        )  # fmt: skip
        header += ("Estimate", "Std. error", f"{share} low", "high")
        found = [SummaryTable("Indices", header, rows, labels)]
        columns = tuple(str(c) for c in self.loadings.columns)
        cells = tuple(
            (str(item), *("" if v != v else f"{v:.3f}" for v in row))
            for item, row in zip(self.loadings.index, self.loadings.to_numpy(), strict=True)
        )
        return (*found, SummaryTable("Loadings", ("Item", *columns), cells))

    def remarks(self) -> tuple[str, ...]:
        """See `Index.remarks`."""
        return self.notes
