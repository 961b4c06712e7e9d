"""Figures of diagnostics hold what they are made from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import DataError, OptionError
from teamlink.mixed.diagnostics import Diagnostics
from teamlink.report.diagnostic_plots import (
    effects_plot,
    influence_plot,
    johnson_neyman_plot,
    qq_plot,
    residual_plot,
    scale_location_plot,
)


@cache
def table() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(18), 10)
    x, w = rng.normal(size=180), rng.normal(size=18)[g]
    k = np.array(["a", "b"])[rng.integers(0, 2, 180)]
    b = rng.normal(size=(18, 2))[g]
    y = 1 + x * (0.4 + 0.4 * w + 0.6 * b[:, 0]) + b[:, 1] + rng.normal(size=180)
    return pd.DataFrame({"y": y, "x": x, "w": w, "k": k, "g": g, "h": rng.integers(0, 9, 180)})


@cache
def fit(formula: str = "y ~ x * w + k + (x | g)") -> Any:
    return tl.lmm(formula, table())


@cache
def found(formula: str = "y ~ x * w + k + (x | g)") -> Any:
    return tl.diagnose(fit(formula))


def drawn(ax: Any, line: int) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(ax.lines[line].get_xdata()), np.asarray(ax.lines[line].get_ydata())


def test_qq_panels() -> None:
    figure = qq_plot(found())
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["residuals", "Intercept by g", "x by g", "distance, g"]
    x, y = drawn(figure.axes[1], 1)
    np.testing.assert_allclose(y, np.sort(found().groups["g"]["Intercept_standardized"]))
    assert (np.diff(x) > 0).all()
    x, y = drawn(figure.axes[3], 1)
    np.testing.assert_allclose(y, found().groups["g"]["mahalanobis"])
    crossed = found("y ~ x + (1 | g) + (1 | h)")
    assert len(qq_plot(crossed).axes) == 3
    assert len(qq_plot(crossed, "h").axes) == 2
    with pytest.raises(OptionError, match="no grouping factor 'hh'; did you mean 'h'"):
        qq_plot(crossed, "hh")


def test_many_rows_are_thinned_but_for_their_ends() -> None:
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"studentized": rng.normal(size=60_000)})
    figure = qq_plot(Diagnostics(rows, {}, {}, None))
    _, y = drawn(figure.axes[0], 1)
    assert len(y) == 20_000
    assert y[0] == rows["studentized"].min()
    assert y[-1] == rows["studentized"].max()


def test_residuals_against_fitted() -> None:
    figure = residual_plot(found())
    for ax, kind in zip(figure.axes, ("", "marginal_"), strict=True):
        x, y = drawn(ax, 0)
        both = pd.DataFrame({"x": x, "y": y}).sort_values(["x", "y"]).to_numpy()
        rows = found().rows[[f"{kind}fitted", f"{kind}studentized"]].to_numpy()
        np.testing.assert_allclose(both, rows[np.lexsort(rows.T[::-1])])


def test_spread_by_group() -> None:
    shuffled = table()["g"].sample(frac=1, random_state=3)
    for codes in (table()["g"], shuffled, table()["g"].to_numpy(), table()["g"].tolist()):
        _, y = drawn(scale_location_plot(found(), codes).axes[1], 1)
        squares = found().rows["studentized"] ** 2
        np.testing.assert_allclose(y, np.sqrt(squares.groupby(table()["g"]).mean()))
    with pytest.raises(DataError, match="one group for each of the 180 rows"):
        scale_location_plot(found(), [1, 2])


def test_influence_names_the_largest() -> None:
    (ax,) = influence_plot(found(), label=3).axes
    named = {text.get_text() for text in ax.texts}
    assert named == set(found().groups["g"]["cooks_d"].nlargest(3).index.astype(str))
    crossed = found("y ~ x + (1 | g) + (1 | h)")
    with pytest.raises(OptionError, match="name one of the grouping factors g, h"):
        influence_plot(crossed)
    assert len(influence_plot(crossed, "h").axes) == 1


def test_effects_lines_points_and_panels() -> None:
    one = effects_plot(tl.effects(fit(), {"x": [-1, 0, 1]}))
    x, y = drawn(one.axes[0], 0)
    np.testing.assert_allclose(x, [-1, 0, 1])
    np.testing.assert_allclose(y, tl.effects(fit(), {"x": [-1, 0, 1]}).frame["estimate"])
    three = effects_plot(tl.effects(fit(), ["x", "w", "k"]))
    assert [ax.get_title(loc="left") for ax in three.axes] == ["k = a", "k = b"]
    assert three.axes[0].get_ylim() == three.axes[1].get_ylim()
    points = effects_plot(tl.effects(fit(), ["k", "w"]))
    assert [t.get_text() for t in points.axes[0].get_xticklabels()] == ["a", "b"]
    large = fit("y ~ x + w + k + h + (1 | g)")
    with pytest.raises(OptionError, match="three predictors at most"):
        effects_plot(tl.effects(large, {"x": [0], "w": [0], "k": None, "h": [1]}))


def test_regions_are_marked() -> None:
    regions = tl.johnson_neyman(fit(), "x", "w", span=(-4, 4))
    assert regions.bounds
    (ax,) = johnson_neyman_plot(regions).axes
    marked = [float(text.get_text()) for text in ax.texts]
    np.testing.assert_allclose(marked, regions.bounds, rtol=1e-2)
