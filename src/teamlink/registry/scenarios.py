"""The worlds that a study is run in: its own, and those of its claims' controls.

Every claim is looked at in three worlds: the study's own, and two controls. Where the study says
`controls = "together"` the controls of all claims share two worlds; where it says "each", every
claim has its own, and equal ones are run once. Chains need "each": with both links turned round,
an indirect effect would keep its sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from teamlink.errors import StudyError
from teamlink.registry.study import Claim, Study
from teamlink.typing import Array, Codes, Mask

__all__ = ["WORLDS", "Scenarios", "scenarios"]

WORLDS = ("study", "control 1", "control 2")
"""The three worlds of a claim: the study itself, and its two controls."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenarios:
    """Which worlds are drawn, and which of them a claim is looked at in.

    Attributes
    ----------
    changes : S mappings, population values that differ from the study's; the first is empty
    which : (3, C), the scenario of each claim's three worlds
    effects : (3, C), value of the claim's `effect` there; nan where the control has other means
    """

    changes: tuple[Mapping[str, float], ...]
    which: Codes
    effects: Array

    @property
    def needed(self) -> Mask:
        """(S, C), whether a claim is looked at in a scenario."""
        S, C = len(self.changes), self.which.shape[1]
        needed: Mask = np.zeros((S, C), dtype=bool)
        for row in self.which:
            needed[row, np.arange(C)] = True
        return needed


def scenarios(study: Study) -> Scenarios:
    """Lay out the worlds of a simulated study.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Scenarios

    Raises
    ------
    StudyError
        Claims whose controls are run together want different values of one population value.

    Examples
    --------
    >>> from teamlink.registry.catalogue import find
    >>> found = scenarios(find("goddard-2007"))
    >>> found.changes[2]
    {'math.collaboration': -0.08, 'reading.collaboration': -0.07}
    """
    values = study.values
    per_claim = [claim.changes(values) for claim in study.claims]
    if study.controls == "together":
        both = [_union(study, [c[k] for c in per_claim]) for k in (0, 1)]
        per_claim = [(both[0], both[1])] * len(study.claims)
    distinct: list[Mapping[str, float]] = [{}]
    which = np.zeros((len(WORLDS), len(study.claims)), dtype=np.intp)
    for c, controls in enumerate(per_claim):
        for k, changes in enumerate(controls, 1):
            # with "together" both controls stay, even where nothing distinguishes them
            if changes not in distinct or (study.controls == "together" and c == 0):
                distinct.append(changes)
            which[k, c] = k if study.controls == "together" else distinct.index(changes)
    effects = np.array(
        [
            [_effect(c, values, distinct[s]) for c, s in zip(study.claims, row, strict=True)]
            for row in which
        ]
    )
    return Scenarios(tuple(distinct), which, effects)


def _effect(claim: Claim, values: Mapping[str, float], changes: Mapping[str, float]) -> float:
    return changes.get(claim.effect, values[claim.effect] if not changes else float("nan"))


def _union(study: Study, all_changes: list[Mapping[str, float]]) -> dict[str, float]:
    together: dict[str, float] = {}
    for changes in all_changes:
        for name, value in changes.items():
            if together.setdefault(name, value) != value:
                raise StudyError(
                    f"{study.key}: the controls of two claims want {name!r} to be "
                    f'{together[name]:g} and {value:g}; say controls = "each"'
                )
    return together
