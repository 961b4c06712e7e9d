"""Shares of a weighted poll: against deleting respondents one by one, and without the weights."""

import numpy as np
import pandas as pd
import pytest

from teamlink.errors import FitError
from teamlink.registry.analyses import share
from teamlink.registry.analyses.share import ShareAnalysis, weighted_contrast
from teamlink.registry.analysis import FIELDS
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.replicate import replicate
from teamlink.registry.study import Claim
from teamlink.typing import Array

CLAIM = Claim("C1", "", "trust", "share", "positive", "respondent", "poll")


def poll(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "respondent": np.arange(n),
            "role": np.where(np.arange(n) < n // 3, "principal", "teacher"),
            "weight": rng.uniform(0.4, 2.5, n),
            "trust": rng.integers(1, 5, n).astype(float),
        }
    )
    frame.loc[::17, "trust"] = np.nan
    return frame


def answer(model: ShareAnalysis, frame: pd.DataFrame) -> dict[str, float]:
    files = Prepared({"respondents": frame}, {"respondents": ("respondent",)})
    return dict(zip(FIELDS, model.estimate([CLAIM], [files])[0, 0].tolist(), strict=True))


def test_a_share_less_its_benchmark() -> None:
    frame = poll().dropna()
    found = answer(ShareAnalysis("trust", least=3.0, benchmark=0.25), poll())
    expected = np.average(frame["trust"] >= 3, weights=frame["weight"]) - 0.25
    assert found["estimate"] == pytest.approx(expected)
    assert found["df"] == len(frame) - 1
    above = answer(ShareAnalysis("trust", above=2.0, benchmark=0.25), poll())
    assert above == found
    own = frame[frame["role"] == "teacher"]
    mean = answer(ShareAnalysis("trust", by="role", groups=("teacher",)), poll())
    assert mean["estimate"] == pytest.approx(np.average(own["trust"], weights=own["weight"]))


def test_standard_errors_are_those_of_deleting_one_by_one() -> None:
    frame = poll().dropna()
    model = ShareAnalysis("trust", above=3.0, by="role", groups=("principal", "teacher"))
    found = answer(model, frame)

    y, principal = (frame["trust"] > 3).to_numpy(), (frame["role"] == "principal").to_numpy()
    n = len(frame)
    # every row of weights leaves one respondent out; the last leaves out none
    w = frame["weight"].to_numpy() * np.vstack([1 - np.eye(n), np.ones(n)])
    parts = [(w * y)[:, own].sum(axis=1) / w[:, own].sum(axis=1) for own in (principal, ~principal)]
    *deleted, whole = parts[0] - parts[1]
    assert found["estimate"] == pytest.approx(whole)
    jackknife = np.sqrt((n - 1) / n * np.square(deleted - np.mean(deleted)).sum())
    # both are the variance of the same linear part; the rest is of order 1 / 60, the smaller group
    assert found["std_error"] == pytest.approx(jackknife, rel=0.02)


def test_with_equal_weights_it_is_the_textbooks() -> None:
    y = np.repeat([1.0, 0.0], [30, 70])
    estimate, std_error, df = weighted_contrast(y, np.full(100, 2.0), np.ones(100))
    assert (estimate, df) == (0.3, 99)
    assert std_error == pytest.approx(np.sqrt(0.3 * 0.7 / 99))


def test_a_group_of_one_fails_the_replicate() -> None:
    with pytest.raises(FitError, match="each group"):
        weighted_contrast(np.ones(3), np.ones(3), np.array([1.0, 1, -1]))


def test_faults_of_a_model_come_together() -> None:
    layout = Layout({"respondents": ("respondent", "weight", "trust")}, {})
    model = ShareAnalysis("trusts", above=1, least=2, benchmark=0.5, by="role", groups=("a", "b"))
    texts = [str(f) for f in model.faults(layout)]
    assert len(texts) == 4
    assert "did you mean 'trust'" in texts[2]
    terms = ShareAnalysis("trust", by="role", groups=("a", "b")).term_faults(CLAIM, None)
    assert [f.remedy for f in terms] == ["say 'difference'"]


def test_dropped_weights_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(y: Array, w: Array, side: Array) -> tuple[float, float, int]:
        return weighted_contrast(y, np.ones_like(w), side)

    monkeypatch.setattr(share, "weighted_contrast", plain)
    again = replicate("metlife-2009", replicates=15)
    assert not again.ok
