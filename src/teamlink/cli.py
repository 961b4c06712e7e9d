"""The command line: ``teamlink replicate``, ``teamlink studies``, ``teamlink fit``.

Exit codes: 0 where all holds, 1 where a claim or a control does not, 2 for a wrong call.
"""

from __future__ import annotations

import json
import platform
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teamlink.errors import OptionError, TeamlinkError, TeamlinkWarning

if TYPE_CHECKING:
    from teamlink.registry.replication import Replication

__all__ = ["app"]

app = typer.Typer(
    name="teamlink",
    help="Multilevel statistics for school-effects research.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

REPLICATES = 200
QUICK = 25
LIBRARIES = ("numpy", "scipy", "pandas", "formulaic")


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Multilevel statistics for school-effects research."""
    if version:
        print_line(f"teamlink {metadata.version('teamlink')}")
        raise typer.Exit


@app.command()
def replicate(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Studies, or study files; all when none is given."),
    ] = None,
    replicates: Annotated[
        int | None,
        typer.Option(help="How often each study is run.", show_default=str(REPLICATES)),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for one a processor.")] = -1,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"Run each study {QUICK} times only.")
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Remember finished replicates here; go on where a run stopped."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with plots.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers.")
    ] = None,
) -> None:
    """Run cited studies again and compare with what they published.

    Each claim is checked with two controls that go through the same pipeline.

    Exits 0 only if every claim and every control holds, 1 if one does not, 2 on a wrong call.
    """
    with errors_as_exit():
        from teamlink.registry.catalogue import find
        from teamlink.registry.catalogue import keys as all_keys
        from teamlink.registry.replicate import replicate as run_study

        if quick and replicates is not None:
            raise OptionError("--quick and --replicates both say how often: give one of them")
        times = replicates or (QUICK if quick else REPLICATES)
        check_writable(report, json_file)
        if resume is not None:
            resume.mkdir(parents=True, exist_ok=True)
        chosen = [find(key) for key in dict.fromkeys(keys or all_keys())]
        studies = [s for s in chosen if keys or s.status == "ready"]
        done = []
        for i, study in enumerate(studies, 1):
            if len(studies) > 1 and sys.stderr.isatty():
                print_line(f"study {i} of {len(studies)}: {study.key}", stderr=True)
            memory = None if resume is None else resume / f"{study.key}.jsonl"
            again = run_study(study, seed=seed, replicates=times, jobs=jobs, resume=memory)
            done.append(again)
            show(again)
        finish(done, seed, times, report, json_file, whole=not keys)
    if not all(again.ok for again in done):
        raise typer.Exit(1)


@app.command()
def studies(
    practice: Annotated[
        str | None, typer.Option(help='Only what speaks of a practice, such as "mentoring".')
    ] = None,
    goal: Annotated[
        str | None, typer.Option(help='Only what is about a goal, such as "learning".')
    ] = None,
    support: Annotated[
        str | None, typer.Option(help='Only one of the five supports, such as "leadership".')
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Check a study file of your own, and list every fault."),
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Print a study file to begin with.")
    ] = False,
) -> None:
    """List the studies in the registry, or check a study file of your own."""
    with errors_as_exit():
        from teamlink.registry.catalogue import find
        from teamlink.registry.catalogue import studies as list_studies

        if template:
            print_line(template_text())
            return
        if check:
            check_files(check)
            return
        rows = list_studies(practice, goal, support).to_dict("records")
        for row in rows:
            print_line(f"{row['key']}  ({row['status']})", style="bold")
            print_folded(row["citation"])
            print_folded(row["design"])
            if row["model"]:
                study = find(row["key"])
                for model in study.pipeline.models:
                    for line in model.text.splitlines():
                        print_folded(line.strip())
                for claim in study.claims:
                    print_folded(f"{claim.id}  {claim.direction}: {claim.text}")
            print_line("")
        counts = Counter(row["status"] for row in rows)
        without, left = counts.pop("not quantitative", 0), counts.pop("not run", 0)
        works = "1 work" if without == 1 else f"{without} works"
        print_folded(
            f"{counts.total()} studies, {works} without a quantitative claim, "
            f"{left} with one that {'is' if left == 1 else 'are'} not run",
            indent="",
        )


def template_text() -> str:
    """Give a study file to begin with."""
    from importlib import resources

    file = resources.files("teamlink.registry") / "template.toml"
    return file.read_text(encoding="utf-8").rstrip()


def check_files(paths: Sequence[Path]) -> None:
    """Check study files; say of each that it is well-formed, or list its faults."""
    from teamlink.errors import StudyError
    from teamlink.registry.reading import read_study

    faulty = 0
    for path in paths:
        try:
            study = read_study(path)
        except StudyError as error:
            faulty += 1
            print_line(str(error), style="red", stderr=True)
        else:
            claims = ", ".join(claim.id for claim in study.claims)
            print_line(f"{path.name}: well-formed; {study.sizes}; claims {claims}", style="green")
    if faulty:
        raise typer.Exit(2)


@app.command()
def fit(
    formula: Annotated[str, typer.Argument(help='Such as "math ~ ses + (1 | school)".')],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="csv, parquet, sav, dta, ...")],
    ml: Annotated[bool, typer.Option("--ml", help="Maximum likelihood, not REML.")] = False,
    df: Annotated[
        str,
        typer.Option(help="Tests: satterthwaite, kenward-roger, residual or normal."),
    ] = "satterthwaite",
) -> None:
    """Fit a linear mixed model to a file and print its summary."""
    with errors_as_exit():
        from teamlink.data.load import load
        from teamlink.mixed.linear import lmm

        result = lmm(formula, load(data), reml=not ml, df=df)  # type: ignore[arg-type]
        print_line(str(result.summary()))


def show(again: Replication) -> None:
    """Print one replication; verdicts are coloured on a terminal."""
    console = _console()
    from rich.text import Text

    text = Text(again.summary())
    first = len(again.study.key)
    text.stylize("bold", 0, first)
    text.highlight_regex(r"(?m)^ +ok ", "green")
    text.highlight_regex(r"(?m)^ +NOT .*$", "bold red")
    text.highlight_words(["reproduced"], "green")
    bad = ("miscalibrated", "inconclusive", "another size")
    text.highlight_regex(rf"(?m)  ({'|'.join(bad)}|contradicted|not detected)$", "bold red")
    console.print(text, soft_wrap=True)
    for failure in again.failures[:3]:
        print_line(f"  failed {failure}", style="red")
    console.print()


def finish(
    done: Sequence[Replication],
    seed: int,
    replicates: int,
    report: Path | None,
    json_file: Path | None,
    whole: bool = False,
) -> None:
    """Write the files that were asked for and print the last line."""
    claims = sum(len(again.claims) for again in done)
    held = sum(int(again.claims["holds"].sum()) for again in done)
    controls = sum(len(again.controls) for again in done)
    behaved = sum(int(again.controls["holds"].sum()) for again in done)
    data: dict[str, Any] = {
        "teamlink": metadata.version("teamlink"),
        "ok": all(again.ok for again in done),
        "seed": seed,
        "replicates": replicates,
        "studies": [again.to_dict() for again in done],
    }
    if whole:
        data |= cited_without_number()
    if json_file is not None:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
        json_file.write_text(text + "\n", encoding="utf-8")
        print_line(f"numbers: {json_file}")
    if report is not None:
        from teamlink.report.page import report_page

        report.write_text(report_page(data, versions()), encoding="utf-8")
        print_line(f"report: {report}")
    text = f"{held} of {claims} claims reproduced, {behaved} of {controls} controls hold"
    print_line(text, style="bold green" if data["ok"] else "bold red")


def cited_without_number() -> dict[str, Any]:
    """Give the words that studies are tagged with, and the cited works without a number."""
    from dataclasses import asdict

    from teamlink.registry.tags import TAGS
    from teamlink.registry.works import works

    found = [asdict(work) for work in works()]
    lists = {name: list(words) for name, words in TAGS.items()}
    return {"tags": lists, "works": found}


def versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    found = {"teamlink": metadata.version("teamlink"), "Python": platform.python_version()}
    return found | {name: metadata.version(name) for name in LIBRARIES}


def check_writable(*paths: Path | None) -> None:
    """Refuse a file in a folder that does not exist, before the work rather than after it."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise OptionError(f"{path} cannot be written: give a file in an existing folder")


@contextmanager
def errors_as_exit() -> Iterator[None]:
    """Print typed errors and warnings without a traceback; leave with exit code 2 on an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TeamlinkWarning)
        try:
            yield
        except TeamlinkError as error:
            print_line(f"{type(error).__name__}: {error}", style="red", stderr=True)
            raise typer.Exit(2) from None
        except OSError as error:
            print_line(f"{error.filename}: {error.strerror}", style="red", stderr=True)
            raise typer.Exit(2) from None
        finally:
            for text in dict.fromkeys(str(w.message) for w in caught):
                print_line(f"warning: {text}", style="yellow", stderr=True)


def _console(stderr: bool = False) -> Any:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def print_folded(text: str, indent: str = "  ") -> None:
    """Print indented text: folded at the width of a terminal, a line each where a file is written.

    What is written to a file or another program stays a line each, so that it can be searched.
    """
    console = _console()
    lines = [indent + text]
    if console.is_terminal:
        lines = textwrap.wrap(
            text,
            max(console.width, 40),
            initial_indent=indent,
            subsequent_indent="      " if indent else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
    for line in lines:
        print_line(line)


def print_line(text: str, style: str = "", stderr: bool = False) -> None:
    """Print text, styled on a terminal, never folded or interpreted."""
    _console(stderr).print(text, style=style or None, soft_wrap=True)
