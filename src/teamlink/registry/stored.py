"""True values that were worked out once and ship with the registry.

`python -m teamlink.registry.stored KEY ...` works them out anew and writes them; without a key, all
that are missing or belong to another form of the study. A study whose stored values do not belong
to it is worked out at once, so a stored value saves time and changes no number.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path

import numpy as np

from teamlink.registry.scenarios import Scenarios, scenarios
from teamlink.registry.study import RealData, Study
from teamlink.registry.truth import true_slopes
from teamlink.simulation.checkpoint import digest
from teamlink.typing import Array

__all__ = ["form", "slopes_of", "store", "stored_slopes"]


def form(study: Study) -> str:
    """Name all that determines the true values of a study."""
    claims = [
        (c.id, c.outcome, c.term, c.model, c.direction, c.effect, c.truth) for c in study.claims
    ]
    worlds = [sorted(changes.items()) for changes in scenarios(study).changes]
    return digest(
        study.design, sorted(study.parameters.items()), study.pipeline, claims, worlds,
        study.truth_times,
    )  # fmt: skip


def stored_slopes(study: Study) -> Array | None:
    """Give the stored values (3, C) of `true_slopes`; None where there are none for this form."""
    file = resources.files("teamlink.registry") / "truths" / f"{study.key}.json"
    if not file.is_file():
        return None
    data = json.loads(file.read_text(encoding="utf-8"))
    if data["form"] != form(study):
        return None
    return np.array([data["slopes"][claim.id] for claim in study.claims]).T


def slopes_of(study: Study, worlds: Scenarios) -> Array:
    """Give the true values, stored or worked out; see `true_slopes`."""
    found = stored_slopes(study)
    return true_slopes(study, worlds) if found is None else found


def store(study: Study, folder: Path) -> Path:
    """Work out the true values of a study and write them; give the file."""
    slopes = true_slopes(study, scenarios(study))
    rows = {c.id: slopes[:, k].tolist() for k, c in enumerate(study.claims)}
    data = {"study": study.key, "form": form(study), "slopes": rows}
    path = folder / f"{study.key}.json"
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return path


def main(asked: list[str]) -> None:
    """Write the values of some studies, or of all whose values are missing."""
    from teamlink.registry.catalogue import find, keys

    folder = Path(str(resources.files("teamlink.registry"))) / "truths"
    for key in asked or keys():
        study = find(key)
        if isinstance(study.design, RealData) or (not asked and stored_slopes(study) is not None):
            continue
        sys.stdout.write(f"{store(study, folder)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
