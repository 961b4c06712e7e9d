"""The report of `teamlink replicate`: one HTML page that needs nothing else.

The page is made from the same plain values that `--json` writes, so what a reader sees is what a
program reads. Styles and figures are inside it; colours follow the reader's light or dark setting.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from teamlink.report.comparison import answers
from teamlink.report.numbers import decimals, figure, interval, percent, sign
from teamlink.report.plots import Palette, coverage_plot, replicates_plot
from teamlink.report.tables import html_table

__all__ = ["report_page", "svg"]

# colours that stand for the page's own: replaced by its variables once the figure is text
STAND_INS = {
    "ink": "#010101",
    "muted": "#020202",
    "faint": "#030303",
    "accent": "#040404",
    "warn": "#050505",
}


def report_page(data: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Write the report page.

    Parameters
    ----------
    data : mapping
        What `teamlink replicate --json` writes: `ok`, `seed`, `replicates`, `studies`.
    versions : mapping
        Program to version, for the foot of the page.

    Returns
    -------
    str
        A complete HTML document.
    """
    css = (resources.files("teamlink.report") / "page.css").read_text(encoding="utf-8")
    studies = "\n".join(_study(study) for study in data["studies"])
    title = "Cited studies, run again"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{_lead(data)}
{studies}
{_foot(data, versions)}
</main>
</body>
</html>
"""


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
    return text.replace("<svg", f'<svg role="img" aria-label="{_safe(label)}"', 1)


def _safe(value: object) -> str:
    return html.escape(str(value))


def _badge(text: str, good: bool) -> str:
    return f'<span class="badge{" yes" if good else ""}">{_safe(text)}</span>'


def _lead(data: Mapping[str, Any]) -> str:
    claims = [c for study in data["studies"] for c in study["claims"]]
    controls = [c for study in data["studies"] for c in study["controls"]]
    held = sum(c["holds"] for c in claims), sum(c["holds"] for c in controls)
    state = "everything holds" if data["ok"] else "not everything holds"
    return (
        f"<p>{_badge(state, data['ok'])}</p>"
        f"<p>{held[0]} of {len(claims)} published claims come back, and {held[1]} of "
        f"{len(controls)} controls behave as they must. Each study was run "
        f"{data['replicates']:,} times with seed {data['seed']}. A control goes through the same "
        "pipeline with another effect: where there is none, none may be found; where the sign is "
        "turned, the publication must be contradicted.</p>"
        f'<p class="small">{_safe(data["studies"][0]["rule"]) if data["studies"] else ""}</p>'
    )


def _study(study: Mapping[str, Any]) -> str:
    chips = [study["study"], study["sizes"], study["basis"], _runs_chip(study)]
    shown = "".join(f'<span class="chip">{_safe(chip)}</span>' for chip in chips if chip)
    return f"""<section class="study" id="{_safe(study["study"])}">
<h2>{_safe(study["title"])}</h2>
<p class="lead">{_linked(study["citation"])}</p>
<div class="chips">{shown}</div>
{"".join(_claim(study, claim) for claim in study["claims"])}
{_fit(study)}
<h3>What is estimated</h3>
<p>{_safe(study["estimand"])}</p>
{_models(study)}
{_population(study)}
</section>"""


def _runs_chip(study: Mapping[str, Any]) -> str:
    failed = f"{study['failed']} failed" if study["failed"] else "none failed"
    return f"{study['replicates']:,} replicates, {failed}"


def _linked(citation: str) -> str:
    words = [
        f'<a href="{_safe(word)}">{_safe(word)}</a>' if word.startswith("https://") else _safe(word)
        for word in citation.split(" ")
    ]
    return " ".join(words)


def _claim(study: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    source = study["sources"].get(claim["source"], claim["source"])
    simulated = not study["fit"]
    what = "mean estimate" if simulated else "estimate from the data"
    ends = interval(claim["conf_low"], claim["conf_high"])
    facts = [
        ("published", f"{sign(claim['published'])} {claim['published']}", claim["source"]),
        ("found", f"{sign(claim['recovered'])} {claim['recovered']}", ""),
        (what, decimals(claim["estimate"]), f"{ends} {claim['unit']}"),
        ("true value", decimals(claim["true_value"]), _latent(claim, simulated)),
        ("95 % intervals that hold it", percent(claim["coverage"]), ""),
        ("replicates that recover it", percent(claim["share_recovered"]), ""),
    ]
    shown = "".join(
        f"<div><dt>{_safe(name)}</dt><dd>{_safe(value)}"
        f"{f'<small>{_safe(note)}</small>' if note else ''}</dd></div>"
        for name, value, note in facts
    )
    return f"""<article class="claim">
<header><span class="id">{_safe(claim["claim"])}</span><strong>{_safe(claim["text"])}</strong>
{_badge(claim["verdict"], claim["holds"])}</header>
<dl class="facts">{shown}</dl>
<p class="small">Published in: {_safe(source)}.</p>
{_figures(study, claim)}
{_controls(study, claim)}
</article>"""


def _latent(claim: Mapping[str, Any], simulated: bool) -> str:
    return f"latent effect {decimals(claim['effect'])}" if simulated else "as fitted"


def _figures(study: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    if not study["runs"]:
        return ""
    palette = Palette(**STAND_INS)
    only = dict(study) | {"claims": [dict(claim) | {"text": ""}]}
    key = f"{study['study']} {claim['claim']}"
    left = replicates_plot(only, width=5.4, palette=palette)
    right = coverage_plot(study, claim["claim"], palette=palette)
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
    for c in study["controls"]:
        if c["claim"] != claim["claim"]:
            continue
        band = (
            f" ({c['least']}\u2013{c['most']} allowed)" if c["expected"] == "not detected" else ""
        )
        value = f" to {decimals(c['true_value'])}" if c["true_value"] else ""
        rows.append(
            f"<tr><td>{_safe(c['control'])}{value}</td>"
            f"<td>{c['significant']} of {c['replicates']}{band}</td>"
            f"<td>{_safe(c['expected'])}</td><td>{_badge(c['verdict'], c['holds'])}</td></tr>"
        )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("control", "significant", "must be", "is")
    )
    return _wide(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def _wide(table: str) -> str:
    return f'<div class="wide">{table}</div>'


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
        agree = f"<p>{_badge(text, good == len(references))} with {_safe(program)}.</p>"
    criterion = decimals(study["criterion"], 4)
    return f"""<h3>The fit to the real data</h3>
<p>REML criterion {criterion}; standard deviations and correlations of the random effects are the
last rows.</p>{agree}
{_wide(html_table(head, rows, [False] + [True] * (len(head) - 1)))}"""


def _models(study: Mapping[str, Any]) -> str:
    lines = "".join(f"<p><code>{_safe(text)}</code></p>" for text in study["models"].values())
    return f"<h3>Models</h3>{lines}"


def _population(study: Mapping[str, Any]) -> str:
    values: Sequence[Mapping[str, Any]] = study["population"]
    counts = [
        f"{sum(v['status'] == s for v in values)} {s}" for s in ("published", "derived", "assumed")
    ]
    rows = "".join(
        f"<tr><td><code>{_safe(v['name'])}</code></td><td class='n'>{figure(v['value'])}</td>"
        f"<td><span class='{_safe(v['status'])}'>{_safe(v['status'])}</span></td>"
        f"<td>{_safe(v['source'])}</td><td>{_safe(v['reason'])}</td></tr>"
        for v in values
    )
    sources = "".join(
        f"<p class='small'><strong>{_safe(name)}</strong>: {_safe(text)}.</p>"
        for name, text in study["sources"].items()
    )
    return f"""<details><summary>Population values and where each comes from
({_safe(", ".join(counts))})</summary>
<div class="wide"><table><thead><tr><th scope="col">value</th><th scope="col" class="n"></th>
<th scope="col">status</th><th scope="col">source</th><th scope="col">reason</th></tr></thead>
<tbody>{rows}</tbody></table></div>
{sources}</details>"""


def _foot(data: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    failures = [f"{s['study']}: {f}" for s in data["studies"] for f in s["failures"]]
    listed = "".join(f"<li>{_safe(f)}</li>" for f in failures[:20])
    failed = f"<h3>Failed replicates</h3><ul class='small'>{listed}</ul>" if failures else ""
    keys = " ".join(s["study"] for s in data["studies"])
    command = f"teamlink replicate {keys} --replicates {data['replicates']} --seed {data['seed']}"
    return f"""{failed}<footer class="small">
<p>Made by <code>{_safe(command)}</code>; the same seed gives the same numbers for any number of
jobs.</p><p>{_safe(shown)}.</p></footer>"""
