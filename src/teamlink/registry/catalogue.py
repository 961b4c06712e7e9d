"""The catalogue: every study file that ships, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd

from teamlink.errors import StudyError, check_option, nearest
from teamlink.registry.reading import parse_study, read_study
from teamlink.registry.study import Study
from teamlink.registry.tags import TAGS
from teamlink.registry.works import Work, works

__all__ = ["find", "keys", "studies"]


@cache
def keys() -> tuple[str, ...]:
    """Names of the studies in the registry, in alphabetical order.

    Examples
    --------
    >>> "goddard-2007" in keys()
    True
    """
    entries = resources.files("teamlink.registry") / "entries"
    names = (entry.name for entry in entries.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def _entry(key: str) -> Study:
    entries = resources.files("teamlink.registry") / "entries"
    name = f"{key}.toml"
    study = parse_study((entries / name).read_text(encoding="utf-8"), name)
    if study.key != key:
        raise StudyError(f"{name} calls itself {study.key!r}; file name and key must agree")
    return study


def find(key: str | Study) -> Study:
    """Give a study by its key, or by the path of a study file.

    Parameters
    ----------
    key : str or Study
        A key such as "goddard-2007", a path that ends in ".toml", or a study, which is returned.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        There is no such study (the nearest key is suggested), or its file holds faults.

    Examples
    --------
    >>> find("goddard-2007").citation.year
    2007
    >>> find("godard-2007")
    Traceback (most recent call last):
    teamlink.errors.StudyError: there is no study 'godard-2007'; did you mean 'goddard-2007'?
    """
    if isinstance(key, Study):
        return key
    if key in keys():
        return _entry(key)
    if key.endswith(".toml"):
        return read_study(Path(key))
    for work in works():
        if work.key == key:
            what = "is not run" if work.quantitative else "makes no quantitative claim"
            raise StudyError(f"{key} {what}: {work.reason}")
    raise StudyError(f"there is no study {key!r}; {nearest(key, keys())}")


def studies(
    practice: str | None = None, goal: str | None = None, support: str | None = None
) -> pd.DataFrame:
    """List the studies of the registry, and the works that are not run.

    Parameters
    ----------
    practice : str, optional
        Only what speaks of this practice, such as "mentoring" or "professional community".
    goal : str, optional
        Only what is about this goal: "climate", "equity", "learning", "retention" or
        "teacher skill".
    support : str, optional
        Only what is about this one of Chicago's five supports, such as "leadership".

    Returns
    -------
    pandas.DataFrame
        One row a study: key, citation, design, model, claims, status. Works that are not run come
        last, with the reason in the place of the design and the status "not quantitative"; or "not
        run", for the few that make a quantitative claim.

    Raises
    ------
    OptionError
        An unknown practice, goal or support; the nearest is suggested.

    Examples
    --------
    >>> import teamlink as tl
    >>> tl.studies().set_index("key").loc["goddard-2007", "claims"]
    'G07a, G07b'
    >>> tl.studies(practice="lesson study")[["key", "status"]]
                      key            status
    0  lesson-study-japan  not quantitative
    """
    asked = {"practices": practice, "goals": goal, "supports": support}
    for name, word in asked.items():
        if word is not None:
            check_option(name.removesuffix("s"), word, TAGS[name])
    rows = [
        {
            "key": study.key,
            "citation": str(study.citation),
            "design": f"{study.sizes} ({study.basis})",
            "model": "; ".join(m.text for m in study.pipeline.models),
            "claims": ", ".join(c.id for c in study.claims),
            "status": study.status,
        }
        for study in (_entry(key) for key in keys())
        if _tagged(study, asked)
    ]
    rows += [
        {
            "key": work.key,
            "citation": work.citation,
            "design": work.reason,
            "model": "",
            "claims": "",
            "status": work.status,
        }
        for work in works()
        if _tagged(work, asked)
    ]
    return pd.DataFrame(rows, columns=["key", "citation", "design", "model", "claims", "status"])


def _tagged(item: Study | Work, asked: Mapping[str, str | None]) -> bool:
    return all(word is None or word in getattr(item, name) for name, word in asked.items())
