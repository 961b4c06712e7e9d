"""Every check and every build, one session each; `nox -l` lists them.

Continuous integration calls these sessions and nothing else. Each session makes its own environment
under `.nox/`, so nothing needs to be installed beforehand but nox itself.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "layers", "tests"]
nox.options.error_on_external_run = True
nox.options.default_venv_backend = "virtualenv"

HERE = Path(__file__).parent
PYPROJECT = nox.project.load_toml("pyproject.toml")
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Small blocks are slower with two BLAS threads than with one, and two test workers would fight."""


def group(*names: str) -> tuple[str, ...]:
    """Requirements of dependency groups; pip itself can read them only from 25.1 on."""
    return tuple(nox.project.dependency_groups(PYPROJECT, *names))


def kernel_folders(session: nox.Session) -> dict[str, str]:
    """Keep what a notebook kernel writes inside the session, away from the user's home."""
    scratch = Path(session.create_tmp()).resolve()
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    return {name: str(scratch / name.lower()) for name in (*names, "MPLCONFIGDIR")}


def lowest(requirements: list[str]) -> list[str]:
    """Turn `name>=x` into `name==x`, so that the oldest permitted release is the one installed."""
    pins = []
    for requirement in requirements:
        found = re.fullmatch(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9][0-9.]*)(?:\s*,.*)?", requirement)
        if found is None:
            raise ValueError(f"{requirement!r} states no lower bound of the form name>=x")
        pins.append(f"{found[1]}=={found[2]}")
    return pins


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting and the shape of docstrings.

    Example: `nox -s lint`; mend what can be mended with `nox -s lint -- --fix`.
    """
    session.install(*group("lint"))
    if "--fix" in session.posargs:
        session.run("ruff", "format")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    sources = sorted(str(path.relative_to(HERE)) for path in (HERE / "src").rglob("*.py"))
    session.run("numpydoc", "lint", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """Static types, mypy strict.

    Example: `nox -s types`, or one file: `nox -s types -- src/teamlink/errors.py`.
    """
    session.install("-e", ".", *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Who imports whom: the contract at the end of pyproject.toml.

    Example: `nox -s layers`.
    """
    session.install(*group("layers"))
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session
def tests(session: nox.Session) -> None:
    """Every day: all tests and doctests but the slow ones and those that need R.

    Example: `nox -s tests`, or a part: `nox -s tests -- tests/syntax -x`.
    """
    session.install("-e", ".", *group("test"))
    session.run("pytest", "-m", "not slow and not live_r", *session.posargs, env=ONE_THREAD)


@nox.session
def slow(session: nox.Session) -> None:
    """Monte-Carlo and large designs, whole grids, and properties on many more examples.

    Example: `nox -s slow`.
    """
    session.install("-e", ".", *group("test"))
    properties = "hypothesis and not slow and not live_r"
    for chosen in (
        ("-m", "slow and not live_r"),
        ("-m", properties, "--hypothesis-profile", "thorough"),
    ):
        # 5: the paths given hold no such test
        session.run("pytest", *chosen, *session.posargs, env=ONE_THREAD, success_codes=[0, 5])


@nox.session
def studies(session: nox.Session) -> None:
    """The cited studies run again, a few times each: a direction that does not come back fails.

    Example: `nox -s studies`, or in full: `nox -s studies -- --replicates 200`.
    """
    session.install("-e", ".")
    how = session.posargs or ["--quick"]
    session.run("teamlink", "replicate", "--jobs", "-1", *how, env=ONE_THREAD)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Everyday tests with the lowest permitted release of every direct dependency.

    Doctests are left out: how numbers and frames print differs between releases, what they are does
    not. Example: `nox -s oldest`.
    """
    pins = lowest([*PYPROJECT["project"]["dependencies"], *files_extra()])
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("\n".join(pins) + "\n")
    session.install("--constraint", str(constraints), "-e", ".[files]", *group("test"))
    session.run("python", "-m", "pip", "list")
    session.run(
        "pytest",
        "-m",
        "not slow and not live_r",
        "tests",
        *session.posargs,
        env=ONE_THREAD,
    )


def files_extra() -> list[str]:
    """Requirements of the extra that reads statistical files."""
    return list(PYPROJECT["project"]["optional-dependencies"]["files"])


@nox.session
def reference(session: nox.Session) -> None:
    """Side by side with R, run live; needs Rscript with lme4 and lmerTest on the machine.

    Example: `nox -s reference`.
    """
    session.install("-e", ".", *group("test"))
    session.run("Rscript", "-e", "library(lme4); library(lmerTest)", external=True, silent=True)
    session.run("pytest", "-m", "live_r", *session.posargs, env=ONE_THREAD)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; every warning is an error, every reference must resolve.

    Example: `nox -s docs`, then open docs/_build/html/index.html.
    """
    session.install("-e", ".", *group("docs"))
    session.run(
        "sphinx-build",
        *("-b", "html", "-n", "-W", "--keep-going"),
        *session.posargs,
        "docs",
        "docs/_build/html",
        env={**ONE_THREAD, **kernel_folders(session)},
    )


@nox.session
def notebooks(session: nox.Session) -> None:
    """Run every notebook from its first cell to its last; an error or a warning fails.

    Example: `nox -s notebooks`; executed copies lie in build/notebooks/.
    """
    session.install("-e", ".", *group("notebooks"))
    out = HERE / "build" / "notebooks"
    out.mkdir(parents=True, exist_ok=True)
    for script in sorted((HERE / "notebooks").glob("*.py")):
        session.run(
            "jupytext",
            *("--to", "ipynb", "--execute", "--set-kernel", "python3"),
            *("--output", str(out / f"{script.stem}.ipynb")),
            str(script),
            env={**ONE_THREAD, **kernel_folders(session)},
        )
        if heard := complaints(out / f"{script.stem}.ipynb"):
            session.error(f"{script.name} warns:\n{heard}")


def complaints(notebook: Path) -> str:
    """What the cells of an executed notebook wrote to standard error, warnings above all."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join("".join(o["text"]) for o in outputs if o.get("name") == "stderr")


@nox.session
def bench(session: nox.Session) -> None:
    """teamlink beside its rivals on one BLAS thread, as ratios; lme4 too where R is installed.

    Example: `nox -s bench`, or one problem: `nox -s bench -- --problems hsb --no-write`.
    """
    session.install("-e", ".", *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs, env=ONE_THREAD)


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and source archive: build, look inside, install in an empty environment, use.

    Example: `nox -s build`; the files lie in dist/.
    """
    session.install("build")
    for old in (HERE / "dist").glob("teamlink-*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", "dist", ".", silent=True)
    (wheel,) = (HERE / "dist").glob("teamlink-*.whl")
    (archive,) = (HERE / "dist").glob("teamlink-*.tar.gz")
    check_contents(session, wheel, archive)

    scratch = Path(session.create_tmp()).resolve()
    empty = scratch / "empty"
    session.run("python", "-m", "venv", "--clear", str(empty))
    scripts = empty / ("Scripts" if os.name == "nt" else "bin")
    session.run(str(scripts / "pip"), "install", "--quiet", str(wheel), external=True)
    code = "import teamlink as tl; print(tl.__version__, len(tl.datasets.load('hsb82')))"
    session.chdir(scratch)  # away from the checkout, so that the wheel is what is imported
    session.run(str(scripts / "python"), "-W", "error", "-c", code, external=True)
    session.run(str(scripts / "teamlink"), "studies", external=True)


def check_contents(session: nox.Session, wheel: Path, archive: Path) -> None:
    """Stop unless the wheel holds the whole package and nothing else, and the archive the rest."""
    package = {
        path.relative_to(HERE / "src").as_posix()
        for path in (HERE / "src" / "teamlink").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as handle:
        inside = {name for name in handle.namelist() if ".dist-info/" not in name}
        licences = [name for name in handle.namelist() if name.endswith("/LICENSE")]
    if inside != package or not licences:
        session.error(f"wheel and source differ: {sorted(inside ^ package)}; licence: {licences}")
    with tarfile.open(archive) as handle:
        names = {name.split("/", 1)[-1] for name in handle.getnames()}
    wanted = {"README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "noxfile.py", "docs/conf.py"}
    wanted |= {f"src/{name}" for name in package}
    if not wanted <= names:
        session.error(f"missing from the source archive: {sorted(wanted - names)}")
    session.log(f"wheel: {len(inside)} files, archive: {len(names)} files")
