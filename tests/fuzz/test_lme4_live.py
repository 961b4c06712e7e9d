"""600 random designs against lme4, run live: never a worse optimum, never an untrue criterion.

pytest -m live_r tests/fuzz/test_lme4_live.py   every design (about four minutes)
pytest -m live_r tests/fuzz -k "design-17-"     the designs are fitted together, one is reported
python -m tests.fuzz.designs 17                 look at design 17
python -m tests.fuzz.write_register             after a change of designs: write the register
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from . import designs, peer, verdict

pytestmark = pytest.mark.live_r

SEEDS = range(designs.COUNT)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, verdict.Verdict]]:
    """Fit every design by both programs; leave the table of results behind."""
    if reason := peer.missing():
        pytest.skip(reason)
    drawn = [designs.draw(seed) for seed in SEEDS]
    versions, answers = peer.ask(drawn, tmp_path_factory.mktemp("lme4"))
    found = [verdict.judge(design, answers[design.seed]) for design in drawn]
    yield {v.seed: v for v in found}
    verdict.ONE_FACTOR.results.write_text(verdict.results(found, drawn, versions))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"design-{s}-")
def test_never_worse_than_lme4(seed: int, verdicts: dict[int, verdict.Verdict]) -> None:
    found = verdicts[seed]
    report = f"{found.kind} ({found.amount:.3g}): {found.note}\n{designs.draw(seed)}"
    assert found.kind not in verdict.FAILURES, report
    if found.kind not in verdict.UNREMARKABLE:
        known = verdict.registered().get(seed)
        assert known == found.kind, f"not registered (there: {known}): {report}"


def test_at_least_500_designs_are_compared(verdicts: dict[int, verdict.Verdict]) -> None:
    compared = [v for v in verdicts.values() if not np.isnan(v.amount)]
    assert len(compared) >= 500
