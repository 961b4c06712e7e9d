"""Pages that are made from the code and the notebooks, so that they cannot fall behind them.

Studies: one page a registry entry, and an index. Notebooks: percent scripts become `.ipynb`, which
MyST-NB executes. Both are written before Sphinx reads its sources, and only where they changed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teamlink.registry.catalogue import find, keys
from teamlink.registry.tags import PRACTICES
from teamlink.registry.verdict import RULE
from teamlink.registry.works import DOCUMENTS, works

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from teamlink.registry.study import Study

DOCS = Path(__file__).resolve().parents[1]
NOTEBOOKS = DOCS.parent / "notebooks"


def study_pages() -> dict[str, str]:
    """Markdown of the studies part: the index and one page a study, by name of the page."""
    studies = [find(key) for key in keys()]
    return {"index": index_page(studies)} | {study.key: study_page(study) for study in studies}


def index_page(studies: Sequence[Study]) -> str:
    """Markdown of the list of studies."""
    rows = [
        (
            f"[{study.citation.short}]({study.key}.md)",
            study.sizes,
            study.basis,
            ", ".join(f"{claim.id} {claim.direction}" for claim in study.claims),
        )
        for study in studies
    ]
    return "\n".join(
        [
            "# Studies",
            "",
            "The registry holds published studies as files of facts: design, population values,"
            " claims, each with its source. `teamlink replicate` runs them all,"
            " {py:obj}`tl.replicate <teamlink.replicate>` runs one, and"
            " {py:obj}`tl.studies <teamlink.studies>` lists them. Every claim is checked together"
            " with two controls that go through the same pipeline; [limitations](../understand/"
            "limitations.md) says what that shows and what it does not.",
            "",
            *table(("study", "design", "data", "claims and published direction"), rows, "list"),
            "",
            "## How a claim is judged",
            "",
            RULE,
            "",
            "## From practice to evidence",
            "",
            *practices(studies),
            "",
            "## Cited without a quantitative claim",
            "",
            "Nothing is run for these works; each has its reason.",
            "",
            *not_run(False),
            "",
            *(f"{name}\n: {what}\n" for name, what in DOCUMENTS.items()),
            "## With a quantitative claim, and not run",
            "",
            "Two are cited, but for something else than their own findings; the others are cited by"
            " none of the documents and were met when sources were looked up. They are listed since"
            " some of them find nothing, or only part of what was looked for.",
            "",
            *not_run(True),
            "",
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *(study.key for study in studies),
            "```",
            "",
        ]
    )


def not_run(quantitative: bool) -> list[str]:
    """Table of works that are not run, with the reason."""
    found = [w for w in works() if w.quantitative == quantitative]
    rows = [(linked(w.citation), w.reason, ", ".join(w.cited_in)) for w in found]
    return table(("work", "why nothing is run", "cited in"), rows, "list works")


def practices(studies: Sequence[Study]) -> list[str]:
    """Table of what the documents recommend and what carries it."""
    rows = []
    for word in PRACTICES:
        found = [study for study in studies if word in study.practices]
        links = ", ".join(f"[{study.citation.short}]({study.key}.md)" for study in found)
        plain = [work for work in works() if not work.quantitative]
        others = ", ".join(work.short for work in plain if word in work.practices)
        rows.append((word, links or "**no quantitative claim carries it**", others))
    head = ("practice", "studies with a claim", "cited without a number")
    return table(head, rows, "list practices")


def study_page(study: Study) -> str:
    """Markdown of one study."""
    lines = [
        "---",
        "html_theme.sidebar_secondary.remove: true",
        "---",
        "",
        f"# {study.citation.short}",
        "",
        f"*{study.title}*",
        "",
        linked(str(study.citation)),
        "",
        f"Key `{study.key}`, {study.basis}: {study.sizes}."
        f" {', '.join((*study.practices, *study.goals, *study.supports)).capitalize()}.",
        "",
        "Run it with",
        "",
        "```console",
        f"$ teamlink replicate {study.key}",
        "```",
        "",
        "## Claims",
        "",
        *table(
            ("claim", "what is claimed", "coefficient", "published direction", "source"),
            [
                (c.id, c.text, f"`{c.term}` on `{c.outcome}`", c.direction, c.source)
                for c in study.claims
            ],
            "list claims",
        ),
        "",
        "## Analysis",
        "",
        *steps(study),
        "",
        "```text",
        *(wrapped(model.text) for model in study.pipeline.models),
        "```",
        "",
    ]
    lines += beside(study)
    if study.estimand:
        lines += ["**What an estimate is held against.** " + study.estimand, ""]
    if study.population:
        lines += ["## Population values", "", *population(study), ""]
    if study.references:
        lines += ["## Other programs' answers", "", *references(study), ""]
    lines += ["## Sources", ""]
    lines += [f"{name}\n: {linked(what)}\n" for name, what in study.sources.items()]
    return "\n".join(lines)


def beside(study: Study) -> list[str]:
    """How a study agrees with those that it contradicts, on the page of each of them."""
    pairs = [(s, s.reconciliation) for s in map(find, keys()) if s.reconciliation is not None]
    found = [(s.key, r) for s, r in pairs if r.other == study.key]
    found += [(r.other, r) for s, r in pairs if s.key == study.key]
    lines = []
    for other, pair in found:
        lines += [
            f"**Beside [{find(other).citation.short}]({other}.md).** Both are drawn from one"
            f" population. {pair.text}",
            "",
        ]
    return lines


def steps(study: Study) -> list[str]:
    """What the analyst does before fitting, as a list."""
    found = [f"- {step.text}" for step in study.pipeline.steps]
    return [*found, "", "Then the models:"] if found else ["The models:"]


def population(study: Study) -> list[str]:
    """Table of population values, each with its mark."""
    rows = [
        (f"`{v.name}`", f"{v.value:g}", f"**{v.status}**, {v.source}", v.reason)
        for v in study.population
    ]
    return table(("name", "value", "status and source", "reason"), rows, "list values")


def references(study: Study) -> list[str]:
    """Table of other programs' answers."""
    rows = [
        (r.program, r.quantity, f"`{r.term}`" if r.term else "", f"{r.value:.10g}")
        for r in study.references
    ]
    return table(("program", "quantity", "coefficient", "value"), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> list[str]:
    """Lines of a Markdown table; its kind tells the style sheet how it fits a narrow screen."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = [line(head), "|" + "---|" * len(head), *(line(row) for row in rows)]
    return ["```{table}", f":class: {kind}", "", *lines, "```"] if kind else lines


def linked(text: str) -> str:
    """Text in which addresses are links."""
    return re.sub(r"https?://[^\s)>]+[^\s)>.,]", r"<\g<0>>", text)


def wrapped(formula: str) -> str:
    """A formula over several lines, later ones indented; what stands in parentheses stays whole.

    Equations, which are several lines already, stay as they are.
    """
    if "\n" in formula:
        return formula
    glued = re.sub(r"\([^)]*\)", lambda found: found[0].replace(" ", "\0"), formula)
    lines = textwrap.wrap(
        glued, 88, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace("\0", " ")


def notebook_pages() -> dict[str, str]:
    """Each percent script as a notebook without outputs, by name of the script."""
    import jupytext

    pages = {}
    for script in sorted(NOTEBOOKS.glob("*.py")):
        notebook = jupytext.read(script)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"
        pages[script.stem] = jupytext.writes(notebook, fmt="ipynb")
    return pages


def write(folder: Path, pages: dict[str, str], suffix: str) -> None:
    """Write pages that changed, and remove those that no longer have a source."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob(f"*{suffix}"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / f"{name}{suffix}"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def write_all(_app: Sphinx, _config: Any) -> None:
    """Write every generated page before Sphinx looks for its sources."""
    write(DOCS / "studies", study_pages(), ".md")
    write(DOCS / "notebooks", notebook_pages(), ".ipynb")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", write_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
