import re

import numpy as np
import pytest

from teamlink.report.strips import Axis, spread_row

AXIS = Axis(-9.0, 9.0)


@pytest.mark.parametrize(
    ("mean", "drawn"), [(38.0, "38 \u2192"), (-19.0, "\u2190 \u221219"), (9.6, "10 \u2192")]
)
def test_a_mean_beyond_the_axis_is_an_arrow_with_its_number(mean: float, drawn: str) -> None:
    text = spread_row(np.array([mean - 1, mean + 1]), AXIS, 0, "holds")
    assert "<circle" not in text
    assert f">{drawn}</text>" in text


@pytest.mark.parametrize("mean", [-9.0, -0.3, 0.0, 8.9])
def test_a_mean_on_the_axis_is_a_dot_at_its_place(mean: float) -> None:
    text = spread_row(np.array([mean, mean]), AXIS, 0, "holds")
    found = re.search(r'<circle cx="([\d.]+)%"', text)
    assert found is not None
    # the edge keeps half a per cent, so that a dot is not cut in half
    assert float(found[1]) == pytest.approx(100 * (mean + 9) / 18, abs=0.55)
    assert "<text" not in text
