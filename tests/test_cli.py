import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import teamlink as tl
from teamlink.cli import app
from teamlink.registry.catalogue import find, keys

ENTRIES = Path(tl.__file__).parent / "registry" / "entries"
RUNNER = CliRunner()
KEYS = ("goddard-2007", "hsb-1982")


def contrary(folder: Path) -> Path:
    """A study file whose population has the effects of the publication turned round."""
    text = (ENTRIES / "goddard-2007.toml").read_text(encoding="utf-8")
    for value in ("0.08", "0.07"):
        text = text.replace(
            f'.collaboration"\nvalue = {value}', f'.collaboration"\nvalue = -{value}'
        )
    path = folder / "contrary.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_replicate_exits_0_and_prints_a_row_a_claim(tmp_path: Path) -> None:
    files = tmp_path / "r.html", tmp_path / "r.json"
    result = RUNNER.invoke(
        app,
        [
            "replicate",
            *KEYS,
            "--replicates",
            "16",
            "--report",
            str(files[0]),
            "--json",
            str(files[1]),
        ],
    )
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    for key in KEYS:
        for claim in find(key).claims:
            (row,) = [r for r in rows if r and r[0] == claim.id]
            assert row[-1] == "reproduced"
            assert row[2] == claim.source
    assert "5 of 5 claims reproduced, 10 of 10 controls hold" in result.output
    data = json.loads(files[1].read_text(encoding="utf-8"))
    assert data["ok"] is True
    assert [s["study"] for s in data["studies"]] == list(KEYS)
    assert files[0].read_text(encoding="utf-8").startswith("<!doctype html>")


def test_replicate_exits_1_where_a_claim_is_contradicted(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["replicate", str(contrary(tmp_path)), "--replicates", "12"])
    assert result.exit_code == 1, result.output
    assert result.output.count("contradicted\n") >= 2
    assert "0 of 2 claims reproduced, 4 of 4 controls hold" in result.output


def test_json_does_not_depend_on_jobs(tmp_path: Path) -> None:
    texts = []
    for jobs in ("1", "2"):
        path = tmp_path / f"{jobs}.json"
        arguments = ["goddard-2007", "--replicates", "6", "--jobs", jobs, "--json", str(path)]
        assert RUNNER.invoke(app, ["replicate", *arguments]).exit_code in (0, 1)
        texts.append(path.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replicate", "godard-2007"], "did you mean 'goddard-2007'"),
        (["replicate", "none.toml"], "cannot be read"),
        (["replicate", "--replicates", "1"], "at least 2 are needed"),
        (["replicate", "--replicates", "many"], "Invalid value"),
        (["replicate", "--jobs", "0"], "jobs=0"),
        (["replicate", "--json", "no/such/folder/x.json"], "cannot be written"),
        (["replicate", "--bogus"], "No such option"),
        (["fit", "math ~ ses + (1 | school", "DATA"], "^"),
        (["fit", "mathh ~ ses + (1 | school)", "DATA"], "did you mean 'math'"),
        (["fit", "math ~ ses + (1 | school)", "none.csv"], "none.csv"),
        (["fit", "math ~ ses + (1 | school)", "DATA", "--df", "kr"], "is not offered"),
    ],
)
def test_wrong_calls_exit_2_without_a_traceback(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    data = tmp_path / "data.csv"
    if "DATA" in arguments:
        hsb = tl.datasets.load("hsb82").rename(columns={"mathach": "math"})
        hsb.to_csv(data, index=False)
    result = RUNNER.invoke(app, [str(data) if a == "DATA" else a for a in arguments])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_fit_prints_the_summary_of_the_fit(tmp_path: Path) -> None:
    hsb = tl.datasets.load("hsb82")
    path = tmp_path / "hsb.csv"
    hsb.to_csv(path, index=False)
    formula = "mathach ~ cses + (1 | school)"
    for options, reml in (([], True), (["--ml"], False)):
        result = RUNNER.invoke(app, ["fit", formula, str(path), *options])
        assert result.exit_code == 0, result.output
        # the file holds what the frame holds, so the texts agree
        assert result.output.strip() == str(tl.lmm(formula, hsb, reml=reml).summary()).strip()


def test_studies_lists_every_claim() -> None:
    result = RUNNER.invoke(app, ["studies"])
    assert result.exit_code == 0
    for key in keys():
        assert key in result.output
        assert all(f"{c.id}  {c.direction}" in result.output for c in find(key).claims)


def test_a_terminal_folds_the_list_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # a link is never cut, however narrow the terminal
    address = "https://"
    plain = RUNNER.invoke(app, ["studies", "--practice", "networks"]).output
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("FORCE_COLOR", "1")
    folded = re.sub(
        r"\x1b\[[\d;]*m", "", RUNNER.invoke(app, ["studies", "--practice", "networks"]).output
    )
    assert max(map(len, plain.splitlines())) > 100
    assert all(len(line) <= 72 or address in line for line in folded.splitlines())
    assert folded.split() == plain.split()


def test_version() -> None:
    assert RUNNER.invoke(app, ["--version"]).output.strip() == f"teamlink {tl.__version__}"


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "teamlink", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"teamlink {tl.__version__}"


def test_in_a_pipe_there_is_no_progress_noise_and_no_long_line() -> None:
    program = "from teamlink.cli import app; app()"
    command = [sys.executable, "-c", program, "replicate", "hsb-1982", "--replicates", "6"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode in (0, 1)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_quick_is_fewer_replicates_and_excludes_the_other() -> None:
    result = RUNNER.invoke(app, ["replicate", "brookings-2012", "--quick"])
    assert "25 replicates" in result.output
    result = RUNNER.invoke(app, ["replicate", "brookings-2012", "--quick", "--replicates", "9"])
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_resume_makes_a_folder_and_changes_no_number(tmp_path: Path) -> None:
    call = ["replicate", "brookings-2012", "--replicates", "12", "--json"]
    folder = tmp_path / "memory"
    plain, first, second = (tmp_path / name for name in ("plain", "first", "second"))
    RUNNER.invoke(app, [*call, str(plain)])
    RUNNER.invoke(app, [*call, str(first), "--resume", str(folder)])
    (file,) = folder.iterdir()
    assert file.name == "brookings-2012.jsonl"
    RUNNER.invoke(app, [*call, str(second), "--resume", str(folder), "--jobs", "2"])
    assert plain.read_text() == first.read_text() == second.read_text()
    result = RUNNER.invoke(app, [*call, str(second), "--resume", str(folder), "--seed", "2"])
    assert result.exit_code == 2
    assert "belongs to another run" in result.output


def test_studies_are_chosen_by_practice() -> None:
    result = RUNNER.invoke(app, ["studies", "--practice", "lesson study"])
    assert "lesson-study-japan  (not quantitative)" in result.output
    assert "goddard-2007" not in result.output
    result = RUNNER.invoke(app, ["studies", "--goal", "lerning"])
    assert result.exit_code == 2
    assert "did you mean 'learning'?" in result.output


def test_the_page_of_the_whole_registry_names_what_has_no_number(tmp_path: Path) -> None:
    from teamlink.cli import finish
    from teamlink.registry.replicate import replicate

    again = replicate("brookings-2012", replicates=4)
    page = tmp_path / "page.html"
    finish([again], 1, 4, page, None, whole=True)
    text = page.read_text()
    assert "lesson study" in text
    assert "no quantitative claim carries it" in text
    finish([again], 1, 4, page, None)
    assert "lesson study" not in page.read_text()
