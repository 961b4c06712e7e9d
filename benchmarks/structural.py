"""Structural equations beside semopy and lavaan: ``python -m benchmarks.structural``.

The whole call: a data frame to estimates, standard errors, fit measures and the standardised
table. A process for each engine on one thread, engines in turns, the fastest turn counts. Engines
that are not installed are left out. Log-likelihoods must agree to 1e-3.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .processes import ROOT, environment

REFERENCE = ROOT / "tests" / "reference" / "lavaan"
TURNS = 25

PROBLEMS = {"factors": "hs", "factors, robust": "hs_mlr", "politics": "democracy"}
"""Title to the key of a reference model."""

BARS = {"lavaan": 1 / 5, "semopy": 0.7}
"""What teamlink's time may be of theirs, on the first problem."""


def specified(key: str) -> dict[str, str]:
    """Model and table of a reference model."""
    models = json.loads((REFERENCE / "models.json").read_text())
    found = next(m for m in models if m["key"] == key)
    estimator = found["options"].get("estimator", "ml")
    return {"model": found["model"], "data": found["data"], "estimator": estimator}


def teamlink_call(model: str, data: pd.DataFrame, estimator: str) -> Callable[[], float]:
    """One call of teamlink; gives the log-likelihood."""
    import teamlink as tl

    def call() -> float:
        fit = tl.sem(model, data, estimator=estimator)
        _ = fit.parameters
        return float(fit.fit_measures["logl"])

    return call


def semopy_call(model: str, data: pd.DataFrame, estimator: str) -> Callable[[], float]:
    """One call of semopy, which reports no log-likelihood of this kind."""
    import semopy

    def call() -> float:
        fit = semopy.Model(model)
        fit.fit(data)
        fit.inspect(std_est=True, se_robust=estimator == "mlr")
        semopy.calc_stats(fit)
        return float("nan")

    return call


def serve(engine: str, key: str) -> None:
    """Answer every line of input with seconds and a log-likelihood."""
    warnings.simplefilter("ignore")
    said = specified(key)
    data = pd.read_csv(REFERENCE / "data" / f"{said['data']}.csv")
    make = {"teamlink": teamlink_call, "semopy": semopy_call}[engine]
    call = make(said["model"], data, said["estimator"])
    for _ in sys.stdin:
        began = time.perf_counter()
        logl = call()
        print(f"{time.perf_counter() - began:.6f} {logl:.10f}", flush=True)


def command(engine: str, key: str, folder: Path) -> list[str]:
    """The command line that starts an engine."""
    if engine != "lavaan":
        return [sys.executable, "-m", "benchmarks.structural", engine, key]
    said = specified(key)
    text = folder / f"{key}.txt"
    text.write_text(said["model"] + "\n")
    script = str(Path(__file__).with_name("lavaan.R"))
    table = str(REFERENCE / "data" / f"{said['data']}.csv")
    return ["Rscript", script, table, str(text), said["estimator"].upper()]


def there() -> list[str]:
    """Engines that this machine has."""
    found = ["teamlink"]
    probe = [sys.executable, "-c", "import semopy"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        found.append("semopy")
    asked = ["Rscript", "-e", "library(lavaan)"]
    has_r = shutil.which("Rscript") is not None
    if has_r and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
        found.append("lavaan")
    return found


def run(key: str, engines: list[str], folder: Path) -> dict[str, tuple[float, float]]:
    """Fastest seconds and log-likelihood of every engine."""
    processes = {
        engine: subprocess.Popen(
            command(engine, key, folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(), cwd=ROOT,
        )
        for engine in engines
    }  # fmt: skip
    best = {engine: (float("inf"), float("nan")) for engine in engines}
    for turn in range(TURNS + 1):
        for engine, process in processes.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            seconds, logl = map(float, process.stdout.readline().split())
            if turn:
                best[engine] = min(best[engine], (seconds, logl))
    for process in processes.values():
        process.communicate()
    return best


def main() -> int:
    """Print the table; 1 where a bar does not hold or log-likelihoods differ."""
    engines = there()
    failed = False
    print("| problem | " + " | ".join(f"{e}, ms" for e in engines) + " |")
    print("|---|" + "---:|" * len(engines))
    with tempfile.TemporaryDirectory() as folder:
        for i, (title, key) in enumerate(PROBLEMS.items()):
            best = run(key, engines, Path(folder))
            cells = " | ".join(f"{1e3 * best[engine][0]:.1f}" for engine in engines)
            print(f"| {title} | {cells} |")
            mine = best["teamlink"]
            for engine, (seconds, logl) in best.items():
                failed |= i == 0 and mine[0] > BARS.get(engine, 1.0) * seconds
                failed |= abs(logl - mine[1]) > 1e-3
    return int(failed)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(sys.argv[1], sys.argv[2])
    else:
        sys.exit(main())
