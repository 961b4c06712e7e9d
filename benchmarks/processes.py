"""Processes that hold an engine each, and answer one request at a time within a limit."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .problems import CACHE

ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
}

ROOT = Path(__file__).parents[1]
LOADING = 300.0


def environment() -> dict[str, str]:
    """The environment of every process: one thread."""
    return {**os.environ, **ONE_THREAD}


def command(engine: str) -> list[str]:
    """The command line that starts the worker of an engine."""
    if engine.startswith("lme4"):
        return ["Rscript", str(Path(__file__).with_name("lme4.R")), str(CACHE), engine]
    return [sys.executable, "-m", "benchmarks.worker", engine]


class Worker:
    """One engine in a process of its own; killed and started anew where it exceeds a limit."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """Send one request; give the answer, or `{"late": True}` when the limit has passed."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            until = time.monotonic() + limit
            while (left := until - time.monotonic()) > 0:
                if selector.select(left):
                    line = process.stdout.readline()
                    if not line:
                        self.stop()
                        return {"error": "the process ended"}
                    return dict(json.loads(line))
        self.stop()
        return {"late": True}

    def load(self, problem: str) -> dict[str, Any]:
        """Let the worker read a problem's data; not timed."""
        return self.ask({"command": "load", "problem": problem}, LOADING)

    def run(self, limit: float) -> dict[str, Any]:
        """Time one call."""
        return self.ask({"command": "run"}, limit)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                command(self.engine),
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        return self._process


def ask_once(arguments: list[str], limit: float = 300.0) -> str | None:
    """Run a command in a fresh process and give its last line; None where it fails."""
    try:
        done = subprocess.run(
            arguments,
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=limit,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else None
