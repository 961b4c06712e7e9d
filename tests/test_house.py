"""What holds of the whole house: lengths, names, layers, and pages that keep in step with code."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import inspect
import io
import re
import subprocess
import sys
import tokenize
import tomllib
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import lint_imports
from numpydoc.validate import validate

import teamlink as tl

HOUSE = Path(__file__).resolve().parents[1]
SRC = HOUSE / "src" / "teamlink"
DOCS = HOUSE / "docs"
MODULES = sorted(SRC.rglob("*.py"))
PYPROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))

LONGEST_MODULE = 500
LONGEST_FUNCTION = 60

# numpydoc's codes: no docstring, no summary, sections unknown or out of order, parameters or the
# return value left out or misnamed, no example.
ASKED_OF_FUNCTIONS = {"GL06", "GL07", "GL08", "SS01", "PR01", "PR02", "PR03", "RT01", "EX01"}
ASKED_OF_CLASSES = {"GL06", "GL07", "GL08", "SS01", "EX01"}


def short(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


@cache
def survey() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Lines of every function, and place and name of every call of a bare name."""
    lines, calls = {}, []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines[f"{short(path)}:{node.lineno} {node.name}"] = code_lines(node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                calls.append((f"{short(path)}:{node.lineno}", node.func.id))
    return lines, calls


def layers() -> list[list[str]]:
    (contract,) = PYPROJECT["tool"]["importlinter"]["contracts"]
    return [[room.strip() for room in line.split("|")] for line in contract["layers"]]


def generated_pages() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generated_pages", DOCS / "_ext" / "generated_pages.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestLengths:
    def test_modules(self) -> None:
        long = {
            short(path): lines
            for path in MODULES
            if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
        }
        assert not long

    def test_functions(self) -> None:
        lines, _ = survey()
        assert lines
        assert not {place: n for place, n in lines.items() if n > LONGEST_FUNCTION}

    def test_a_function_is_counted_without_its_docstring(self) -> None:
        (node,) = functions(ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'))
        assert code_lines(node) == 2


class TestWords:
    def test_no_code_from_text_and_no_printing(self) -> None:
        _, calls = survey()
        assert calls
        refused = {"eval", "exec", "compile", "print", "breakpoint"}
        assert not [call for call in calls if call[1] in refused]

    def test_nothing_put_off(self) -> None:
        words = re.compile(r"\b(TODO|FIXME|XXX)\b")
        found = [
            f"{short(path)}:{token.start[0]} {token.string}"
            for path in MODULES
            if words.search(text := path.read_text(encoding="utf-8"))
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type in (tokenize.COMMENT, tokenize.STRING) and words.search(token.string)
        ]
        assert not found


class TestPublicNames:
    @pytest.mark.parametrize("name", tl.__all__)
    def test_has_an_example_that_doctest_runs(self, name: str) -> None:
        doc = inspect.getdoc(getattr(tl, name)) or ""
        _, found, examples = doc.partition("Examples\n--------\n")
        assert found, f"tl.{name} has no section Examples"
        assert doctest.DocTestParser().get_examples(examples), f"tl.{name}: no example that runs"

    @pytest.mark.parametrize("name", tl.__all__)
    def test_docstring_is_numpydoc(self, name: str) -> None:
        thing: Any = getattr(tl, name)
        if isinstance(thing, types.ModuleType):
            assert thing.__doc__
            return
        asked = ASKED_OF_CLASSES if inspect.isclass(thing) else ASKED_OF_FUNCTIONS
        errors = validate(f"{thing.__module__}.{thing.__qualname__}")["errors"]
        assert [error for error in errors if error[0] in asked] == []

    def test_stand_on_the_api_page(self) -> None:
        page = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
        listed = set(re.findall(r"^   (\w+)$", page, flags=re.MULTILINE))
        assert set(tl.__all__) <= listed, sorted(set(tl.__all__) - listed)

    def test_api_page_lists_nothing_that_is_not_there(self) -> None:
        page = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
        for entry in re.findall(r"^   ~?([\w.]*\w)$", page, flags=re.MULTILINE):
            module, _, name = f"teamlink.{entry}".rpartition(".")
            assert hasattr(importlib.import_module(module), name), entry

    def test_no_room_bears_the_name_of_a_verb(self) -> None:
        rooms = {path.stem if path.is_file() else path.name for path in SRC.iterdir()}
        verbs = {n for n in tl.__all__ if not isinstance(getattr(tl, n), types.ModuleType)}
        assert not rooms & verbs

    def test_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="no_such_verb"):
            _ = tl.no_such_verb


def test_importing_teamlink_loads_no_heavy_library() -> None:
    code = (
        "import sys, teamlink; "
        "heavy = {'numpy', 'scipy', 'pandas', 'matplotlib', 'formulaic', 'statsmodels', 'joblib'}; "
        "sys.stdout.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


class TestLayers:
    def test_contract_holds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(HOUSE)
        monkeypatch.setattr(sys, "path", [str(HOUSE / "src"), *sys.path])
        assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0

    def test_architecture_page_quotes_the_contract(self) -> None:
        page = (DOCS / "understand" / "architecture.md").read_text(encoding="utf-8")
        quoted = re.search(r'literalinclude} (\S+)\n.*\n:start-at: "(.+)"\n```', page)
        assert quoted is not None
        source = (DOCS / "understand" / quoted[1]).resolve()
        assert source == HOUSE / "pyproject.toml"
        _, mark, tail = source.read_text(encoding="utf-8").partition(quoted[2])
        assert tomllib.loads(mark + tail)["tool"]["importlinter"]["contracts"][0]["layers"]

    def test_architecture_page_names_every_room_and_no_other(self) -> None:
        page = (DOCS / "understand" / "architecture.md").read_text(encoding="utf-8")
        table = page.partition("## The rooms")[2].partition("\n## ")[0]
        named = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
        assert sorted(named) == sorted(room for line in layers() for room in line)


class TestPages:
    @pytest.mark.parametrize("notebook", sorted((HOUSE / "notebooks").glob("*.py")), ids=short)
    def test_notebook_is_listed(self, notebook: Path) -> None:
        page = (DOCS / "start" / "index.md").read_text(encoding="utf-8")
        assert f"/notebooks/{notebook.stem}\n" in page

    def test_there_is_a_notebook(self) -> None:
        assert list((HOUSE / "notebooks").glob("*.py"))

    def test_every_study_has_a_page_and_a_row(self) -> None:
        pages = generated_pages().study_pages()
        keys = {path.stem for path in (SRC / "registry" / "entries").glob("*.toml")}
        assert keys
        assert set(pages) == keys | {"index"}
        for key in keys:
            assert f"({key}.md)" in pages["index"]
            assert f"teamlink replicate {key}\n" in pages[key]

    def test_tables_of_the_studies_fold_on_a_narrow_screen(self) -> None:
        css = (DOCS / "_static" / "teamlink.css").read_text(encoding="utf-8")
        narrow = css.partition("@media (max-width: 40rem)")[2]
        assert re.search(r"table\.list td \{\s*display: block", narrow)
        for page in generated_pages().study_pages().values():
            long = re.findall(r"```\{table\}\n:class: list[ a-z]*\n\n\|", page)
            # only numbers of other programs, which are short, stay as they are
            assert len(long) == page.count("|\n|---|") - ("| program |" in page)
            assert long

    def test_what_a_notebook_draws_last_is_shown(self) -> None:
        # a figure of teamlink appears as the value of its cell; pyplot does not know it
        for script in sorted((HOUSE / "notebooks").glob("*.py")):
            for cell in script.read_text(encoding="utf-8").split("# %%"):
                lines = [line for line in cell.splitlines()[1:] if line and line[0] not in "# "]
                drawn = [line for line in lines if re.fullmatch(r"\w+\.plot\(\)", line)]
                assert not drawn or lines[-1] == drawn[-1], (script.name, cell)

    @pytest.mark.parametrize(
        "page", [HOUSE / "README.md", *sorted(DOCS.rglob("[!_]*.md"))], ids=short
    )
    def test_examples_run(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```pycon\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        examples = "\n".join(re.sub(r"\n\n(?!>>>|$)", "\n<BLANKLINE>\n", b) for b in blocks)
        test = doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0)
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
        report: list[str] = []
        assert runner.run(test, out=report.append).failed == 0, "".join(report)


class TestReadme:
    README = (HOUSE / "README.md").read_text(encoding="utf-8")

    def command(self, name: str) -> str:
        block = re.search(
            rf"<!-- {name}: begin -->\n```console\n(.+)\n```\n<!-- {name}: end -->", self.README
        )
        assert block is not None, f"README.md has no command between the marks of {name!r}"
        return block[1]

    @pytest.mark.parametrize("name", ["replicate", "tests"])
    def test_command_does_its_own_set_up(self, name: str) -> None:
        first, second, third = self.command(name).split(" && ")
        assert first == "python3 -m venv .venv"
        assert second.startswith(".venv/bin/pip install ")
        assert third.startswith(".venv/bin/")

    def test_command_runs_a_session_that_exists(self) -> None:
        session = self.command("tests").rpartition(" ")[2]
        names = [node.name for node in functions(ast.parse((HOUSE / "noxfile.py").read_text()))]
        assert session in names

    def test_continuous_integration_reads_the_command_from_here(self) -> None:
        script = (HOUSE / ".ci" / "run").read_text(encoding="utf-8")
        assert "<!-- tests: begin -->" in script
        assert "nox -s tests" not in script


def test_version_is_the_same_everywhere() -> None:
    citation = re.search(
        r"^version: (\S+)$", (HOUSE / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert citation is not None
    assert PYPROJECT["project"]["version"] == tl.__version__ == citation[1]


def test_changelog_has_the_section_on_numbers() -> None:
    assert "\n## Numbers changed\n" in (HOUSE / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_session_says_what_it_is_and_gives_an_example() -> None:
    tree = ast.parse((HOUSE / "noxfile.py").read_text(encoding="utf-8"))
    sessions = [node for node in functions(tree) if node.decorator_list]
    assert len(sessions) >= 11
    for node in sessions:
        assert f"`nox -s {node.name}" in (ast.get_docstring(node) or ""), node.name
