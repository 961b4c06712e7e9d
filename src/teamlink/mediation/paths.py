"""The effects of a mediation model: which there are, at which level, as expressions of paths.

A specific indirect effect is the product of the coefficients along one way from predictor to
outcome through at least one mediator. The indirect effect is the sum over all ways, the total
effect that and the direct one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from teamlink.mediation.specification import Specification

__all__ = ["Effect", "Path", "effects_of", "paths_of", "slope_covariance"]

slope_covariance = "cov_ab"
"""Label of the covariance of the random slopes a and b."""


@dataclass(frozen=True, slots=True)
class Path:
    """One arrow: from a variable to another, with the label of its coefficient."""

    start: str
    end: str
    label: str


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect.

    Attributes
    ----------
    kind : "a", "b", "d", "direct", "indirect", "total indirect", "total" or "contrast"
    level : "within", "between", "single" or, of a contrast of levels, "both"
    path : the way it goes, or what is compared
    label : its name among the parameters
    expression : how it is defined; empty where it is a coefficient
    """

    kind: str
    level: str
    path: str
    label: str
    expression: str = ""


def paths_of(spec: Specification, level: str) -> list[Path]:
    """Arrows of the structural part at a level."""
    end = "" if level == "single" else f"_{level}"
    here = {name for name, own in spec.levels.items() if level != "within" or own == 1}
    several = len(spec.mediators) > 1
    found = []
    for k, m in enumerate(spec.mediators, 1):
        number = str(k) if several else ""
        found.append(Path(spec.x, m, f"a{number}{end}"))
        before = range(1, k) if spec.serial else range(0)
        found += [Path(spec.mediators[j - 1], m, f"d{k}{j}{end}") for j in before]
        found.append(Path(m, spec.y, f"b{number}{end}"))
    found.append(Path(spec.x, spec.y, f"c{end}"))
    return [path for path in found if {path.start, path.end} <= here]


def _ways(paths: Sequence[Path], start: str, end: str) -> Iterator[tuple[Path, ...]]:
    """All ways along arrows."""
    for path in paths:
        if path.start != start:
            continue
        if path.end == end:
            yield (path,)
        else:
            for rest in _ways(paths, path.end, end):
                yield (path, *rest)


def effects_of(spec: Specification) -> list[Effect]:
    """Every effect of a model, coefficients first, contrasts last."""
    by_level = {level: _of_level(spec, level) for level in spec.blocks}
    found = [effect for own in by_level.values() for effect in own if effect.kind != "contrast"]
    found += [effect for own in by_level.values() for effect in own if effect.kind == "contrast"]
    if spec.design.two_level:
        found += _across(by_level["within"], by_level["between"])
    return found


_KINDS = {"a": "a", "b": "b", "c": "direct", "d": "d"}


def _of_level(spec: Specification, level: str) -> list[Effect]:
    paths = paths_of(spec, level)
    end = "" if level == "single" else f"_{level}"
    found = [
        Effect(_KINDS[p.label[0]], level, f"{p.start} -> {p.end}", p.label) for p in paths
    ]  # fmt: skip
    ways = [way for way in _ways(paths, spec.x, spec.y) if len(way) > 1]
    if not ways:
        return found
    ways.sort(key=len)
    specific = [_specific(spec, level, way, len(ways) > 1, end) for way in ways]
    found += specific
    whole = specific[0].label
    if len(ways) > 1:
        whole = f"indirect{end}"
        total = " + ".join(effect.label for effect in specific)
        path = f"{spec.x} -> {spec.y}, all ways"
        found.append(Effect("total indirect", level, path, whole, total))
    direct = f"c{end}"
    there = f"{spec.x} -> {spec.y}"
    found.append(Effect("total", level, there, f"total{end}", f"{direct} + {whole}"))
    found.append(
        Effect("contrast", level, "indirect - direct", f"indirect_less_direct{end}",
               f"{whole} - {direct}")
    )  # fmt: skip
    for one, two in combinations(specific, 2):
        label = f"{one.label.removesuffix(end)}_less_{two.label}"
        found.append(
            Effect("contrast", level, f"({one.path}) - ({two.path})", label,
                   f"{one.label} - {two.label}")
        )  # fmt: skip
    return found


def _specific(
    spec: Specification, level: str, way: tuple[Path, ...], several: bool, end: str
) -> Effect:
    through = [path.end for path in way[:-1]]
    numbers = "".join(str(spec.mediators.index(m) + 1) for m in through) if several else ""
    expression = "*".join(path.label for path in way)
    if spec.random_slopes and level == "within":
        expression += f" + {slope_covariance}"
    shown = " -> ".join([spec.x, *through, spec.y])
    return Effect("indirect", level, shown, f"indirect{numbers}{end}", expression)


def _across(within: Sequence[Effect], between: Sequence[Effect]) -> list[Effect]:
    """Between less within, of what exists at both levels."""
    inner = {effect.label.removesuffix("_within"): effect for effect in within}
    found = []
    for effect in between:
        plain = effect.label.removesuffix("_between")
        if plain not in inner or effect.kind in ("contrast", "a", "d"):
            continue
        what = {"b": f"b ({effect.path})"}.get(effect.kind, effect.kind)
        if effect.kind == "indirect":
            what = f"indirect ({effect.path})"
        found.append(
            Effect("contrast", "both", f"{what}: between - within", f"{plain}_between_less_within",
                   f"{effect.label} - {inner[plain].label}")
        )  # fmt: skip
    return found
