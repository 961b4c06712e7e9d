"""The data sets that ship are those that the script made from R's."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import teamlink as tl

MADE_BY = Path(__file__).parents[1] / "reference" / "datasets"
MADE: dict[str, Any] = json.loads((MADE_BY / "made.json").read_text(encoding="utf-8"))


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_script_and_record_belong_together() -> None:
    assert md5((MADE_BY / "make_datasets.R").read_bytes()) == MADE["script_md5"]


def test_names() -> None:
    assert tl.datasets.names() == sorted(MADE["frames"])


@pytest.mark.parametrize("name", MADE["frames"])
class TestEach:
    def test_file_is_the_one_that_the_script_wrote(self, name: str) -> None:
        file = resources.files("teamlink.data.datasets") / f"{name}.csv.gz"
        assert md5(file.read_bytes()) == MADE["csv_md5"][name]

    def test_frame_is_the_one_in_r(self, name: str) -> None:
        frame, made = tl.datasets.load(name), MADE["frames"][name]
        assert frame.shape == (made["rows"], len(made["columns"]))
        assert list(frame.columns) == made["columns"]
        assert not frame.isna().any().any()
        for column, there in made["numeric"].items():
            values = frame[column].astype(float)
            ours = [values.sum(), (values**2).sum(), values.min(), values.max(), values.nunique()]
            np.testing.assert_allclose(ours, list(there.values()), rtol=1e-12, atol=1e-9)
        for column, counts in made["text"].items():
            assert frame[column].value_counts().to_dict() == counts

    def test_each_load_is_a_new_frame(self, name: str) -> None:
        first = tl.datasets.load(name)
        first.iloc[0, 0] = -1
        assert tl.datasets.load(name).iloc[0, 0] != -1

    def test_description(self, name: str) -> None:
        text = tl.datasets.describe(name)
        assert "Provenance:" in text
        assert "Licence:" in text
        for column in tl.datasets.load(name).columns:
            assert re.search(rf"^ *{column}  +\S", text, re.MULTILINE), column

    def test_has_its_own_function(self, name: str) -> None:
        assert len(getattr(tl.datasets, name)()) == MADE["frames"][name]["rows"]


def test_hsb_meanses_is_the_mean_of_these_students() -> None:
    students = tl.datasets.load("hsb82")
    means = students.groupby("school")["ses"].transform("mean")
    np.testing.assert_allclose(students["meanses"], means, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(students["cses"], students["ses"] - students["meanses"])
    off = students["meanses_file"] - students["meanses"]
    np.testing.assert_allclose(off, 0.006, atol=0.0005)


def test_levels_are_nested_and_school_variables_constant() -> None:
    students = tl.datasets.load("hsb82")
    school = ["meanses", "meanses_file", "sector", "size", "pracad", "disclim", "himinty"]
    assert (students.groupby("school")[school].nunique() == 1).all().all()
    tl.validate(tl.datasets.load("egsingle"), nested=[("childid", "schoolid")])


@pytest.mark.parametrize("verb", [tl.datasets.load, tl.datasets.describe])
def test_unknown_name(verb: Any) -> None:
    with pytest.raises(tl.OptionError, match="did you mean 'hsb82'"):
        verb("hsb8")
