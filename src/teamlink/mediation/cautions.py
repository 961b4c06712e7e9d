"""What to beware of in a design and its data: said once, as typed warnings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from teamlink.errors import (
    ConflatedSlopes,
    FewGroups,
    ImproperSolution,
    TeamlinkWarning,
    UnreliableMeans,
)
from teamlink.mediation.variables import Variables

__all__ = ["FEW", "Caution", "before", "improper", "tell"]

FEW = 40
"""Clusters below which paths between them, and their errors, are known to be unstable."""

LOW_ICC2 = 0.70
LOW_ICC1 = 0.05

Caution = tuple[type[TeamlinkWarning], str]


def before(there: Variables) -> list[Caution]:
    """What design, options and data give cause for, before any model is fitted."""
    return [*_few(there), *_conflated(there), *_unreliable(there)]


def _few(there: Variables) -> list[Caution]:
    design = there.spec.design
    if design.name == "single" or there.n_clusters >= FEW:
        return []
    return [
        (
            FewGroups,
            f"{there.n_clusters} clusters: effects between so few are unstable, and intervals may "
            f"cover less than they say; {FEW} and more are advised",
        )
    ]


def _conflated(there: Variables) -> list[Caution]:
    spec, found = there.spec, []
    if spec.random_slopes and spec.centring == "none":
        found.append(
            "centring='none': slopes of x and m mix effects within and between clusters; "
            "centring='cluster' keeps them apart"
        )
    if spec.design.name == "single" and spec.cluster is not None and len(there.spread):
        names = ", ".join(there.spread["variable"].unique())
        found.append(
            f"one level for members of clusters: the slopes of {names} mix effects within and "
            "between clusters; '1-1-1' keeps them apart"
        )
    icc1 = there.spread.set_index("variable")["icc1"]
    mixed = [
        name for name, place in spec.covariates.items()
        if place == "within" and spec.design.two_level and icc1[name] >= LOW_ICC1
    ]  # fmt: skip
    if mixed:
        found.append(
            f"the covariates {', '.join(mixed)} vary between clusters too, but have one slope "
            "for both; put them in 'both'"
        )
    return [(ConflatedSlopes, text) for text in found]


def _unreliable(there: Variables) -> list[Caution]:
    """Means of clusters as predictors that are measured with error, or latent ones of nothing."""
    spec = there.spec
    rows = there.spread[there.spread["variable"] != spec.y]
    manifest = spec.design.name == "2-2-2"
    if spec.random_slopes:
        rows, manifest = rows[rows["variable"] == spec.x], True
    if manifest:
        low = rows[rows["icc2"] < LOW_ICC2]
        said = ", ".join(f"{r['column']} {r['icc2']:.2f}" for r in low.to_dict("records"))
        text = (
            f"cluster means with a reliability ICC(2) below {LOW_ICC2:g} ({said}) bias effects "
            "between clusters: unless nearly all members were asked, take a design with latent "
            "means, as '1-1-1' or '2-1-1', or scales by measures="
        )
        return [(UnreliableMeans, text)] if said else []
    if not spec.design.two_level:
        return []
    placed = set(there.covariates("between")) | {*spec.path}
    low = rows[(rows["icc1"] < LOW_ICC1) & rows["variable"].isin(placed)]
    said = ", ".join(f"{r['column']} {r['icc1']:.3f}" for r in low.to_dict("records"))
    text = (
        f"hardly any variance between clusters, ICC(1) below {LOW_ICC1:g} ({said}): effects of "
        "latent means are then unstable, unless clusters are many and large; compare with means "
        "as they are (design '2-2-2'), and put covariates in 'within'"
    )
    return [(UnreliableMeans, text)] if said else []


def improper(what: Sequence[str]) -> list[Caution]:
    """What no population can have."""
    if not what:
        return []
    text = f"{'; '.join(what)}: intervals that take estimates as normal are not to be trusted"
    return [(ImproperSolution, text)]


def tell(found: Sequence[Caution]) -> None:
    """Issue the warnings of `mediate`'s caller."""
    for kind, text in found:
        warnings.warn(text, kind, stacklevel=3)
