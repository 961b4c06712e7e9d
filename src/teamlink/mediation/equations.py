"""A mediation model in lavaan's language.

Every arrow has a label, every effect a definition, so that the text alone is the model: it can be
read, changed, and given to `teamlink.sem` or to R. A scale measured by items is a factor at each
level at which the items vary, with loadings that are equal across levels: only then do the paths
of both levels speak of one scale. The items have residuals at both levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from teamlink.mediation.paths import Effect, Path, paths_of, slope_covariance
from teamlink.mediation.specification import SLOPES, Specification
from teamlink.mediation.variables import Variables
from teamlink.syntax.statements import show_variable

__all__ = ["write"]


def write(spec: Specification, there: Variables, effects: Sequence[Effect]) -> str:
    """The model as text.

    Parameters
    ----------
    spec : Specification
    there : Variables, which say where each column varies
    effects : as `effects_of` lists them

    Returns
    -------
    str
        A statement a line.
    """
    if spec.random_slopes:
        lines = _random(spec, there)
    elif spec.design.two_level:
        lines = ["level: within", *_indented(_level(spec, there, "within"))]
        lines += ["level: between", *_indented(_level(spec, there, "between"))]
    else:
        lines = _level(spec, there, spec.blocks[0])
    lines += [f"{e.label} := {e.expression}" for e in effects if e.expression]
    return "\n".join(lines)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _level(spec: Specification, there: Variables, level: str) -> list[str]:
    paths = paths_of(spec, level)
    lines = _measurement(spec, there, level)
    names = {name: _show(spec, name, level) for name in spec.path}
    lines += _regressions(spec, paths, names, there.covariates(level))
    here = [name for name in spec.path if there.stands(name, level)]
    if spec.design.two_level and not paths:
        # A variable that no arrow touches has to be named to have a part at this level.
        lines += [f"{names[name]} ~~ {names[name]}" for name in here if name not in spec.measures]
    if not spec.serial:
        ends = {end for path in paths for end in (path.start, path.end)}
        reached = [m for m in spec.mediators if m in ends]
        lines += [f"{names[one]} ~~ {names[two]}" for one, two in combinations(reached, 2)]
    aside = [name for name in here if level == "within" and spec.levels[name] == 2]
    for k, name in enumerate(aside):
        # What members differ in when they rate their cluster is no part of any path.
        others = [*aside[k + 1 :], *(n for n in here if n not in aside)]
        lines += [f"{names[name]} ~~ {names[other]}" for other in others]
    return lines


def _show(spec: Specification, name: str, level: str) -> str:
    if name not in spec.measures or not spec.design.two_level:
        return show_variable(name)
    return show_variable(f"{name}_{level}")


def _regressions(
    spec: Specification, paths: Sequence[Path], names: dict[str, str], covariates: Sequence[str]
) -> list[str]:
    """What each endogenous variable depends on; a latent predictor on the covariates too."""
    lines = []
    given = [show_variable(name) for name in covariates]
    for name in spec.path:
        terms = [f"{p.label}*{names[p.start]}" for p in paths if p.end == name]
        touched = bool(terms) or any(p.start == name for p in paths)
        if name != spec.x or name in spec.measures:
            terms += given if touched or name == spec.y else []
        if terms:
            lines.append(f"{names[name]} ~ {' + '.join(terms)}")
    return lines


def _measurement(spec: Specification, there: Variables, level: str) -> list[str]:
    lines = []
    for name, items in spec.measures.items():
        if not there.stands(name, level):
            continue
        both = spec.design.two_level and there.stands(name, "within")
        loadings = [show_variable(items[0])]
        for k, item in enumerate(items[1:], 2):
            label = f"l{k}_{name}*" if both else ""
            loadings.append(f"{label}{show_variable(item)}")
        lines.append(f"{_show(spec, name, level)} =~ {' + '.join(loadings)}")
    return lines


def _random(spec: Specification, there: Variables) -> list[str]:
    """Slopes that differ among clusters; all random effects covary."""
    m, y = (show_variable(name) for name in spec.path[1:])
    inner = {name: show_variable(there.inner(name)) for name in (spec.x, spec.mediators[0])}
    outer = show_variable(there.mean(spec.x))
    a, b, c = SLOPES.values()
    within = [show_variable(there.inner(name)) for name in there.covariates("within")]
    between = [show_variable(there.outer(name)) for name in there.covariates("between")]
    in_m = " + ".join([f'rv("{a}")*{inner[spec.x]}', *within])
    slopes = [f'rv("{b}")*{inner[spec.mediators[0]]}', f'rv("{c}")*{inner[spec.x]}']
    in_y = " + ".join([*slopes, *within])
    level_2 = [
        f"{m} ~ {' + '.join([f'a_between*{outer}', *between])}",
        f"{y} ~ {' + '.join([f'b_between*{m}', f'c_between*{outer}', *between])}",
        f"{a} ~ a_within*1",
        f"{b} ~ b_within*1",
        f"{c} ~ c_within*1",
        f"{a} ~~ {slope_covariance}*{b} + {c}",
        f"{b} ~~ {c}",
        f"{m} ~~ {a} + {b} + {c}",
        f"{y} ~~ {a} + {b} + {c}",
    ]
    return [
        "level: within",
        *_indented([f"{m} ~ {in_m}", f"{y} ~ {in_y}", f"{m} ~~ 0*{y}"]),
        "level: between",
        *_indented(level_2),
    ]
