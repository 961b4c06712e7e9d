"""The point at which a search last was."""

from __future__ import annotations

from dataclasses import dataclass

from teamlink.mixed.criterion import Criterion, Curvature
from teamlink.moments.crossproducts import GroupRoots
from teamlink.typing import Array

__all__ = ["Latest"]


@dataclass(slots=True)
class Latest:
    """The last point of a single search, which is asked for again once the search has ended.

    Nothing depends on it but time: a point is used only for the very statistics and theta it is of.
    """

    key: tuple[int, bool, bytes] | None = None
    roots: GroupRoots | None = None
    point: Criterion | None = None
    slopes: Curvature | None = None

    def keep(self, roots: GroupRoots, reml: bool, theta: Array, point: Criterion) -> None:
        """Remember a point; `roots` is held so that its identity stays its own."""
        self.key, self.roots = (id(roots), reml, theta.tobytes()), roots
        self.point, self.slopes = point, None

    def holds(self, roots: GroupRoots, reml: bool, theta: Array) -> bool:
        """Whether the point remembered is this one."""
        return self.key == (id(roots), reml, theta.tobytes())

    def forget(self) -> None:
        """Give the memory back."""
        self.key = self.roots = self.point = self.slopes = None
