"""Path diagrams: what is drawn, where it stands, and that no label lies on anything."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
import types
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyBboxPatch, Polygon, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

import teamlink as tl
from teamlink.report.path_graph import Shown, graphs
from teamlink.report.path_layout import Sizes, lay_out
from teamlink.report.plots import DARK
from teamlink.structural.result import StructuralFit

Drawn = tuple[Figure, dict[str, list[Text]], dict[str, list[Bbox]]]
REFERENCE = Path(__file__).parents[1] / "reference"


def parser(room: str) -> types.ModuleType:
    name = f"path_diagram_{room}_parse"
    spec = importlib.util.spec_from_file_location(name, REFERENCE / room / "parse.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


TWO_LEVELS = """
level: 1
  fw =~ y1 + y2 + y3
  fw ~ x1 + x2 + x3
level: 2
  fb =~ y1 + y2 + y3
  fb ~ w1 + w2
"""

SCHOOLS = """
level: 1
  math ~ collab
level: 2
  collab ~ lead
  math ~ collab + lead
"""

IMPROPER = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"


def schools() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    school = np.repeat(np.arange(60), 15)
    lead = rng.normal(size=60)
    between = 0.5 * lead + 0.7 * rng.normal(size=60)
    collab = between[school] + rng.normal(size=900)
    own = 0.6 * between + 0.6 * rng.normal(size=60)
    slope = 0.3 + 0.3 * rng.normal(size=60)
    math = own[school] + slope[school] * collab + rng.normal(size=900)
    return pd.DataFrame({"school": school, "lead": lead[school], "collab": collab, "math": math})


def improper() -> pd.DataFrame:
    """A factor whose last indicator correlates too little for a positive residual of the first."""
    R = np.eye(6)
    R[:3, :3] = [[1, 0.85, 0.7], [0.85, 1, 0.5], [0.7, 0.5, 1]]
    R[3:, 3:] = 0.5 + 0.5 * np.eye(3)
    R[:3, 3:] = R[3:, :3] = 0.1
    z = np.random.default_rng(1).normal(size=(200, 6))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / 200)).T @ np.linalg.cholesky(R).T
    return pd.DataFrame(z, columns=[f"x{i}" for i in range(1, 7)])


@cache
def fit(key: str) -> StructuralFit:
    if key == "two_levels":
        return tl.sem(TWO_LEVELS, pd.read_csv(REFERENCE / "twolevel" / "demo.csv.gz"), "cluster")
    if key == "schools":
        return tl.sem(SCHOOLS, schools(), "school")
    if key == "slopes":
        return tl.sem(SCHOOLS.replace("~ collab\n", '~ rv("s")*collab\n', 1), schools(), "school")
    if key == "improper":
        return tl.sem(IMPROPER, improper())
    lavaan = parser("lavaan")
    known = lavaan.SPECIFIED[key]
    return tl.sem(known["model"], lavaan.data(known["data"]), **known["options"])


EVERY = (
    "hs", "democracy", "two_levels", "schools", "slopes", "improper", "hs_configural", "hs_higher",
    "hs_bifactor", "hs_mimic", "hs_feedback", "hs_single", "growth_covariates", "growth",
    "burns", "burns_groups",
)  # fmt: skip


ERRORS = {"estimates": "raw", "uncertainty": "se"}
ALL = {"variances": True, "intercepts": True}
DRAWN = [
    *((key, {}) for key in EVERY),
    *((key, ERRORS) for key in ("hs", "two_levels")),
    *((key, ALL) for key in ("improper", "growth")),
    *(pytest.param(key, ERRORS, marks=pytest.mark.slow) for key in ("democracy", "slopes")),
    *(pytest.param(key, ALL, marks=pytest.mark.slow) for key in ("hs", "democracy", "two_levels")),
]


def rendered(figure: Figure) -> tuple[dict[str, list[Text]], dict[str, list[Bbox]]]:
    """Texts by what they are, and their boxes in pixels as the renderer draws them."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts: dict[str, list[Text]] = {"node": [], "label": [], "title": [], "note": []}
    for text in figure.axes[0].texts:
        texts[str(text.get_gid())].append(text)
    renderer = canvas.get_renderer()
    boxes = {k: [t.get_window_extent(renderer) for t in own] for k, own in texts.items()}
    return texts, boxes


@cache
def drawn(key: str, options: tuple[tuple[str, object], ...]) -> Drawn:
    """A diagram, its texts and their boxes, drawn once for all tests that only look at it."""
    figure = tl.path_diagram(fit(key), **dict(options))  # type: ignore[arg-type]
    return figure, *rendered(figure)


def shapes(figure: Figure) -> list[Bbox]:
    """The outlines of all nodes, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    kinds = (Ellipse, Rectangle, FancyBboxPatch)
    return [p.get_window_extent(renderer) for p in figure.axes[0].patches if isinstance(p, kinds)]


def overlap(one: Bbox, two: Bbox) -> bool:
    return bool(
        min(one.x1, two.x1) > max(one.x0, two.x0) and min(one.y1, two.y1) > max(one.y0, two.y0)
    )


class TestNothingLiesOnAnything:
    @pytest.mark.parametrize(("key", "options"), DRAWN)
    def test_labels(self, key: str, options: dict[str, object]) -> None:
        figure, _, boxes = drawn(key, tuple(options.items()))
        words = boxes["label"] + boxes["title"] + boxes["note"]
        for one, two in itertools.combinations(words, 2):
            assert not overlap(one, two)
        for label, node in itertools.product(words, shapes(figure)):
            assert not overlap(label, node)
        sheet = figure.bbox
        assert all(sheet.x0 <= b.x0 and b.x1 <= sheet.x1 for b in words + shapes(figure))
        assert all(sheet.y0 <= b.y0 and b.y1 <= sheet.y1 for b in words + shapes(figure))

    @pytest.mark.parametrize("key", EVERY)
    def test_nodes_hold_their_names_and_keep_apart(self, key: str) -> None:
        figure, _, boxes = drawn(key, ())
        outlines = shapes(figure)[::2]
        for one, two in itertools.combinations(outlines, 2):
            assert not overlap(one, two)
        for name in boxes["node"]:
            assert any(o.x0 < name.x0 and name.x1 < o.x1 for o in outlines)


class TestContents:
    def texts(self, key: str, kind: str = "label", **options: object) -> list[str]:
        if "names" in options:  # a dictionary, which no cache takes
            texts, _ = rendered(tl.path_diagram(fit(key), **options))  # type: ignore[arg-type]
        else:
            _, texts, _ = drawn(key, tuple(options.items()))
        return [t.get_text() for t in texts[kind]]

    def test_every_estimate_is_there(self) -> None:
        frame = fit("democracy").standardized
        p = fit("democracy").standardized["pvalue"]
        shown = frame[(frame["lhs"] != frame["rhs"])]
        wanted = [
            f"{value:.2f}" + "*" * sum(own < bound for bound in (0.05, 0.01, 0.001))
            for value, own in zip(shown["est_std"], p[shown.index], strict=True)
        ]
        assert sorted(self.texts("democracy")) == sorted(wanted)
        assert len(wanted) == 11 + 3 + 6

    def test_raw_estimates_with_errors(self) -> None:
        raw = fit("hs").parameters
        row = raw[(raw["lhs"] == "visual") & (raw["rhs"] == "x2")].iloc[0]
        found = self.texts("hs", estimates="raw", uncertainty="se", digits=3)
        assert f"{row['est']:.3f} ({row['se']:.3f})" in found
        assert found.count("1") == 3  # markers

    def test_variances_and_intercepts_only_on_request(self) -> None:
        plain = len(self.texts("growth"))
        assert len(self.texts("growth", variances=True)) == plain + 6
        assert len(self.texts("growth", intercepts=True)) == plain + 2
        assert len(self.texts("growth", covariances=False)) == plain - 1
        assert self.texts("growth", estimates="none") == []

    def test_sample_moments_are_no_parameters(self) -> None:
        assert len(self.texts("burns", variances=True)) == 6 + 3

    def test_negative_variance_is_drawn_and_named(self) -> None:
        assert fit("improper").improper
        assert any(text.startswith("\N{MINUS SIGN}") for text in self.texts("improper"))
        notes = " ".join(self.texts("improper", "note"))
        assert "Improper: the variance of x1 is negative" in notes
        figure = drawn("improper", ())[0]
        colours = {str(p.get_edgecolor()) for p in figure.axes[0].patches}
        warned = drawn("hs", ())[0]
        assert not colours <= {str(p.get_edgecolor()) for p in warned.axes[0].patches}

    def test_shapes_say_what_a_variable_is(self) -> None:
        patches = drawn("two_levels", ())[0].axes[0].patches
        assert sum(isinstance(p, Ellipse) for p in patches) == 2 * 2
        assert sum(type(p) is Rectangle for p in patches) == 2 * (3 + 3 + 2)
        assert sum(isinstance(p, FancyBboxPatch) for p in patches) == 2 * 3
        triangles = tl.path_diagram(fit("growth"), intercepts=True).axes[0].patches
        assert sum(type(p) is Polygon for p in triangles) == 2

    def test_panels_of_levels_and_groups(self) -> None:
        assert self.texts("two_levels", "title") == ["between cluster", "within cluster"]
        assert self.texts("hs_configural", "title") == ["school: Pasteur", "school: Grant-White"]

    def test_random_slope(self) -> None:
        assert "s" in self.texts("slopes", "node")
        assert "s" in self.texts("slopes")
        with pytest.raises(tl.OptionError, match="take 'raw'"):
            tl.path_diagram(fit("slopes"), "standardized")

    def test_names(self) -> None:
        found = self.texts("burns", "node", names={"RUM": "rumination\nafter $2"})
        assert "rumination\nafter $2" in found
        with pytest.raises(tl.OptionError, match="did you mean 'RUM'"):
            tl.path_diagram(fit("burns"), names={"RAM": "x"})

    def test_dark(self) -> None:
        figure = tl.path_diagram(fit("burns"), palette=DARK)
        assert {t.get_color() for t in rendered(figure)[0]["node"]} == {DARK.ink}
        assert figure.patch.get_alpha() == 0

    def test_refused(self) -> None:
        with pytest.raises(tl.OptionError, match=r"tl\.sem"):
            tl.path_diagram(None)  # type: ignore[arg-type]
        with pytest.raises(tl.OptionError, match="did you mean 'stars'"):
            tl.path_diagram(fit("hs"), uncertainty="star")  # type: ignore[arg-type]
        with pytest.raises(tl.OptionError, match="digits"):
            tl.path_diagram(fit("hs"), digits=-1)


class TestLayout:
    sizes = Sizes((0.5, 0.2), (0.3, 0.15), 1.0, 1.0, 0.4)
    shown = Shown("raw", "none", True, False, False, 2)

    def boxes(self, key: str) -> tuple[dict[str, object], ...]:
        panels = graphs(fit(key), self.shown)
        found = lay_out([panels[1, level] for level in sorted({k[1] for k in panels})], self.sizes)
        return tuple(dict(own) for own in found)

    def test_effects_run_from_left_to_right(self) -> None:
        (boxes,) = self.boxes("democracy")
        x = {name: box.x for name, box in boxes.items()}  # type: ignore[attr-defined]
        assert x["x1"] < x["ind60"] < x["dem60"] < x["dem65"] < x["y1"] == x["y8"]

    def test_same_variables_stand_in_the_same_columns_of_both_levels(self) -> None:
        for key, names in (("two_levels", ["y1", "y2", "y3"]), ("schools", ["collab", "math"])):
            within, between = self.boxes(key)
            for name in names:
                assert within[name].x == between[name].x  # type: ignore[attr-defined]

    def test_the_upper_level_keeps_the_order_of_the_lower_one(self) -> None:
        within, between = self.boxes("two_levels")
        for boxes in (within, between):
            assert boxes["y1"].y > boxes["y2"].y > boxes["y3"].y  # type: ignore[attr-defined]

    def test_a_cycle_is_cut(self) -> None:
        (boxes,) = self.boxes("hs_feedback")
        x = {name: box.x for name, box in boxes.items()}  # type: ignore[attr-defined]
        assert x["x1"] == x["x2"] < min(x["x4"], x["x7"]) < max(x["x4"], x["x7"])

    def test_general_factor_stands_opposite(self) -> None:
        (boxes,) = self.boxes("hs_bifactor")
        x = {name: box.x for name, box in boxes.items()}  # type: ignore[attr-defined]
        assert x["textual"] == x["speed"] < x["x1"] == x["x9"] < x["g"]

    def test_arrows_end_at_their_nodes(self) -> None:
        figure = tl.path_diagram(fit("burns"), estimates="none")
        assert re.fullmatch(
            r"Dashed: negative\. Grey: .*", rendered(figure)[0]["note"][0].get_text()
        )
