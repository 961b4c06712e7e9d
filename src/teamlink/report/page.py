"""The report of `teamlink replicate`: one HTML page that needs nothing else.

The page is made from the same plain values that `--json` writes, so what a reader sees is what a
program reads. Styles, figures and the few lines that sort the table are inside it; colours follow
the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from teamlink.report.cards import card
from teamlink.report.overview import (
    badge,
    claims_table,
    contradictions,
    forest,
    grouped,
    not_run,
    safe,
)

__all__ = ["report_page"]

FULL = 3
"""Up to this many studies every replicate is drawn."""


def report_page(data: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Write the report page.

    Parameters
    ----------
    data : mapping
        What `teamlink replicate --json` writes: `ok`, `seed`, `replicates`, `studies`; and, for
        the whole registry, `tags` and `works`.
    versions : mapping
        Program to version, for the foot of the page.

    Returns
    -------
    str
        A complete HTML document.
    """
    folder = resources.files("teamlink.report")
    css = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / "page.js").read_text(encoding="utf-8")
    studies = data["studies"]
    full = len(studies) <= FULL
    cards = "\n".join(card(study, data["seed"], full) for study in studies)
    practice, against = _practice(data), contradictions(studies)
    parts = {
        "claims": ("Claims", True),
        "forest": ("Estimates", True),
        "practice": ("From practice to evidence", practice),
        "contradictions": ("Contradictions", against),
        "studies": ("Studies", True),
        "not-run": ("Not run", data.get("works")),
    }
    links = "".join(
        f'<a href="#{anchor}">{name}</a>' for anchor, (name, has) in parts.items() if has
    )
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
<nav aria-label="parts of this page">{links}</nav>
<h2 id="claims">Claims</h2>
{claims_table(studies)}
<h2 id="forest">Estimates</h2>
{forest(studies)}
{practice}
{against}
<h2 id="studies">Studies</h2>
{"" if full else '<button type="button" class="all" hidden>open all</button>'}
{cards}
{not_run(data.get("works", []))}
{_foot(data, versions)}
</main>
<script>
{script}</script>
</body>
</html>
"""


def _practice(data: Mapping[str, Any]) -> str:
    found = grouped(data)
    return found and (
        '<h2 id="practice">From practice to evidence</h2><p>What the documents recommend, and the '
        f"quantitative claims that speak of it.</p>{found}"
    )


def _lead(data: Mapping[str, Any]) -> str:
    claims = [c for study in data["studies"] for c in study["claims"]]
    controls = [c for study in data["studies"] for c in study["controls"]]
    held = sum(c["holds"] for c in claims), sum(c["holds"] for c in controls)
    state = "everything holds" if data["ok"] else "not everything holds"
    return (
        f"<p>{badge(state, data['ok'])}</p>"
        f"<p>{held[0]} of {len(claims)} published claims come back, and {held[1]} of "
        f"{len(controls)} controls behave as they must. Each study was run "
        f"{data['replicates']:,} times with seed {data['seed']}. A control goes through the same "
        "pipeline with another effect: where there is none, none may be found; where the sign is "
        "turned, the publication must be contradicted; where a null claim gets an effect, it must "
        "be found.</p>"
        "<p>Simulated data stand for studies whose data are not public. They show what a study of "
        "that design finds in a world where its claim is true, and in one where it is not; they do "
        "not show which world is ours.</p>"
        f'<p class="small">{safe(data["studies"][0]["rule"]) if data["studies"] else ""}</p>'
    )


def _foot(data: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    failures = [f"{s['study']}: {f}" for s in data["studies"] for f in s["failures"]]
    listed = "".join(f"<li>{safe(f)}</li>" for f in failures[:20])
    failed = f"<h3>Failed replicates</h3><ul class='small'>{listed}</ul>" if failures else ""
    keys = " ".join(s["study"] for s in data["studies"])
    command = f"teamlink replicate {keys} --replicates {data['replicates']} --seed {data['seed']}"
    return f"""{failed}<footer class="small">
<p>Made by <code>{safe(command)}</code>; the same seed gives the same numbers for any number of
jobs.</p><p>{safe(shown)}.</p></footer>"""
