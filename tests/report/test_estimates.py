"""Tables of structural equations: every number is there, in every format."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.report.sheet import Section, Sheet, write
from teamlink.structural.result import StructuralFit

HERE = Path(__file__).parents[1] / "reference"
FACTORS = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6"
MORE = f"{FACTORS}\nspeed =~ x7 + a*x8 + b*x9\nspeed ~ visual\nratio := a / b"


@cache
def fit(model: str = FACTORS, **options: object) -> StructuralFit:
    data = pd.read_csv(HERE / "lavaan" / "data" / "hs.csv")
    return tl.sem(model, data, **options)  # type: ignore[arg-type]


@cache
def two_levels() -> StructuralFit:
    data = pd.read_csv(HERE / "twolevel" / "demo.csv.gz")
    model = "level: 1\nfw =~ y1 + y2 + y3\nfw ~ x1\nlevel: 2\nfb =~ y1 + y2 + y3\nfb ~ w1"
    return tl.sem(model, data, "cluster")


def cells(markdown: str) -> dict[str, list[str]]:
    """Rows of a Markdown table by their first cell, the last of equals."""
    rows = [line.strip("|").split(" | ") for line in markdown.split("\n") if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


class TestOneFit:
    def test_every_parameter_with_its_numbers(self) -> None:
        own = fit(MORE)
        found = cells(tl.table(own, digits=4))
        names = {"=~": "{rhs} ← {lhs}", "~": "{lhs} ← {rhs}", "~~": "{lhs} ↔ {rhs}", ":=": "{lhs}"}
        for row in own.parameters.to_dict("records"):
            same = row["lhs"] == row["rhs"]
            label = row["lhs"] if same else names[row["op"]].format(**row)
            shown = [cell.replace("−", "-") for cell in found[label]]
            assert shown[0] == f"{row['est']:.4f}"
            assert shown[-1] == f"{row['std_all']:.4f}"
            if row["se"] > 0:
                assert shown[1] == f"{row['se']:.4f}"
                assert shown[4] == f"[{row['ci_lower']:.4f}, {row['ci_upper']:.4f}]"
            else:
                assert shown[1:5] == ["", "", "", ""]

    def test_sections_in_order(self) -> None:
        heads = re.findall(r"^\| \*\*(.+?)\*\*", tl.table(fit(MORE)), re.MULTILINE)
        assert heads == [
            "Loadings",
            "Regressions",
            "Covariances",
            "Variances",
            "Defined parameters",
        ]

    def test_foot_has_the_measures_of_fit(self) -> None:
        measures = fit(estimator="mlr").fit_measures
        found = cells(tl.table(fit(estimator="mlr")))
        assert found["*CFI*"][0] == f"{measures['cfi']:.3f}"
        scaled = found["*χ², scaled (df), p*"][0]
        assert scaled.startswith(f"{measures['chisq_scaled']:.3f} ({measures['df']:.0f}), ")

    def test_levels_and_groups_are_in_the_headings(self) -> None:
        text = tl.table(two_levels(), "text")
        assert "Loadings, within cluster\n" in text
        assert "Loadings, between cluster\n" in text
        assert re.search(r"^Clusters +200$", text, re.MULTILINE)
        assert "Loadings, school Grant-White\n" in tl.table(fit(group="school"), "text")

    def test_sample_moments_are_left_out(self) -> None:
        assert "\n  x1 " not in tl.table(two_levels(), "text").partition("Variances, within")[2]

    def test_formats_hold_the_same_numbers(self) -> None:
        texts = {
            f: tl.table(two_levels(), f, "A & B") for f in ("text", "markdown", "latex", "html")
        }
        numbers = {f: re.findall(r"\d+\.\d{3}", text) for f, text in texts.items()}
        assert len(numbers["text"]) > 100
        assert all(numbers[f] == numbers["text"] for f in texts)
        assert r"A \& B" in texts["latex"]
        assert "A &amp; B" in texts["html"]
        assert texts["latex"].count(r"\begin{") == texts["latex"].count(r"\end{") == 2
        assert texts["html"].count("<tr>") == texts["html"].count("</tr>")
        assert texts["html"].count("<tbody>") == 7

    def test_improper_solution_is_said(self) -> None:
        rng = np.random.default_rng(3)
        z = rng.normal(size=(60, 3))
        z[:, 2] = 0.2 * z[:, 0] + rng.normal(size=60)
        z[:, 1] = z[:, 0] + 0.1 * rng.normal(size=60)
        own = tl.sem("f =~ a + b + c", pd.DataFrame(z, columns=["a", "b", "c"]))
        assert bool(own.improper) == ("Improper: " in tl.table(own))
        other = tl.table([own, fit()])
        assert bool(own.improper) == ("Model 1: Improper" in other)
        assert own.improper

    def test_random_slopes_have_no_standard_values(self) -> None:
        rng = np.random.default_rng(4)
        school = np.repeat(np.arange(50), 12)
        x = rng.normal(size=600)
        slope, own = 0.4 + 0.3 * rng.normal(size=50), rng.normal(size=50)
        y = own[school] + slope[school] * x + rng.normal(size=600)
        frame = pd.DataFrame({"school": school, "x": x, "y": y, "w": own[school]})
        model = 'level: 1\ny ~ rv("s")*x\nlevel: 2\ns ~ w\ny ~ w'
        random = tl.sem(model, frame, "school")
        assert cells(tl.table(random))["s ← w"][-1] == ""
        with pytest.raises(tl.OptionError, match="'random' has random slopes"):
            tl.table({"random": random}, standardized=True)


class TestSeveralFits:
    def test_each_has_a_column_and_gaps_where_it_lacks_a_parameter(self) -> None:
        found = cells(tl.table({"two": fit(), "three": fit(MORE)}))
        assert found["speed ← visual"][0] == ""
        assert re.fullmatch(r"\d\.\d{3}\*\*\* \(\d\.\d{3}\)", found["speed ← visual"][1])
        assert found["visual ↔ textual"][0] != found["visual ↔ textual"][1]
        assert found["*Rows*"] == ["301", "301"]

    def test_standardized(self) -> None:
        frame = fit().standardized
        row = frame[(frame["lhs"] == "textual") & (frame["rhs"] == "x5")].iloc[0]
        found = cells(tl.table([fit()], standardized=True))
        assert found["x5 ← textual"] == [f"{row['est_std']:.3f}*** ({row['se']:.3f})"]

    def test_rows_keep_the_order_of_their_models(self) -> None:
        order = list(cells(tl.table([fit(MORE), fit()])))
        assert order.index("x3 ← visual") < order.index("x4 ← textual") < order.index("x7 ← speed")

    def test_refused(self) -> None:
        mixed = tl.lmm("mathach ~ ses + (1 | school)", tl.datasets.load("hsb82"))
        with pytest.raises(tl.OptionError, match=r"'mixed' is no fit by tl\.sem"):
            tl.table({"mixed": mixed})
        for wrong in (3, "fit"):
            with pytest.raises(tl.OptionError, match="a data frame, a fit or several fits"):
                tl.table(wrong)  # type: ignore[arg-type]
        with pytest.raises(tl.OptionError, match="no fit to show"):
            tl.table([])

    def test_other_fits_are_shown_by_their_tidy_frame(self) -> None:
        mixed = tl.lmm("mathach ~ ses + (1 | school)", tl.datasets.load("hsb82"))
        assert tl.table(mixed) == tl.table(mixed.tidy())


class TestEffects:
    frame = pd.DataFrame(
        {
            "effect": ["indirect", "direct", "indirect"], "level": ["between", "between", "within"],
            "path": ["x → m → y", "x → y", None], "estimate": [0.25, -0.1, 0.05],
            "std_error": [0.1, 0.05, 0.01], "conf_low": [0.06, -0.2, 0.03],
            "conf_high": [0.45, 0.0, 0.07],
        }
    )  # fmt: skip

    def test_levels_are_sections(self) -> None:
        lines = tl.effects_table(self.frame, "text").split("\n")
        assert [line.split("  ")[0] for line in lines[2:]] == ["Between", "", "", "Within", ""]
        assert "indirect: x → m → y" in lines[3]
        assert "[0.060, 0.450]" in lines[3]
        assert "−0.100" in lines[4]

    def test_of_a_mediation_model_are_its_effects(self) -> None:
        hsb = tl.datasets.load("hsb82").assign(catholic=lambda d: (d["sector"] == "Catholic") * 1.0)
        found = tl.mediate("2-1-1", x="catholic", m="ses", y="mathach", data=hsb, cluster="school")
        assert tl.effects_table(found) == tl.effects_table(found.effects)
        assert "indirect: catholic -> ses -> mathach" in tl.effects_table(found)

    def test_defined_parameters(self) -> None:
        found = cells(tl.effects_table(fit(MORE)))
        value = fit(MORE).params["ratio"]
        assert found["ratio"][0] == f"{value:.3f}"
        with pytest.raises(tl.DataError, match="indirect := a\\*b"):
            tl.effects_table(fit())

    def test_a_frame_without_intervals_is_refused(self) -> None:
        with pytest.raises(tl.DataError, match="'conf_low'"):
            tl.effects_table(self.frame.drop(columns="conf_low"))


def test_a_sheet_without_headings_is_not_indented() -> None:
    text = write(Sheet(("", "n"), (Section("", [("a", "1")]),), (("sum", "1"),)), "text")
    assert text.split("\n") == ["     n", "------", "a    1", "------", "sum  1"]
