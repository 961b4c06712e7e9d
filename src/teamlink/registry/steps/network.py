"""Ties between respondents to indices of a school's network, such as its density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from teamlink.errors import Fault, nearest
from teamlink.networks.edges import read_networks
from teamlink.networks.indices import dyads, share
from teamlink.networks.tables import describe
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["INDICES", "STEP", "NetworkStep"]

INDICES = (
    "density",
    "reciprocity_edgewise",
    "reciprocity_dyadic",
    "reciprocity_with_null",
    "degree_centralization",
    "indegree_centralization",
    "outdegree_centralization",
    "betweenness_centralization",
    "transitivity",
    "transitivity_undirected",
)
"""Indices of `teamlink.networks.describe` that a study may use."""


@dataclass(frozen=True, slots=True)
class NetworkStep:
    """Indices of each school's network, put into the school file.

    Attributes
    ----------
    indices : which, under the names of `teamlink.networks.describe`
    ties : the file of ties
    source, target : its columns with who names and who is named
    roster : the file with everybody
    node : its column with the person
    responded : its column that says who answered; empty where everybody did
    by : the school's id
    into : the file that gets the columns, one row a school
    """

    indices: tuple[str, ...]
    ties: str = "ties"
    source: str = "source"
    target: str = "target"
    roster: str = "roster"
    node: str = "teacher"
    responded: str = "responded"
    by: str = "school"
    into: str = "schools"

    @property
    def text(self) -> str:
        """The step in words."""
        names = ", ".join(f"`{name}`" for name in self.indices)
        return f"{names}: of the network of {self.ties} of a {self.by}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return self.ties, self.roster, self.into

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        where = "step network"
        wanted = (self.node, self.by, *([self.responded] if self.responded else []))
        faults = layout.column_faults(self.ties, (self.by, self.source, self.target), where)
        faults += layout.column_faults(self.roster, wanted, where)
        faults += layout.column_faults(self.into, (self.by,), where)
        faults += [
            Fault(f"there is no index {name!r}", where, nearest(name, INDICES))
            for name in self.indices
            if name not in INDICES
        ]
        taken = {name for columns in layout.columns.values() for name in columns}
        faults += [
            Fault(f"{name!r} is the name of another column", where)
            for name in self.indices
            if name in taken
        ]
        return layout.adding(self.into, *self.indices), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the indices."""
        ties, roster = prepared.tables[self.ties], prepared.tables[self.roster]
        responded = self.responded or None
        found: pd.DataFrame
        if self.indices == ("density",):
            # betweenness, which no index of this study needs, takes nearly all of the time
            nets = read_networks(
                ties, self.by, self.source, self.target, None, roster, self.node, responded, True
            )
            census = dyads(nets)
            density = share(census.ties, census.possible)
            found = pd.DataFrame({"density": density}, index=nets.levels)
        else:
            found = describe(
                ties, by=self.by, source=self.source, target=self.target, roster=roster,
                node=self.node, responded=responded,
            )  # fmt: skip
        schools = prepared.tables[self.into][self.by]
        new = {name: schools.map(found[name]) for name in self.indices}
        return prepared.with_columns(self.into, new)


STEP = NetworkStep
