import sys

import numpy as np
import pandas as pd
import pytest

from teamlink.errors import DataError, OptionError
from teamlink.report.plots import caterpillar, coverage_plot, replicates_plot


def effects(groups: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    values = {"Intercept": rng.normal(size=groups), "ses": rng.normal(size=groups)}
    se = {f"{name}_se": np.full(groups, 0.4) for name in values}
    index = pd.Index([f"s{i}" for i in range(groups)], name="school")
    return pd.DataFrame(values | se, index=index)


def payload(replicates: int = 100) -> dict[str, object]:
    rng = np.random.default_rng(2)
    runs = []
    for scenario, mean in (("study", 1.0), ("control 1", 0.0), ("control 2", -1.0)):
        b = rng.normal(mean, 0.3, replicates)
        numbers = {
            "estimate": b,
            "conf_low": b - 0.6,
            "conf_high": b + 0.6,
            "true_value": 0 * b + mean,
        }
        runs.append(
            {"claim": "A1", "scenario": scenario} | {k: v.tolist() for k, v in numbers.items()}
        )
    claim = {"claim": "A1", "text": "More is more", "published": "positive"}
    controls = [{"claim": "A1", "control": c} for c in ("effect zero", "sign flipped")]
    return {"claims": [claim], "controls": controls, "runs": runs}


def test_caterpillar_is_ordered_and_marks_what_leaves_out_zero() -> None:
    frame = effects(30)
    figure = caterpillar(frame, "Intercept")
    (ax,) = figure.axes
    drawn = np.concatenate([line.get_xdata() for line in ax.lines[1:]])
    assert sorted(drawn) == sorted(frame["Intercept"])
    away = np.abs(frame["Intercept"]) > 1.959964 * 0.4
    assert len(ax.lines[2].get_xdata()) == away.sum()
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == list(frame["Intercept"].sort_values().index)


def test_caterpillar_takes_all_factors_and_draws_the_one_named() -> None:
    both = {"school": effects(5), "child": effects(7)}
    drawn = caterpillar(both, group="child")
    alone = caterpillar(both["child"])
    assert len(drawn.axes[0].get_yticklabels()) == len(alone.axes[0].get_yticklabels()) == 7
    assert len(caterpillar({"school": effects(5)}).axes[0].get_yticklabels()) == 5
    with pytest.raises(OptionError, match="name one of the grouping factors school, child"):
        caterpillar(both)
    with pytest.raises(OptionError, match="did you mean 'child'"):
        caterpillar(both, group="chld")
    with pytest.raises(OptionError, match="not with one frame"):
        caterpillar(effects(5), group="child")


def test_caterpillar_shows_all_terms_and_no_labels_for_many_groups() -> None:
    figure = caterpillar(effects(120))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Intercept", "ses"]
    assert not figure.axes[0].get_yticks().size


def test_caterpillar_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(DataError, match="did you mean 'Intercept'"):
        caterpillar(effects(5), "Intercpt")
    with pytest.raises(DataError, match="_se"):
        caterpillar(pd.DataFrame({"Intercept": [1.0]}))
    with pytest.raises(OptionError, match="level=95"):
        caterpillar(effects(5), level=95)


def test_every_replicate_is_drawn_once() -> None:
    figure = replicates_plot(payload(100))
    (ax,) = figure.axes
    dots = sum(len(c.get_offsets()) for c in ax.collections)
    assert dots == 300
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        *("as the study", "effect zero", "sign flipped")
    ]


def test_coverage_plot_draws_the_misses_apart() -> None:
    data = payload(200)
    (ax,) = coverage_plot(data, "A1").axes
    run = data["runs"][0]  # type: ignore[index]
    missed = np.abs(np.array(run["estimate"]) - 1.0) > 0.6
    assert [len(c.get_segments()) for c in ax.collections] == [200 - missed.sum(), missed.sum()]
    with pytest.raises(DataError, match="did you mean 'A1'"):
        coverage_plot(data, "A")


def test_no_global_figure_is_opened() -> None:
    replicates_plot(payload(10))
    assert "matplotlib.pyplot" not in sys.modules
