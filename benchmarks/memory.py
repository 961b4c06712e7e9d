"""Peak memory of one call on the problem of a million rows, in a process of its own.

    python -m benchmarks.memory teamlink

Prints JSON: bytes of the data frame, and how far the resident set rose above where it stood before
the call. Imports and first-use caches are paid before, by a fit of a small problem.
"""

from __future__ import annotations

import json
import pickle
import sys
import threading
import warnings
from pathlib import Path

import psutil

from .engines import ENGINES
from .problems import CACHE, PROBLEMS

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Peak:
    """Highest resident set while the block runs, sampled every millisecond.

    Where the kernel keeps a high-water mark that can be reset (Linux), the mark is used as well, so
    that no short peak is missed.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self.before = self.highest = 0

    def _sample(self) -> None:
        while not self._stop.wait(0.001):
            self.highest = max(self.highest, self._process.memory_info().rss)

    def __enter__(self) -> Peak:
        self.marked = _reset_mark()
        self.before = self.highest = self._process.memory_info().rss
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watch.join()
        if self.marked:
            self.highest = max(self.highest, _mark())

    @property
    def rise(self) -> int:
        """Bytes above the resident set at the start."""
        return self.highest - self.before


def _reset_mark() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _mark() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main(engine: str) -> None:
    """Measure one engine and print what was found."""
    warnings.simplefilter("ignore")
    make = ENGINES[engine].make
    if make is None:
        raise ValueError(f"{engine} is not a Python engine")
    small, large = PROBLEMS["exam"], PROBLEMS["million"]
    make(small, pickle.loads((CACHE / small.name / "data.pkl").read_bytes()), None)()
    data = pickle.loads((CACHE / large.name / "data.pkl").read_bytes())
    size = int(data.memory_usage(index=False, deep=True).sum())
    call = make(large, data, None)
    with Peak() as peak:
        call()
    print(json.dumps({"data": size, "rise": peak.rise}))


if __name__ == "__main__":
    main(sys.argv[1])
