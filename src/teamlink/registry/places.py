"""Where in a study file a fault is: TOML readers keep no lines, so the text is looked through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from teamlink.errors import Fault

__all__ = ["Places", "places"]

_HEAD = re.compile(r"\s*(\[\[?)\s*([\w.\-\"]+)\s*\]\]?\s*(#.*)?$")
_ENTRY = re.compile(r"\s*([\w.\-\"]+)\s*=\s*(.*)$")
_QUOTED = re.compile(r"'([^']+)'")
_NAMED = ("id", "name", "outcome")
_CALLED = {
    "claims": "claim",
    "pipeline.steps": "step",
    "pipeline.models": "model",
    "references": "reference",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Tables of a study file with their lines.

    Attributes
    ----------
    lines : the text
    tables : what messages call a table, to its first and last line, counted from 1
    """

    lines: tuple[str, ...]
    tables: Mapping[str, tuple[int, int]]

    def line(self, fault: Fault) -> int | None:
        """Give the line that a fault speaks of; None where nothing in the file is at fault."""
        first, last = self.tables.get(fault.where.split(",")[0], (1, len(self.lines)))
        quoted = [*_QUOTED.findall(fault.what), *_QUOTED.findall(fault.where)]
        for word in quoted:
            # as a whole word, so that 'math' is not found in "math.prior"
            whole = re.compile(rf"(?<![\w.]){re.escape(word)}(?![\w.])")
            for number in range(first, last + 1):
                text = self.lines[number - 1]
                if whole.search(text) and not text.lstrip().startswith("#"):
                    return number
        return first if fault.where.split(",")[0] in self.tables else None


def places(text: str) -> Places:
    r"""Find the tables of a study file.

    Parameters
    ----------
    text : str
        TOML.

    Returns
    -------
    Places

    Examples
    --------
    >>> found = places('key = "x"\n\n[[claims]]\nid = "A1"\nterm = "colab"\n')
    >>> found.tables["claim A1"]
    (3, 5)
    >>> found.line(Fault("no term 'colab'", "claim A1"))
    5
    """
    lines = text.splitlines()
    heads: list[tuple[int, str, bool]] = []
    keys: dict[int, tuple[str, str]] = {}
    closing = ""
    for number, line in enumerate(lines, 1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if head := _HEAD.match(line):
            heads.append((number, head[2], head[1] == "[["))
        elif entry := _ENTRY.match(line):
            keys[number] = (entry[1], entry[2].strip().strip("\"'"))
            for mark in ('"""', "'''"):
                if line.count(mark) % 2:
                    closing = mark
    tables: dict[str, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    for k, (number, path, many) in enumerate(heads):
        last = heads[k + 1][0] - 1 if k + 1 < len(heads) else len(lines)
        counts[path] = counts.get(path, 0) + 1
        name = _CALLED.get(path, path)
        if many:
            own = dict(keys[n] for n in range(number, last + 1) if n in keys)
            said = next((own[key] for key in _NAMED if own.get(key)), str(counts[path]))
            name = f"{name} {said}"
        tables.setdefault(name, (number, _end(lines, number, last)))
    return Places(tuple(lines), tables)


def _end(lines: list[str], first: int, last: int) -> int:
    """The last line of a table that is neither empty nor a comment."""
    while last > first and not re.sub(r"#.*", "", lines[last - 1]).strip():
        last -= 1
    return last
