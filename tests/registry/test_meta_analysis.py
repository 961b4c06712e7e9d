"""Pooled effects: the public function's numbers, and pooling that ignores heterogeneity."""

from collections.abc import Sequence

import numpy as np
import pytest

import teamlink as tl
from teamlink.registry.analyses.meta import MetaAnalysisModel
from teamlink.registry.analysis import FIELDS
from teamlink.registry.catalogue import find
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.replicate import replicate
from teamlink.registry.steps.effects import EffectsStep, difference_of_correlation
from teamlink.registry.study import Claim
from teamlink.typing import Array


def test_it_is_the_public_function_on_the_same_file() -> None:
    tables = tl.simulate_study("lomos-2011", seed=4)
    study = find("lomos-2011")
    files = EffectsStep().apply(Prepared(tables, study.design.keys))
    found = study.pipeline.models[0].analysis.estimate(study.claims, [files])[0, 0]
    pooled = tl.meta("effect", "variance", data=files.tables["studies"]).tidy().iloc[0]
    names = ("estimate", "std_error", "df", "p_value", "conf_low", "conf_high")
    expected = [float(pooled[n]) for n in names]
    np.testing.assert_allclose([found[FIELDS.index(n)] for n in names], expected, rtol=1e-12)


def test_moderators_are_coefficients() -> None:
    tables = tl.simulate_study("lomos-2011", seed=4)
    files = EffectsStep().apply(Prepared(tables, {"studies": ("study",)}))
    model = MetaAnalysisModel(moderators="design")
    claim = Claim("C1", "", "effect", "design[T.groups]", "null", "study", "abstract")
    assert not model.faults(files.layout)
    assert not model.term_faults(claim, files.layout)
    found = model.estimate([claim], [files])[0, 0, 0]
    theirs = tl.meta("effect", "variance", data=files.tables["studies"], moderators="design")
    assert found == pytest.approx(float(theirs.params["design[T.groups]"]))
    assert MetaAnalysisModel(method="fe").faults(None)
    assert len(MetaAnalysisModel(moderators="size").faults(files.layout)) == 1
    wrong = Claim("C1", "", "effects", "size", "null", "study", "abstract")
    assert len(model.term_faults(wrong, None)) == 2


def test_a_correlation_as_a_difference_has_the_variance_that_draws_have() -> None:
    rng = np.random.default_rng(5)
    r = np.tanh(np.arctanh(0.3) + rng.standard_normal(20_000) / np.sqrt(97))
    d, v = difference_of_correlation(r, np.full(20_000, 100.0))
    assert d.mean() == pytest.approx(0.6 / np.sqrt(0.91), abs=0.01)
    assert v.mean() == pytest.approx(d.var(), rel=0.05)


def test_a_step_without_its_columns_is_a_fault() -> None:
    _, faults = EffectsStep().check(Layout({"studies": ("study", "r")}, {}))
    assert len(faults) == 7


def test_pooling_without_heterogeneity_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = MetaAnalysisModel.estimate

    def fixed(self: MetaAnalysisModel, claims: Sequence[Claim], files: Sequence[Prepared]) -> Array:
        model = MetaAnalysisModel(method="fe", knha=False)
        assert self.method == "reml"
        return sound(model, claims, files)

    monkeypatch.setattr(MetaAnalysisModel, "estimate", fixed)
    again = replicate("lomos-2011", replicates=30)
    assert not again.ok
