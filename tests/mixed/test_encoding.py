"""Columns from formula text: plain sums, formulaic's coding, and the memory for new data."""

from __future__ import annotations

import formulaic
import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.mixed.encoding import encode


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": rng.normal(size=30),
            "k": rng.integers(0, 5, 30),
            "h": rng.normal(size=30),
            "flag": rng.random(30) < 0.5,
            "c": np.resize(["b", "a", "d"], 30),
            "g": np.resize([3, 1, 2, 1, 3], 30),
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "1", "1 + x", "0 + x", "1 + x + k", "0 + k + x", "1 + c", "0 + c", "1 + x + flag",
        "1 + x * c", "1 + x + 0", "0 + 1 + x", "1 + x + x", "1 + x:k", "1 + np.log(k + 1)",
        "1 + `x`", "1 + (x + k)", "1 + x * k", "0 + x * k * h", "1 + k:x + x * h", "1 + x:h:k + k",
        "1 + x * k + x * h", "1 + k * x + x:k", "1 + x * x", "1 + x * c * k", "1 + x:k + x * h + k",
        "x * k", "1 + x * k:h",
    ],
)  # fmt: skip
def test_columns_and_names_are_those_of_formulaic(frame, text):
    if "np." in text:
        text = text.replace("np.log(k + 1)", "log(k + 1)")
    columns, encoding = encode({"part": text}, frame, text)["part"]
    theirs = formulaic.Formula(part=text).get_model_matrix(frame, context={"log": np.log}).part
    assert columns == pytest.approx(theirs.to_numpy(dtype=float))
    assert list(encoding.names) == list(theirs.columns)
    assert encoding.columns(frame) == pytest.approx(columns)
    assert encoding.columns(frame.head(4)) == pytest.approx(columns[:4])


def test_several_parts_share_one_pass_and_keep_their_own_terms(frame):
    done = encode({"fixed": "1 + x + c", "random0": "0 + x", "random1": "1"}, frame, "")
    assert done["fixed"][1].names == ("Intercept", "x", "c[T.b]", "c[T.d]")
    assert done["random0"][1].names == ("x",)
    assert done["random1"][1].intercept == 0
    assert set(done["fixed"][1].variables) == {"x", "c"}


def test_group_means_are_remembered_and_learned_for_new_groups(frame):
    columns, encoding = encode({"p": "1 + between(x, g) + within(x, g)"}, frame, "")["p"]
    means = frame.groupby("g")["x"].transform("mean").to_numpy()
    assert columns[:, 1] == pytest.approx(means)
    assert columns[:, 2] == pytest.approx(frame["x"] - means)
    new = pd.DataFrame({"x": [10.0, 20.0, 40.0], "g": [1, 9, 9]})
    assert encoding.columns(new)[:, 1] == pytest.approx([means[frame["g"] == 1][0], 30.0, 30.0])


def test_new_categories_are_refused_only_where_they_are_used(frame):
    done = encode({"a": "1 + c", "b": "1 + x + flag"}, frame, "")
    new = frame.head(2).assign(c=["a", "z"])
    with pytest.raises(tl.DataError, match="has not seen 'z'"):
        done["a"][1].columns(new)
    assert done["b"][1].columns(new).shape == (2, 3)
