"""What became of a study that was run again: claims, controls, verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from teamlink.mixed.result import MixedFit
from teamlink.registry.analyses.lmm import coefficient
from teamlink.registry.study import Claim, Study
from teamlink.registry.verdict import (
    RULE,
    Evidence,
    Verdict,
    least_detected,
    nominal_band,
    verdict,
    weigh,
)
from teamlink.report.records import records
from teamlink.report.replications import replication_text
from teamlink.simulation.runs import Failure
from teamlink.typing import Array, Direction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Replication"]

STUDY, CONTROLS = "study", ("control 1", "control 2")


@dataclass(frozen=True, eq=False, repr=False)
class Replication:
    """A study run again: many replicates, compared with what it published.

    Made by `teamlink.replicate`.

    Attributes
    ----------
    study : Study
    seed, replicates : what was asked for
    effects : (3, claims), population effects of the study and of its two controls
    runs : pandas.DataFrame
        One row a replicate, scenario and claim: replicate, scenario, claim, estimate, std_error,
        df, p_value, unit, conf_low, conf_high, true_value.
    failures : replicates that came to no result, with the reason
    fit : the fit to real data, for a study that has them
    """

    study: Study
    seed: int
    replicates: int
    effects: Array
    runs: pd.DataFrame
    failures: tuple[Failure, ...]
    fit: MixedFit | None = None

    def evidence(self, claim: str, scenario: str = STUDY) -> Evidence:
        """Weigh the replicates of one claim under one scenario."""
        runs = self.runs
        rows = runs[(runs["claim"] == claim) & (runs["scenario"] == scenario)]
        return weigh(
            estimate=rows["estimate"].to_numpy(),
            p_value=rows["p_value"].to_numpy(),
            low=rows["conf_low"].to_numpy(),
            high=rows["conf_high"].to_numpy(),
            true_value=rows["true_value"].to_numpy(),
            replicates=self.replicates,
            magnitude=self._magnitude(claim) if scenario == STUDY else None,
        )

    def _magnitude(self, claim: str) -> float | None:
        """The published size on the scale of the estimates."""
        found = next(c for c in self.study.claims if c.id == claim)
        if found.magnitude is None or found.scale == "difference":
            return found.magnitude
        return float(np.log(found.magnitude))

    @cached_property
    def claims(self) -> pd.DataFrame:
        """One row a claim.

        study, claim, text, outcome, term, unit, scale, published, source, magnitude, recovered,
        estimate, conf_low, conf_high, effect, true_value, coverage, share_recovered, share_error,
        power, exaggeration, wrong_sign, replicates, failed, verdict, holds. For simulated data the
        estimate is the mean over replicates and its interval that of the mean; for real data they
        are those of the fit. `effect` is the population's (latent) effect, `true_value` what the
        pipeline's coefficient estimates. Where `scale` is "ratio", estimate, interval and true
        value are ratios: exponentials of the mean logarithm. `share_error` is the Monte-Carlo
        standard error of `share_recovered`; `power` the share of significant replicates,
        `exaggeration` how many times too large these are on average, `wrong_sign` the share of
        them with the wrong sign.
        """
        return pd.DataFrame(
            [self._claim_row(i, claim) for i, claim in enumerate(self.study.claims)]
        )

    def _claim_row(self, i: int, claim: Claim) -> dict[str, Any]:
        evidence = self.evidence(claim.id)
        estimate, low, high = evidence.mean, evidence.low, evidence.high
        recovered, judged = str(evidence.recovered), verdict(claim.direction, evidence)
        if self.fit is not None:
            row = self._real_row(claim)
            estimate, low, high = row["estimate"], row["conf_low"], row["conf_high"]
            recovered = _direction(estimate, row["p_value"])
            judged = _with_real(claim.direction, recovered, judged)
        shown = np.exp if claim.scale == "ratio" else float
        return {
            "study": self.study.key,
            "claim": claim.id,
            "text": claim.text,
            "outcome": claim.outcome,
            "term": claim.term,
            "unit": claim.unit,
            "scale": claim.scale,
            "published": claim.direction,
            "source": claim.source,
            "magnitude": claim.magnitude,
            "recovered": recovered,
            "estimate": float(shown(estimate)),
            "conf_low": float(shown(low)),
            "conf_high": float(shown(high)),
            "effect": float(self.effects[0, i]),
            "true_value": float(shown(self._true_value(claim.id, STUDY))),
            "coverage": evidence.coverage,
            "share_recovered": evidence.share(claim.direction),
            "share_error": evidence.monte_carlo_error(claim.direction),
            "power": evidence.power,
            "exaggeration": evidence.exaggeration,
            "wrong_sign": evidence.wrong_sign,
            "replicates": evidence.replicates,
            "failed": evidence.failed,
            "verdict": judged,
            "holds": judged == "reproduced",
        }

    def _real_row(self, claim: Claim) -> dict[str, float]:
        assert self.fit is not None
        name = coefficient(claim.term, list(self.fit.params.index))
        ends = self.fit.conf_int()
        return {
            "estimate": float(self.fit.params[name]),
            "p_value": float(self.fit.pvalues[name]),
            "conf_low": float(ends["conf_low"][name]),
            "conf_high": float(ends["conf_high"][name]),
        }

    def _true_value(self, claim: str, scenario: str) -> float:
        runs = self.runs
        rows = (runs["claim"] == claim) & (runs["scenario"] == scenario)
        return float(runs.loc[rows, "true_value"].mean()) if rows.any() else float("nan")

    @cached_property
    def controls(self) -> pd.DataFrame:
        """Two rows a claim: what the same pipeline says when the effect is not as published.

        study, claim, control, effect, true_value, expected, estimate, conf_low, conf_high,
        significant, least, most, replicates, failed, coverage, verdict, holds. A control with no
        effect must be "not detected", significant in `least` to `most` of the replicates; one
        with the sign turned must be "contradicted". The controls of a null claim plant an effect
        of either sign; both must be "contradicted", and significant in at least `least` replicates,
        as the stated power asks.
        """
        rows = [
            self._control_row(i, claim, k)
            for i, claim in enumerate(self.study.claims)
            for k in range(len(CONTROLS))
        ]
        return pd.DataFrame(rows)

    def _control_row(self, i: int, claim: Claim, k: int) -> dict[str, Any]:
        evidence = self.evidence(claim.id, CONTROLS[k])
        effect = float(self.effects[k + 1, i])
        judged = verdict(claim.direction, evidence)
        significant = evidence.positive + evidence.negative
        expected, name = _expected(claim, k, effect)
        least, most = 0, evidence.done
        if expected == "not detected":
            least, most = nominal_band(evidence.done)
        elif claim.direction == "null":
            least = least_detected(evidence.done, claim.power)
        holds = judged == expected and least <= significant
        shown = np.exp if claim.scale == "ratio" else float
        return {
            "study": self.study.key,
            "claim": claim.id,
            "control": name,
            "effect": effect,
            "true_value": float(shown(self._true_value(claim.id, CONTROLS[k]))),
            "expected": expected,
            "estimate": float(shown(evidence.mean)),
            "conf_low": float(shown(evidence.low)),
            "conf_high": float(shown(evidence.high)),
            "significant": significant,
            "least": least,
            "most": most,
            "replicates": evidence.replicates,
            "failed": evidence.failed,
            "coverage": evidence.coverage,
            "verdict": judged,
            "holds": holds,
        }

    @cached_property
    def references(self) -> pd.DataFrame:
        """Another program's answers beside ours, for a study with real data.

        program, quantity, term, theirs, ours, difference (relative), tolerance, agrees.
        """
        columns = ["program", "quantity", "term", "theirs", "ours", "difference", "tolerance"]
        rows = []
        for ref in self.study.references:
            ours = self._our_answer(ref.quantity, ref.term)
            difference = abs(ours - ref.value) / max(abs(ref.value), np.finfo(float).tiny)
            values = (ref.program, ref.quantity, ref.term, ref.value, ours, difference)
            rows.append((*values, ref.tolerance))
        table = pd.DataFrame(rows, columns=columns)
        return table.assign(agrees=table["difference"] <= table["tolerance"])

    def _our_answer(self, quantity: str, term: str) -> float:
        assert self.fit is not None
        if quantity == "deviance":
            return float(self.fit.deviance)
        name = coefficient(term, list(self.fit.params.index))
        table = self.fit.params if quantity == "estimate" else self.fit.bse
        return float(table[name])

    @property
    def ok(self) -> bool:
        """True where every claim and every control holds, and other programs agree."""
        tables = self.claims["holds"], self.controls["holds"], self.references["agrees"]
        return all(bool(column.all()) for column in tables)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, as `--json` writes it; depends on no clock and no jobs."""
        study = self.study
        sources = dict(study.sources)
        return {
            "study": study.key,
            "title": study.title,
            "citation": str(study.citation),
            "short": study.citation.short,
            "basis": study.basis,
            "sizes": study.sizes,
            "kind": study.kind,
            "levels": study.levels,
            "practices": list(study.practices),
            "goals": list(study.goals),
            "supports": list(study.supports),
            "claim_goals": {c.id: list(c.goals or study.goals) for c in study.claims},
            "reconciliation": _plain_reconciliation(study),
            "estimand": study.estimand,
            "rule": RULE,
            "seed": self.seed,
            "replicates": self.replicates,
            "failed": len(self.failures),
            "failures": [str(f) for f in self.failures],
            "ok": self.ok,
            "steps": [step.text for step in study.pipeline.steps],
            "models": {m.name: m.text for m in study.pipeline.models},
            "claims": records(self.claims),
            "controls": records(self.controls),
            "references": records(self.references),
            "fit": records(self.fit.tidy()) if self.fit is not None else [],
            "criterion": float(self.fit.deviance) if self.fit is not None else None,
            "sources": sources,
            "population": [
                {
                    "name": v.name,
                    "value": v.value,
                    "status": v.status,
                    "source": v.source,
                    "reason": v.reason,
                }
                for v in study.population
            ],
            "runs": self._compact_runs(),
        }

    def _compact_runs(self) -> list[dict[str, Any]]:
        names = ["replicate", "estimate", "conf_low", "conf_high", "true_value"]
        groups = self.runs.groupby(["claim", "scenario"], sort=False)
        return [
            {"claim": claim, "scenario": scenario} | {n: rows[n].round(10).tolist() for n in names}
            for (claim, scenario), rows in groups
        ]

    def summary(self) -> str:
        """Text of at most 80 columns: one row a claim, then its checks."""
        return replication_text(self.to_dict())

    def plot(self) -> Figure:
        """Draw the estimates of all replicates beside the true value and zero."""
        from teamlink.report.plots import replicates_plot

        return replicates_plot(self.to_dict())

    def __repr__(self) -> str:
        holding = int(self.claims["holds"].sum())
        state = "ok" if self.ok else "not ok"
        return (
            f"<Replication {self.study.key}: {holding} of {len(self.claims)} claims hold, "
            f"{self.replicates} replicates, seed {self.seed}: {state}>"
        )

    def __str__(self) -> str:
        return self.summary()


def _expected(claim: Claim, k: int, effect: float) -> tuple[Verdict, str]:
    """What the control `k` of a claim must give, and what it is called."""
    if claim.direction == "null":
        return "contradicted", "effect planted"
    without = k == 0 or effect == 0
    return ("not detected", "effect zero") if without else ("contradicted", "sign flipped")


def _plain_reconciliation(study: Study) -> dict[str, Any] | None:
    found = study.reconciliation
    if found is None:
        return None
    return {"other": found.other, "text": found.text, "claims": list(found.claims)}


def _direction(estimate: float, p_value: float) -> str:
    if p_value >= 0.05:
        return "null"
    return "positive" if estimate > 0 else "negative"


def _with_real(published: Direction, recovered: str, by_replicates: Verdict) -> Verdict:
    """Verdict on real data: the fit decides the direction, the replicates may withhold it."""
    if recovered == published:
        return by_replicates
    return "not detected" if recovered == "null" else "contradicted"
