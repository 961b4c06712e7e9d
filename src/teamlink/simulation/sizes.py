"""Sizes of a world: what is too small, and unequal sizes with an exact total."""

from __future__ import annotations

import numpy as np

from teamlink.errors import Fault
from teamlink.typing import Codes

__all__ = ["spread", "too_few", "too_thin"]

WORDS = {"points": "answer categories"}
"""What sizes are called in messages, where their name does not say it."""

WIDEST = 3.0
"""Largest coefficient of variation of the gamma weights; beyond, all but a few would be zero."""


def spread(total: int, groups: int, cv: float, least: int, rng: np.random.Generator) -> Codes:
    """Share `total` members among groups, unequally, each getting `least` or more.

    Parameters
    ----------
    total, groups : int
        What is shared, among how many.
    cv : float
        Coefficient of variation of the part above `least`, drawn from a gamma distribution and
        scaled so that the whole sizes vary by about `cv`, as far as `least` leaves room; 0 for
        sizes as equal as can be.
    least : int
        The smallest size.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        (groups,) integers that sum to `total` exactly.

    Examples
    --------
    >>> import numpy as np
    >>> sizes = spread(452, 47, 0.3, 4, np.random.default_rng(1))
    >>> int(sizes.sum()), int(sizes.min()) >= 4
    (452, True)
    >>> spread(11, 4, 0.0, 1, np.random.default_rng(1)).tolist()
    [3, 3, 3, 2]
    """
    free = total - least * groups
    part_cv = min(cv * total / free, WIDEST) if free else 0.0
    weights = rng.gamma(1 / part_cv**2, size=groups) if part_cv > 1e-6 else np.ones(groups)
    ideal = free * weights / weights.sum()
    sizes: Codes = np.floor(ideal).astype(np.intp)
    rest = free - int(sizes.sum())
    sizes[np.argsort(sizes - ideal, kind="stable")[:rest]] += 1
    sizes += least
    return sizes


def too_few(world: object, **least: int) -> list[Fault]:
    """List the sizes of a world that are below the least that it can do with.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> [str(fault) for fault in too_few(SimpleNamespace(schools=1, items=3), schools=2, items=1)]
    ['schools: 1 schools; at least 2 are needed']
    """
    faults = []
    for name, n in least.items():
        if (size := getattr(world, name)) < n:
            are = "is" if n == 1 else "are"
            text = f"{size} {WORDS.get(name, name)}; at least {n} {are} needed"
            faults.append(Fault(text, name))
    return faults


def too_thin(world: object, among: str, **least: int) -> list[Fault]:
    """List the totals of a world that do not give each group of `among` its least.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> print(*too_thin(SimpleNamespace(schools=40, teachers=60), "schools", teachers=2))
    teachers: 60 teachers do not give 40 schools 2 each
    """
    groups = getattr(world, among)
    return [
        Fault(f"{getattr(world, name)} {name} do not give {groups} {among} {n} each", name)
        for name, n in least.items()
        if getattr(world, name) < n * groups
    ]
