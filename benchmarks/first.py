"""Seconds from a fresh interpreter to the first fit: ``python -m benchmarks.first teamlink``."""

from __future__ import annotations

import time

_BEGAN = time.perf_counter()

import pickle  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402

from .engines import ENGINES  # noqa: E402
from .problems import CACHE, PROBLEMS  # noqa: E402

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    small = PROBLEMS["sleepstudy"]
    make = ENGINES[sys.argv[1]].make
    if make is None:
        raise ValueError(f"{sys.argv[1]} is not a Python engine")
    make(small, pickle.loads((CACHE / small.name / "data.pkl").read_bytes()), None)()
    print(time.perf_counter() - _BEGAN)
