"""Works that are not run: those without a quantitative claim, and a few with one; with reasons."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from teamlink.errors import Faults, StudyError, nearest
from teamlink.registry.layout import Key, rows
from teamlink.registry.tags import TAGS

__all__ = ["DOCUMENTS", "Work", "works"]

DOCUMENTS = {
    "memo": "REL West, Ask a REL: teacher collaboration and student outcomes (November 2016)",
    "post": "A. Busch, blog post on collaborative leadership",
    "page": "Public Agenda and the Spencer Foundation, Teacher Collaboration in Perspective, page "
    "on practices (without its endnotes in the copy seen)",
    "guide": "Public Agenda and the Spencer Foundation, Teacher Collaboration in Perspective: A "
    "discussion guide for teachers and principals (of its endnotes, 8 to 14 in the copy seen)",
    "article": "G. Anrig, Cultivating collaboration, American Educator, winter 2013-14 (without "
    "its endnotes in the copy seen)",
}
"""The documents whose citations the registry covers."""

_ROW = {
    "key": Key(),
    "short": Key(),
    "citation": Key(),
    "reason": Key(),
    "cited_in": Key(list),
    "quantitative": Key(bool, required=False),
    **{name: Key(list) for name in TAGS},
}


@dataclass(frozen=True, slots=True)
class Work:
    """A work that is not run.

    Attributes
    ----------
    key : its name in the registry
    short : the form used in tables
    citation : where it stands in print
    reason : why nothing is run again
    cited_in : which documents cite it, see `DOCUMENTS`; none for a work met beside them
    quantitative : whether it makes a quantitative claim and is not run all the same
    practices, goals, supports : see `teamlink.registry.tags`
    """

    key: str
    short: str
    citation: str
    reason: str
    cited_in: tuple[str, ...]
    practices: tuple[str, ...]
    goals: tuple[str, ...]
    supports: tuple[str, ...]
    quantitative: bool = False

    @property
    def status(self) -> str:
        """What the list of studies says of it: "not quantitative" or "not run"."""
        return "not run" if self.quantitative else "not quantitative"


@cache
def works() -> tuple[Work, ...]:
    """Give the works that are not run, by key.

    Examples
    --------
    >>> next(w for w in works() if w.key == "jacobs-2013").reason
    'Focus groups and interviews with 17 teachers; perceptions only'
    """
    name = "not-quantitative.toml"
    text = (resources.files("teamlink.registry") / name).read_text(encoding="utf-8")
    faults = Faults()
    found = rows(tomllib.loads(text)["works"], "work", _ROW, faults)
    for row in found:
        for kind, known in {**TAGS, "cited_in": tuple(DOCUMENTS)}.items():
            for word in row[kind]:
                if word not in known:
                    faults.add(f"{word!r} in {kind}", f"work {row['key']}", nearest(word, known))
    if faults:
        raise StudyError(f"{name}: " + "; ".join(map(str, faults.found)))
    made = [
        Work(
            key=row["key"],
            short=row["short"],
            citation=row["citation"],
            reason=row["reason"],
            cited_in=tuple(row["cited_in"]),
            practices=tuple(row["practices"]),
            goals=tuple(row["goals"]),
            supports=tuple(row["supports"]),
            quantitative=row.get("quantitative", False),
        )
        for row in found
    ]
    return tuple(sorted(made, key=lambda work: work.key))
