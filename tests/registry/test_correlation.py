import numpy as np
import pandas as pd
import pytest
from scipy import stats

from teamlink.errors import FitError
from teamlink.registry.analyses.correlation import CorrelationAnalysis
from teamlink.registry.analysis import FIELDS
from teamlink.registry.prepared import Prepared
from teamlink.registry.study import Claim

CLAIM = Claim("C1", "", "y", "x", "positive", "school", "abstract")


def answer(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    frame = pd.DataFrame({"school": np.arange(len(x)), "x": x, "y": y})
    files = Prepared({"schools": frame}, {"schools": ("school",)})
    found = CorrelationAnalysis().estimate([CLAIM], [files])
    assert found.shape == (1, 1, len(FIELDS))
    return dict(zip(FIELDS, found[0, 0].tolist(), strict=True))


def test_it_is_scipys() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(31)
    y = 0.4 * x + rng.standard_normal(31)
    x[4] = np.nan
    seen = ~np.isnan(x)
    theirs = stats.pearsonr(x[seen], y[seen])
    ends = theirs.confidence_interval(0.95)
    found = answer(x, y)
    expected = [theirs.statistic, theirs.pvalue, ends.low, ends.high, 28]
    names = ("estimate", "p_value", "conf_low", "conf_high", "df")
    np.testing.assert_allclose([found[n] for n in names], expected, rtol=1e-9)


def test_a_constant_column_fails_the_replicate() -> None:
    with pytest.raises(FitError, match="two columns that vary"):
        answer(np.ones(9), np.arange(9.0))
