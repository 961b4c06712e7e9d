"""The catalogue: every study file that ships, read and checked."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd

from teamlink.errors import StudyError, nearest
from teamlink.registry.reading import parse_study, read_study
from teamlink.registry.study import Study

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
    raise StudyError(f"there is no study {key!r}; {nearest(key, keys())}")


def studies() -> pd.DataFrame:
    """List the studies of the registry.

    Returns
    -------
    pandas.DataFrame
        One row a study: key, citation, design, model, claims, status.

    Examples
    --------
    >>> import teamlink as tl
    >>> tl.studies().set_index("key").loc["goddard-2007", "claims"]
    'G07a, G07b'
    """
    rows = []
    for study in (_entry(key) for key in keys()):
        models = "; ".join(m.text for m in study.pipeline.models)
        rows.append(
            {
                "key": study.key,
                "citation": str(study.citation),
                "design": f"{study.sizes} ({study.basis})",
                "model": models,
                "claims": ", ".join(c.id for c in study.claims),
                "status": study.status,
            }
        )
    return pd.DataFrame(rows, columns=["key", "citation", "design", "model", "claims", "status"])
