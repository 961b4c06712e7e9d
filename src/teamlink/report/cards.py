"""One card a study: citation, design, claims with their figures and controls, values, code."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from teamlink.report.comparison import answers
from teamlink.report.numbers import decimals, digits_for, interval, percent, sign, stated
from teamlink.report.overview import badge, safe, times
from teamlink.report.plots import Palette, coverage_plot, replicates_plot
from teamlink.report.stacked import Column, stacked_table
from teamlink.report.strips import ROW, axis_of, spread_row, strip
from teamlink.report.tables import html_table

__all__ = ["card", "svg"]

FIGURE = 3.2
"""Inches: so narrow that its letters are still 11 pixels high on a telephone."""

# colours that stand for the page's own: replaced by its variables once the figure is text
STAND_INS = {
    "ink": "#010101",
    "muted": "#020202",
    "faint": "#030303",
    "accent": "#040404",
    "warn": "#050505",
}
TONES = {"study": "own", "control 1": "first", "control 2": "second"}
CONTROLS = (Column("control"), Column("significant"), Column("must be"), Column("is"))
VALUES = (
    Column("name"),
    Column("value", True),
    Column("status"),
    Column("source"),
    Column("reason"),
)


def card(study: Mapping[str, Any], seed: int, full: bool) -> str:
    """Write the card of one study.

    Parameters
    ----------
    study : mapping
        From `Replication.to_dict`.
    seed : int
        For the code that runs it again.
    full : bool
        Draw every replicate; else a line a scenario, and the card is closed until it is asked for.

    Returns
    -------
    str
        A section of the page.
    """
    chips = [study["study"], study["sizes"], study["basis"], _runs_chip(study), *_tags(study)]
    shown = "".join(f'<span class="chip">{safe(chip)}</span>' for chip in chips if chip)
    held = all(row["holds"] for row in [*study["claims"], *study["controls"]])
    inside = f"""<p class="lead">{_linked(study["citation"])}</p>
<div class="chips">{shown}</div>
{_design(study)}
{"".join(_claim(study, claim, full) for claim in study["claims"])}
{_fit(study)}
<h4>What is estimated</h4>
<p>{safe(study["estimand"])}</p>
{_models(study)}
{_population(study)}
{_code(study, seed)}"""
    title = safe(study["title"])
    if full:
        anchor = safe(study["study"])
        return f'<section class="study" id="{anchor}"><h3>{title}</h3>{inside}</section>'
    state = badge("holds" if held else "does not hold", held)
    return (
        f'<details class="study" id="{safe(study["study"])}"><summary><h3>{title}</h3>'
        f'<span class="small">{safe(study["short"])}</span>{state}</summary>{inside}'
        "</details>"
    )


def svg(figure: Figure, label: str) -> str:
    """Turn a figure into an inline SVG element whose colours are the page's variables."""
    buffer = io.StringIO()
    # the salt makes ids, and so the page, the same each time; text stays text
    with matplotlib.rc_context({"svg.hashsalt": label, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for name, colour in STAND_INS.items():
        text = text.replace(colour, f"var(--{name})")
    # names of the drawing's groups: the same in every figure, and nothing refers to them
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{safe(label)}"', 1)


def _tags(study: Mapping[str, Any]) -> list[str]:
    return [*study["practices"], *study["goals"], *study["supports"]]


def _design(study: Mapping[str, Any]) -> str:
    """Levels and sizes as boxes within boxes: the largest units outside."""
    levels = study["levels"]
    if not levels:
        return ""
    outer, rest = levels[0], levels[1:]
    inner = "".join(
        f'<div class="box"><b>{level["n"]:,}</b> {safe(level["name"])}'
        f"<small>{level['n'] / outer['n']:.1f} for each of the {safe(outer['name'])}</small></div>"
        for level in rest
    )
    return (
        f'<div class="design" role="img" aria-label="design: {safe(study["sizes"])}">'
        f'<div class="box outer"><b>{outer["n"]:,}</b> {safe(outer["name"])}'
        f'<div class="inner">{inner}</div></div></div>'
    )


def _code(study: Mapping[str, Any], seed: int) -> str:
    key = safe(study["study"])
    draw = "" if study["fit"] else f'tables = tl.simulate_study("{key}", seed={seed})\n'
    return f"""<h4>Run it again</h4>
<pre><code>import teamlink as tl

{draw}again = tl.replicate("{key}", seed={seed}, replicates={study["replicates"]})
again.claims, again.controls, again.runs</code></pre>"""


def _runs_chip(study: Mapping[str, Any]) -> str:
    failed = f"{study['failed']} failed" if study["failed"] else "none failed"
    return f"{study['replicates']:,} replicates, {failed}"


def _linked(citation: str) -> str:
    words = [
        f'<a href="{safe(word)}">{safe(word)}</a>' if word.startswith("https://") else safe(word)
        for word in citation.split(" ")
    ]
    return " ".join(words)


def _claim(study: Mapping[str, Any], claim: Mapping[str, Any], full: bool) -> str:
    source = study["sources"].get(claim["source"], claim["source"])
    shown = "".join(
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}"
        f"{f'<small>{safe(note)}</small>' if note else ''}</dd></div>"
        for name, value, note in _facts(study, claim)
    )
    return f"""<article class="claim">
<header><span class="id">{safe(claim["claim"])}</span><strong>{safe(claim["text"])}</strong>
{badge(claim["verdict"], claim["holds"])}</header>
<dl class="facts">{shown}</dl>
<p class="small">Published in: {safe(source)}.</p>
{_figures(study, claim) if full else _strip(study, claim)}
{_controls(study, claim)}
</article>"""


def _facts(study: Mapping[str, Any], claim: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    simulated = not study["fit"]
    latent = "as fitted"
    if simulated:
        effect = claim["effect"]
        latent = "" if effect is None else f"latent effect {decimals(effect)}"
    what = "mean estimate" if simulated else "estimate from the data"
    digits = digits_for(claim["conf_low"], claim["conf_high"])
    ends = interval(claim["conf_low"], claim["conf_high"], digits)
    size = "" if claim["magnitude"] is None else f"size {decimals(claim['magnitude'])}; "
    error = f"\u00b1 {100 * (claim['share_error'] or 0):.1f} (Monte-Carlo error)"
    log = "the logarithm; " if claim["scale"] == "ratio" else ""
    wrong = claim["wrong_sign"]
    signs = "" if wrong is None else f"{log}wrong sign in {percent(wrong)}"
    exaggerated = "if significant, too large by", times(claim["exaggeration"]), signs
    return [
        ("published", f"{sign(claim['published'])} {claim['published']}", size + claim["source"]),
        ("found", f"{sign(claim['recovered'])} {claim['recovered']}", ""),
        (what, decimals(claim["estimate"], digits), f"{ends} {claim['unit']}"),
        ("true value", decimals(claim["true_value"], digits), latent),
        ("95 % intervals that hold it", percent(claim["coverage"]), ""),
        ("replicates that recover it", percent(claim["share_recovered"]), error),
        ("power at this design", percent(claim["power"]), ""),
        exaggerated,
    ]


def _strip(study: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    """Estimates under the study and its two controls, a line each."""
    runs = [r for r in study["runs"] if r["claim"] == claim["claim"] and r["estimate"]]
    if not runs:
        return ""
    axis = axis_of([v for r in runs for v in r["estimate"]])
    zero = axis.at(0.0)
    line = f'<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="{ROW * len(runs)}"/>'
    rows = []
    for k, run in enumerate(runs):
        values = np.array(run["estimate"], dtype=float)
        truth = float(np.mean(run["true_value"]))
        rows.append(spread_row(values, axis, k, TONES[run["scenario"]], truth))
    called = ["as the study", *(c["control"] for c in _controls_of(study, claim))]
    names = "".join(f"<span>{safe(called[list(TONES).index(r['scenario'])])}</span>" for r in runs)
    unit = "Logarithms of ratios. " if claim["scale"] == "ratio" else ""
    drawn = strip([line, *rows], len(runs), f"{claim['claim']}: estimates", axis)
    return (
        f'<div class="strips"><div class="names">{names}</div>{drawn}</div>'
        f'<p class="small">{unit}The middle 95 % of the estimates, the middle half thick, their '
        "mean a dot; the upright mark is the true value.</p>"
    )


def _figures(study: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    if not study["runs"]:
        return ""
    palette = Palette(**STAND_INS)
    only = dict(study) | {"claims": [dict(claim) | {"text": ""}]}
    key = f"{study['study']} {claim['claim']}"
    left = replicates_plot(only, width=FIGURE, palette=palette)
    right = coverage_plot(study, claim["claim"], width=FIGURE, palette=palette)
    return f"""<div class="figures">
<figure>{svg(left, f"{key}: estimates of all replicates")}
<figcaption>A dot a replicate, filled where it is significant; the line is the true value, the
shaded side the published one.</figcaption></figure>
<figure>{svg(right, f"{key}: intervals of all replicates")}
<figcaption>Every 95 % interval; those that miss the true value are coloured, and should be one in
twenty.</figcaption></figure>
</div>"""


def _controls(study: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    rows = []
    for c in _controls_of(study, claim):
        band = (
            f" ({c['least']}\u2013{c['most']} allowed)" if c["expected"] == "not detected" else ""
        )
        value = f" to {decimals(c['true_value'])}" if c["true_value"] else ""
        rows.append(
            [
                f"{safe(c['control'])}{value}",
                f"{c['significant']} of {c['replicates']}{band}",
                safe(c["expected"]),
                badge(c["verdict"], c["holds"]),
            ]
        )
    return stacked_table(f"controls of {claim['claim']}", CONTROLS, rows)


def _controls_of(study: Mapping[str, Any], claim: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [c for c in study["controls"] if c["claim"] == claim["claim"]]


def _fit(study: Mapping[str, Any]) -> str:
    if not study["fit"]:
        return ""
    references = study["references"]
    theirs = answers(references)
    program = references[0]["program"] if references else ""
    head = ["term", "estimate", "std. error", "df", "t"]
    head += [f"{program} estimate", "std. error"] if program else []
    rows = []
    for row in study["fit"]:
        cells = [row["term"], decimals(row["estimate"], 4)]
        for name, digits in (("std_error", 4), ("df", 1), ("statistic", 2)):
            cells.append("" if row[name] is None else decimals(row[name], digits))
        if program:
            beside = [theirs(q, row["term"]) for q in ("estimate", "std_error")]
            cells += ["" if v is None else decimals(v, 4) for v in beside]
        rows.append(cells)
    agree = ""
    if references:
        good = sum(r["agrees"] for r in references)
        text = f"{good} of {len(references)} numbers agree"
        agree = f"<p>{badge(text, good == len(references))} with {safe(program)}.</p>"
    criterion = decimals(study["criterion"], 4)
    return f"""<h4>The fit to the real data</h4>
<p>REML criterion {criterion}; standard deviations and correlations of the random effects are the
last rows.</p>{agree}
<div class="wide held">{html_table(head, rows, [False] + [True] * (len(head) - 1))}</div>"""


def _models(study: Mapping[str, Any]) -> str:
    steps = "".join(f"<li>{_ticked(text)}</li>" for text in study["steps"])
    steps = steps and f'<ul class="small">{steps}</ul>'
    lines = "".join(
        f'<p><code class="equations">{safe(text)}</code></p>' for text in study["models"].values()
    )
    return f"<h4>Analysis</h4>{steps}{lines}"


def _ticked(text: str) -> str:
    """Words in backquotes as code."""
    parts = safe(text).split("`")
    return "".join(f"<code>{p}</code>" if k % 2 else p for k, p in enumerate(parts))


def _population(study: Mapping[str, Any]) -> str:
    values: Sequence[Mapping[str, Any]] = study["population"]
    counts = [
        f"{sum(v['status'] == s for v in values)} {s}" for s in ("published", "derived", "assumed")
    ]
    rows = [
        [
            f"<code>{safe(v['name'])}</code>",
            stated(v["value"]),
            f"<span class='{safe(v['status'])}'>{safe(v['status'])}</span>",
            safe(v["source"]),
            safe(v["reason"]),
        ]
        for v in values
    ]
    sources = "".join(
        f"<p class='small'><strong>{safe(name)}</strong>: {safe(text)}.</p>"
        for name, text in study["sources"].items()
    )
    return f"""<details><summary>Population values and where each comes from
({safe(", ".join(counts))})</summary>
{stacked_table("population values", VALUES, rows)}
{sources}</details>"""
