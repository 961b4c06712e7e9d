"""Chosen values of some predictors, and what the others are set to: rows of a design to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers
from teamlink.errors import DesignError, OptionError, nearest
from teamlink.mixed.encoding import Encoding
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array, Table

__all__ = ["At", "Others", "Reference", "grid", "reference"]

At: TypeAlias = str | Sequence[str] | Mapping[str, Any]
"""Predictors by name, or name to values; None stands for typical values."""

Others: TypeAlias = Literal["reference", "average"]


@dataclass(frozen=True, slots=True)
class Reference:
    """The predictors of the fixed part, and their usual values.

    Attributes
    ----------
    fit : MixedFit
    means, sds : of every numeric predictor, over the rows of the fit
    levels : the values of every other predictor, the reference level first
    frame : (n, ...) the rows of the fit as a table, where these are known
    """

    fit: MixedFit
    means: Mapping[str, float]
    sds: Mapping[str, float]
    levels: Mapping[str, tuple[Any, ...]]
    frame: pd.DataFrame | None

    def typical(self, name: str) -> tuple[Any, ...]:
        """Every level; for a number the mean, and one standard deviation to either side."""
        if name in self.levels:
            return self.levels[name]
        mean, sd = self.means[name], self.sds[name]
        return (mean - sd, mean, mean + sd)

    def check(self, name: str) -> None:
        """Raise where the fixed part has no such predictor."""
        if name not in self.means and name not in self.levels:
            known = [*self.means, *self.levels]
            raise OptionError(
                f"the fixed part has no predictor {name!r}; {nearest(name, known)}"
                if known
                else "the fixed part has no predictor"
            )

    def rows(self, points: pd.DataFrame, others: Others) -> Array:
        """(g, p) rows of the design at g points; other predictors as `others` says."""
        fit = self.fit
        encoding, kept = fit.model.design.fixed, fit.model.fixed.kept
        if others == "reference":
            filled = points.copy()
            self._refuse_group_means(points)
            for name, mean in self.means.items():
                if name not in filled:
                    filled[name] = mean
            for name, levels in self.levels.items():
                if name not in filled:
                    filled[name] = levels[0]
            at_points: Array = encoding.columns(filled)[:, kept]
            return at_points
        if self.frame is None:
            raise OptionError(
                "averaging over the rows of the fit needs its table; pass data= as it was fitted"
            )
        found = np.empty((len(points), len(kept)))
        # A frame without columns has no records in older pandas, but still its rows.
        records = points.to_dict("records") if len(points.columns) else [{}] * len(points)
        for i, values in enumerate(records):
            everyone = self.frame.assign(**{str(name): value for name, value in values.items()})
            found[i] = encoding.columns(everyone)[:, kept].mean(axis=0)
        return found

    def _refuse_group_means(self, points: pd.DataFrame) -> None:
        """A grouping column among the predictors has no reference value."""
        groups = {name for f in self.fit.model.design.factors for name in f.variables}
        for name in self.fit.model.design.fixed.variables:
            if name in groups and name not in points:
                raise OptionError(
                    f"the fixed part uses the groups {name!r}, which have no reference value: use "
                    "others='average' with data=, or centre the predictors by tl.center before "
                    "fitting"
                )


def reference(fit: MixedFit, data: Table | None) -> Reference:
    """Learn the usual values from the table of the fit, or from its design where that suffices.

    Parameters
    ----------
    fit : MixedFit
    data : the table that the model was fitted to

    Raises
    ------
    DesignError
        The table has not the rows of the fit.
    OptionError
        There is no table, and a predictor's mean cannot be told from the design.
    """
    design, encoding = fit.model.design, fit.model.design.fixed
    frame = None if data is None else _rows_of_fit(fit, as_frame(data, list(encoding.variables)))
    means: dict[str, float] = {}
    sds: dict[str, float] = {}
    levels: dict[str, tuple[Any, ...]] = {}
    unknown = []
    # In the order of the formula: that of the encoding is none.
    for name in (v for v in design.formula.variables if v in encoding.variables):
        if name in encoding.categories:
            levels[name] = _ordered(encoding, name)
        elif frame is not None or name in encoding.names:
            x = design.X[:, encoding.names.index(name)] if frame is None else numbers(frame, name)
            sds[name] = float(x.std(ddof=1))
            # A centred predictor has the mean zero, and not what rounding leaves of it.
            mean = float(x.mean())
            means[name] = 0.0 if abs(mean) < 1e-12 * sds[name] else mean
        else:
            unknown.append(name)
    if unknown:
        raise OptionError(
            f"the design does not hold {', '.join(unknown)} as written in the table; pass data= as "
            "the model was fitted to it"
        )
    if frame is None and not levels:
        frame = pd.DataFrame({name: design.X[:, encoding.names.index(name)] for name in means})
    return Reference(fit, means, sds, levels, frame)


def grid(known: Reference, at: At) -> pd.DataFrame:
    """All combinations of the chosen values, the last predictor changing fastest."""
    if isinstance(at, str):
        at = [at]
    wanted = dict(at) if isinstance(at, Mapping) else dict.fromkeys(at)
    if not wanted:
        raise OptionError("at: name a predictor, or give its values, as in {'ses': [-1, 0, 1]}")
    values: dict[str, list[Any]] = {}
    for name, chosen in wanted.items():
        known.check(name)
        if chosen is None:
            values[name] = list(known.typical(name))
        elif isinstance(chosen, str) or np.ndim(chosen) == 0:
            values[name] = [chosen]
        else:
            values[name] = list(chosen)
        if not values[name]:
            raise OptionError(f"at: no value for {name!r}")
        if name in known.means:
            _check_numbers(name, values[name])
    return pd.DataFrame(list(product(*values.values())), columns=list(values))


def _check_numbers(name: str, values: Sequence[Any]) -> None:
    try:
        fine = bool(np.isfinite(np.asarray(values, dtype=float)).all())
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise OptionError(f"at: {name!r} is a number in the fit; got {list(values)[:5]!r}")


def _rows_of_fit(fit: MixedFit, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the fit used."""
    index = fit.model.design.index
    if frame.index.is_unique and index.isin(frame.index).all():
        return frame.loc[index]
    if len(frame) == len(index):
        return frame
    raise DesignError(
        f"data has {len(frame)} rows that do not match the {len(index)} of the fit; pass the table "
        "that the model was fitted to"
    )


def _ordered(encoding: Encoding, name: str) -> tuple[Any, ...]:
    """Levels of a predictor in the order of their coding, the reference level first."""
    values = encoding.categories[name]
    states = {} if encoding.spec is None else encoding.spec.encoder_state
    for factor, (_, state) in states.items():
        if factor in (name, f"C({name})") and "categories" in state:
            return tuple(level for level in state["categories"] if level in values)
    return tuple(sorted(values, key=lambda level: (str(type(level)), level)))
