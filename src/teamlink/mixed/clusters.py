"""Clusters: sets of rows that share no random effect with any other, so that they are independent.

With one grouping factor its groups are the clusters, with nested factors those of the top one. Any
coarser column serves as well, and where factors are crossed only such a column does: a cluster has
to hold the whole of every group that it touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import OptionError, nearest
from teamlink.mixed.design import MixedDesign
from teamlink.mixed.factor import Factor
from teamlink.typing import Array, Codes, Mask

__all__ = ["Cluster", "Clusters", "clusters_of"]

Cluster = str | Sequence[Any] | Array | pd.Series
"""A grouping factor by name, or a label for each row."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """Independent sets of rows.

    Attributes
    ----------
    name : such as "district"
    codes : (n,) cluster of each row, 0 .. count - 1
    count : number of clusters
    """

    name: str
    codes: Codes
    count: int

    def of_groups(self, factor: Factor) -> Codes:
        """(J,) the cluster that each group of a factor lies in."""
        inside = np.zeros(factor.n_groups, dtype=np.intp)
        inside[factor.only_codes] = self.codes
        return inside


def clusters_of(design: MixedDesign, cluster: Cluster | None = None) -> Clusters:
    """Find the clusters of a design.

    Parameters
    ----------
    design : MixedDesign
    cluster : a grouping factor by name; a label for each row used, or a Series of labels with the
        index of the table; None for the factor that contains all others

    Raises
    ------
    OptionError
        No factor contains the others, the clusters cut through groups, or there is but one.
    """
    if cluster is None:
        return _top(design)
    if isinstance(cluster, str):
        found = _by_name(design, cluster)
    else:
        codes, labels = pd.factorize(_labels(design, cluster))
        name = getattr(cluster, "name", None)
        found = Clusters("cluster" if name is None else str(name), codes, len(labels))
    for factor in design.factors:
        torn = _torn(factor, found.codes)
        if torn.any():
            raise OptionError(
                f"cluster={found.name!r}: groups of {factor.name!r} lie in several of its "
                f"clusters (such as {factor.levels[int(np.argmax(torn))]!r}), which are then not "
                "independent; give a column whose clusters hold whole groups of every factor"
            )
    if found.count < 2:
        raise OptionError(f"cluster={found.name!r}: one cluster only; two or more are needed")
    return found


def _top(design: MixedDesign) -> Clusters:
    """The factor whose groups contain those of all others."""
    for factor in reversed(design.factors):
        if factor.codes is not None and not any(
            _torn(other, factor.codes).any() for other in design.factors
        ):
            return Clusters(factor.name, factor.codes, factor.n_groups)
    names = ", ".join(factor.name for factor in design.factors)
    raise OptionError(
        f"clusters: no grouping factor contains all others ({names}), so that their groups are not "
        "independent; give a column whose clusters hold whole groups of every factor, such as "
        "cluster=table['district']"
    )


def _by_name(design: MixedDesign, name: str) -> Clusters:
    for factor in design.factors:
        if factor.name == name and factor.codes is not None:
            return Clusters(name, factor.codes, factor.n_groups)
    names = [factor.name for factor in design.factors]
    if name in names:
        raise OptionError(
            f"cluster={name!r}: rows belong to several of its groups; give a column whose clusters "
            "hold whole groups of every factor"
        )
    raise OptionError(
        f"cluster={name!r} is no grouping factor of the model: {nearest(name, names)}; another "
        f"column is given itself, as cluster=table[{name!r}]"
    )


def _labels(design: MixedDesign, cluster: Any) -> Any:
    """One label for each row used, none of them missing."""
    if isinstance(cluster, pd.Series):
        index = cluster.index
        if len(cluster) != design.n or not index.equals(design.index):
            if not index.is_unique or not design.index.isin(index).all():
                raise OptionError(
                    "cluster: its index is not that of the table that was fitted, or repeats "
                    "itself; take the column from that table"
                )
            cluster = cluster.loc[design.index]
    values = pd.Series(np.asarray(cluster))
    if len(values) != design.n:
        raise OptionError(
            f"cluster: {len(values)} labels for the {design.n} rows that the model used; give one "
            "a row, or a pandas Series with the index of the table"
        )
    if values.isna().any():
        raise OptionError(f"cluster: the label of {int(values.isna().sum())} rows is missing")
    return values


def _torn(factor: Factor, codes: Codes) -> Mask:
    """Which groups (J,) of a factor lie in more than one cluster."""
    W = factor.weights.tocsc()
    W.eliminate_zeros()
    inside = codes[W.indices]
    sizes = np.diff(W.indptr)
    there = np.flatnonzero(sizes > 0)
    torn: Mask = np.zeros(factor.n_groups, dtype=np.bool_)
    if there.size:
        starts = W.indptr[:-1][there]
        torn[there] = np.minimum.reduceat(inside, starts) < np.maximum.reduceat(inside, starts)
    return torn
