import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.registry.analyses.sem import StructuralAnalysis
from teamlink.registry.analysis import FIELDS
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim

CHAIN = "collab ~ a*lead\nmath ~ b*collab + lead\nvia := a*b\n"
TWO = "level: 1\nmath ~ ses\nlevel: 2\nmath ~ b*collab\ncollab ~ a*lead\nvia := a*b\n"


def files(J: int = 60, n: int = 8) -> Prepared:
    rng = np.random.default_rng(5)
    lead = rng.standard_normal(J)
    collab = 0.5 * lead + rng.standard_normal(J)
    school = np.repeat(np.arange(J), n)
    level = 0.4 * collab + 0.5 * rng.standard_normal(J)
    ses = rng.standard_normal(J * n)
    students = pd.DataFrame(
        {"school": school, "ses": ses, "math": level[school] + ses + rng.standard_normal(J * n)}
    )
    means = students.groupby("school")["math"].mean().to_numpy()
    schools = pd.DataFrame(
        {"school": np.arange(J), "lead": lead, "collab": collab, "school_math": means}
    )
    keys = {"schools": ("school",), "students": ("student",)}
    return Prepared({"students": students, "schools": schools}, keys)


def claim(term: str) -> Claim:
    return Claim("C1", "", "math", term, "positive", "school", "abstract")


def test_claims_are_read_off_by_label_definition_and_parameter() -> None:
    prepared = files()
    model = StructuralAnalysis(CHAIN.replace("math", "school_math"))
    terms = ["a", "via", "school_math ~ lead", "school_math~collab"]
    found = model.estimate([claim(t) for t in terms[:3]], [prepared])[0]
    fit = tl.sem(model.equations, prepared.tables["schools"])
    table = fit.parameters
    rows = [
        table[table["label"] == "a"],
        table[table["lhs"] == "via"],
        table[(table["lhs"] == "school_math") & (table["rhs"] == "lead")],
    ]
    for numbers, row in zip(found, rows, strict=True):
        np.testing.assert_allclose(numbers[:2], row[["est", "se"]].to_numpy()[0], rtol=1e-10)
        np.testing.assert_allclose(
            numbers[3:6], row[["pvalue", "ci_lower", "ci_upper"]].to_numpy()[0], rtol=1e-6
        )
    assert FIELDS[:2] == ("estimate", "std_error")


def test_two_levels_and_columns_of_the_coarser_file() -> None:
    model = StructuralAnalysis(TWO, table="students", cluster="school")
    found = model.estimate(
        [claim("math ~ collab @ between"), claim("math ~ ses @ within")], [files()]
    )
    assert found.shape == (1, 2, len(FIELDS))
    assert 0.2 < found[0, 0, 0] < 0.6
    assert 0.9 < found[0, 1, 0] < 1.1


@pytest.mark.parametrize(
    ("term", "text", "good"),
    [
        ("via", CHAIN, True),
        ("math ~ collab", CHAIN, True),
        ("math ~ ses @ within", TWO, True),
        ("math ~ ses @ between", TWO, False),
        ("vai", CHAIN, False),
        ("collab ~ math", CHAIN, False),
    ],
)
def test_a_term_that_the_equations_do_not_have_is_refused(term: str, text: str, good: bool) -> None:
    faults = StructuralAnalysis(text).term_faults(claim(term), None)
    assert bool(faults) is not good
    if faults:
        assert faults[0].remedy


def test_equations_and_their_columns_are_checked() -> None:
    layout = Layout({"schools": ("school", "lead", "collab")}, {"schools": ("school",)})
    faults = StructuralAnalysis(CHAIN).faults(layout)
    assert [f.what for f in faults] == ["no column 'math' in schools"]
    assert "supported" in StructuralAnalysis("f <~ x1").faults(layout)[0].what
