"""A file that remembers finished batches, so that a run that was killed goes on where it stopped.

One line of JSON a batch, written in one piece and flushed to the disk before the next is begun. A
line that was cut off in the middle is left out and its batch is run again. The first line says
which run the file belongs to; numbers come back bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from teamlink.errors import OptionError

__all__ = ["Checkpoint", "digest"]


def digest(*parts: object) -> str:
    """Give a short name that differs where any of the parts does.

    Examples
    --------
    >>> digest("study", 1) == digest("study", 1), digest("study", 1) == digest("study", 2)
    (True, False)
    """
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:20]


@dataclass(slots=True)
class Checkpoint:
    """Finished batches of one run, in a file.

    Attributes
    ----------
    path : the file; made where there is none
    run : what run it belongs to, see `digest`
    finished : (first replicate, number of replicates) to results or reasons of failure
    """

    path: Path
    run: str
    finished: dict[tuple[int, int], list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.exists():
            self._write({"run": self.run})
            return
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if len(whole) < len(text):
            os.truncate(self.path, len(whole))
        if not lines:
            self._write({"run": self.run})
            return
        try:
            known = [json.loads(line) for line in lines]
            belongs = known[0]["run"]
            rows = [(int(row["first"]), row["results"]) for row in known[1:]]
        except (ValueError, KeyError, TypeError) as error:
            raise OptionError(f"{self.path} is no record of a run; give another file") from error
        if belongs != self.run:
            raise OptionError(
                f"{self.path} belongs to another run (another study, seed or version); "
                "give another file, or remove it to begin anew"
            )
        for first, results in rows:
            self.finished[first, len(results)] = [_read(result) for result in results]

    def add(self, first: int, results: Sequence[Any]) -> None:
        """Remember a batch: results are arrays, or the reasons of failures."""
        self._write({"first": first, "results": [_plain(result) for result in results]})
        self.finished[first, len(results)] = list(results)

    def _write(self, row: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _plain(result: Any) -> Any:
    return result if isinstance(result, str) else np.asarray(result).tolist()


def _read(result: Any) -> Any:
    return result if isinstance(result, str) else np.array(result, dtype=float)
