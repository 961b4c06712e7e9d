"""Networks of teachers: what a school's network is like, and what goes with its ties.

`describe` gives a row a school (density, reciprocity by name, centralization, ...), `nodes` a row a
person. `mrqap` regresses one relation on others with permutation tests that respect that ties of
one person are not independent; `qap` correlates two; `attribute` makes a relation of what people
are, such as the same grade.

Examples
--------
>>> import teamlink as tl
>>> ties = {"source": ["Ann", "Bob", "Cem"], "target": ["Bob", "Ann", "Ann"]}
>>> float(tl.networks.describe(ties)["density"].iloc[0])
0.5
"""

from __future__ import annotations

from teamlink.networks.dyadic import Mrqap, Qap, mrqap, qap
from teamlink.networks.relation import attribute
from teamlink.networks.tables import describe, nodes

__all__ = ["Mrqap", "Qap", "attribute", "describe", "mrqap", "nodes", "qap"]
