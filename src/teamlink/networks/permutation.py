"""Permutations of people within schools, and what they do to flat matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from teamlink.errors import OptionError
from teamlink.networks.relation import People
from teamlink.typing import Array, Codes

__all__ = ["Permutations", "tail_shares"]

_MOST = 100_000
"""More rearrangements than this are not listed one by one."""

_BATCH = 2_000_000
"""Numbers in one batch of permuted dyads."""

_TIE = 1e-9
"""Statistics that differ by less, relatively, are the same: rearrangements that change nothing."""


@dataclass(frozen=True, slots=True)
class Permutations:
    """Rearrangements of people: R random ones, or all there are.

    Attributes
    ----------
    people : who stands where
    count : R
    every : whether these are all, the one that changes nothing first among them
    seed : of the random ones
    """

    people: People
    count: int
    every: bool
    seed: int | np.random.Generator

    @classmethod
    def of(
        cls, people: People, wanted: int | Literal["all"], seed: int | np.random.Generator
    ) -> Permutations:
        """Check what is wanted; `OptionError` where it cannot be had."""
        if wanted == "all":
            total = math.prod(math.factorial(int(n)) for n in people.sizes)
            if total > _MOST:
                raise OptionError(
                    f"permutations='all': there are more than {_MOST:,}; give a number"
                )
            return cls(people, total, True, seed)
        if isinstance(wanted, str | bool | float) or wanted < 1:
            raise OptionError(f"permutations={wanted!r}: a whole number above zero, or 'all'")
        return cls(people, wanted, False, seed)

    def people_batches(self, dyads: int) -> Iterator[Codes]:
        """(r, N) for each place the person, within the school, who takes it."""
        size = max(1, _BATCH // max(dyads, 1))
        sizes = [int(n) for n in self.people.sizes]
        if self.every:
            each = itertools.product(*(itertools.permutations(range(n)) for n in sizes))
            while rows := list(itertools.islice(each, size)):
                yield np.array([list(itertools.chain(*row)) for row in rows], dtype=np.intp)
            return
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.count, size):
            # One replicate after the other, so that the size of a batch changes no number.
            yield np.array(
                [
                    np.concatenate([rng.permutation(n) for n in sizes])
                    for _ in range(min(size, self.count - start))
                ],
                dtype=np.intp,
            )

    def batches(self, school: Codes, first: Codes, second: Codes) -> Iterator[Codes]:
        """(r, D) where in the flat matrices each dyad's permuted value stands."""
        sizes, base = self.people.sizes, self.people.base
        start = np.r_[0, np.cumsum(sizes)[:-1]].astype(np.intp)
        i, j = start[school] + first, start[school] + second
        width = np.repeat(sizes, sizes)
        for who in self.people_batches(len(school)):
            rows = np.repeat(base[:-1], sizes) + who * width  # (r, N) where a person's row begins
            where = rows[:, i]
            where += who[:, j]
            yield where

    def words(self) -> str:
        """How many, for summaries."""
        return f"all {self.count:,}" if self.every else f"{self.count:,} random"


def tail_shares(observed: Array, permuted: Array, every: bool) -> tuple[Array, Array, Array]:
    """Shares of permuted statistics at or below, at or above, and as far from zero as the observed.

    Parameters
    ----------
    observed : (k,)
    permuted : (R, k)
    every : whether they are all rearrangements. If not, the arrangement observed is counted as one
        more, so that no share is zero.

    Returns
    -------
    tuple of Array
        (k,) lower, upper, two-sided.
    """
    slack = _TIE * np.maximum(np.abs(observed), 1e-300)
    counts = np.array(
        [
            (permuted <= observed + slack).sum(axis=0),
            (permuted >= observed - slack).sum(axis=0),
            (np.abs(permuted) >= np.abs(observed) - slack).sum(axis=0),
        ]
    )
    R = len(permuted)
    shares = counts / R if every else (counts + 1) / (R + 1)
    return shares[0], shares[1], shares[2]
