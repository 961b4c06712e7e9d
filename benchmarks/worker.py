"""A process that holds one engine: reads requests, one JSON a line, and answers with timings.

The commands are `load` (a problem; not timed), `run` (one timed call) and `quit`.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
import traceback
import warnings
from typing import Any

import numpy as np

from .engines import ENGINES, Call
from .problems import CACHE, PROBLEMS


def load(engine: str, name: str) -> Call:
    """Read the data of a problem and make the call that is timed."""
    problem = PROBLEMS[name]
    folder = CACHE / name
    data = pickle.loads((folder / "data.pkl").read_bytes())
    responses = np.load(folder / "responses.npy") if problem.refit else None
    make = ENGINES[engine].make
    if make is None:
        raise ValueError(f"{engine} is not a Python engine")
    return make(problem, data, responses)


def run(call: Call) -> dict[str, Any]:
    """Time one call: wall-clock and processor seconds, for one fit."""
    cpu, wall = time.process_time(), time.perf_counter()
    outcome = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall": wall / outcome.fits,
        "cpu": cpu / outcome.fits,
        "total": wall,
        "criterion": outcome.criterion,
        "beta": outcome.beta,
    }


def main(engine: str) -> None:
    """Serve requests until the input ends."""
    warnings.simplefilter("ignore")
    out = sys.stdout
    sys.stdout = sys.stderr
    call: Call | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["command"] == "quit":
                return
            if request["command"] == "load":
                call = None
                call = load(engine, request["problem"])
                answer: dict[str, Any] = {"ok": True}
            else:
                answer = run(call) if call else {"error": "nothing is loaded"}
        except Exception as fault:
            traceback.print_exc()
            answer = {"error": f"{type(fault).__name__}: {fault}"[:200]}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
