"""What can go wrong, as types: one root, six kinds of error, and the warnings.

A message says what is wrong, where, and what to do about it. Faults found in data are collected, so
that one error reports them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = [
    "BoundaryFit",
    "ConflatedSlopes",
    "DataError",
    "DesignError",
    "DroppedRows",
    "Fault",
    "Faults",
    "FewEvents",
    "FewGroups",
    "FewReplicates",
    "FitError",
    "FormulaError",
    "ImproperSolution",
    "MissingExtra",
    "NegativeWeights",
    "NotConverged",
    "OptionError",
    "RankDeficient",
    "Separation",
    "StudyError",
    "TeamlinkError",
    "TeamlinkWarning",
    "UnreliableMeans",
    "check_option",
    "nearest",
]


class TeamlinkError(Exception):
    """Root of every error that teamlink raises on purpose.

    Examples
    --------
    >>> import teamlink as tl
    >>> try:
    ...     tl.datasets.load("hsb28")
    ... except tl.TeamlinkError as error:
    ...     print(type(error).__name__)
    OptionError
    """


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with some data: what, where, and what to do."""

    what: str
    where: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} ({self.remedy})" if self.remedy else head


class DataError(TeamlinkError, ValueError):
    """A table does not hold what was asked of it; `faults` lists everything found.

    Examples
    --------
    >>> import teamlink as tl
    >>> try:
    ...     tl.validate({"score": ["a", "b"]}, numeric=["score", "ses"])
    ... except tl.DataError as error:
    ...     print([fault.where for fault in error.faults])
    ["column 'ses'", "column 'score'"]
    """

    def __init__(self, faults: Sequence[Fault] | str) -> None:
        self.faults: tuple[Fault, ...] = (
            (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        )
        if len(self.faults) == 1:
            message = str(self.faults[0])
        else:
            lines = "\n".join(f"  {i}. {fault}" for i, fault in enumerate(self.faults, 1))
            message = f"{len(self.faults)} faults in the data:\n{lines}"
        super().__init__(message)


class DesignError(DataError):
    """The data are readable, but the model cannot be estimated from them.

    Examples
    --------
    >>> import teamlink as tl
    >>> one_school = {"math": [1.0, 2.0, 4.0], "school": ["a", "a", "a"]}
    >>> try:
    ...     tl.lmm("math ~ 1 + (1 | school)", one_school)
    ... except tl.DesignError as error:
    ...     print(error.faults[0].where)
    group 'school'
    """


class FormulaError(TeamlinkError, ValueError):
    """A text in one of the two model languages cannot be read; shows the place with a caret.

    Examples
    --------
    >>> print(FormulaError("a bar needs a group after it", "math ~ (1 | )", 12))
    a bar needs a group after it
      math ~ (1 | )
                  ^
    """

    def __init__(self, message: str, text: str, start: int, end: int | None = None) -> None:
        self.text, self.start, self.end = text, start, start + 1 if end is None else end
        line_start = text.rfind("\n", 0, start) + 1
        line_end = text.find("\n", start)
        line = text[line_start:] if line_end < 0 else text[line_start:line_end]
        caret = " " * (start - line_start) + "^" * max(1, min(self.end, len(text)) - start)
        super().__init__(f"{message}\n  {line}\n  {caret}")


class FitError(TeamlinkError, RuntimeError):
    """The estimation itself failed.

    Examples
    --------
    >>> import teamlink as tl
    >>> issubclass(tl.FitError, tl.TeamlinkError), issubclass(tl.FitError, RuntimeError)
    (True, True)
    """


class StudyError(TeamlinkError, ValueError):
    """A registry entry is malformed or asks for something the registry does not allow.

    Examples
    --------
    >>> import teamlink as tl
    >>> try:
    ...     tl.replicate("godard-2007")
    ... except tl.StudyError as error:
    ...     print(error)
    there is no study 'godard-2007'; did you mean 'goddard-2007'?
    """


class OptionError(TeamlinkError, ValueError):
    """An argument has a value that is not offered; the message lists those that are.

    Examples
    --------
    >>> import teamlink as tl
    >>> try:
    ...     tl.datasets.load("hsb28")
    ... except tl.OptionError as error:
    ...     print(error)
    name='hsb28' is not offered; did you mean 'hsb82'? Allowed: 'egsingle', 'hsb82'
    """


class MissingExtra(TeamlinkError, ImportError):
    """A package that only some jobs need is not installed; the message names the extra.

    Examples
    --------
    >>> import teamlink as tl
    >>> issubclass(tl.MissingExtra, ImportError)
    True
    """


class TeamlinkWarning(UserWarning):
    """Root of every warning that teamlink issues."""


class DroppedRows(TeamlinkWarning):
    """Rows were left out because of missing values; the count is in the message and the result."""


class RankDeficient(TeamlinkWarning):
    """Columns of the fixed-effects design were dropped because the others determine them."""


class NegativeWeights(TeamlinkWarning):
    """An average of effects gives some of them a negative weight, so that its sign may mislead."""


class NotConverged(TeamlinkWarning):
    """The optimiser stopped at a point that does not meet the conditions of an optimum."""


class FewEvents(TeamlinkWarning):
    """There are so few events that the estimates rest on a single one."""


class FewGroups(TeamlinkWarning):
    """There are so few groups that a variance between them is hardly identified."""


class FewReplicates(TeamlinkWarning):
    """There are too few bootstrap replicates for the ends of an interval at this level."""


class Separation(TeamlinkWarning):
    """Every group holds one kind of response, so that the variance between them has no bound."""


class BoundaryFit(TeamlinkWarning):
    """A quantity was asked for that does not exist at a boundary optimum."""


class ConflatedSlopes(TeamlinkWarning):
    """One slope stands for effects within and between clusters, which may differ."""


class UnreliableMeans(TeamlinkWarning):
    """Clusters differ too little, or have too few members, for effects of their means."""


class ImproperSolution(TeamlinkWarning):
    """An estimate that no population can have: a negative variance, a correlation beyond one."""


@dataclass(slots=True)
class Faults:
    """Collects faults, so that one error can report them all."""

    found: list[Fault] = field(default_factory=list)

    def add(self, what: str, where: str = "", remedy: str = "") -> None:
        """Note one fault."""
        self.found.append(Fault(what, where, remedy))

    def __bool__(self) -> bool:
        return bool(self.found)

    def raise_if_any(self, kind: type[DataError] = DataError) -> None:
        """Raise `kind` with every fault noted so far; do nothing where there is none."""
        if self.found:
            raise kind(self.found)


def nearest(name: str, names: Iterable[str]) -> str:
    """Give `did you mean 'x'?` for the closest of `names`, or the names themselves.

    Examples
    --------
    >>> nearest("matth", ["math", "ses"])
    "did you mean 'math'?"
    >>> nearest("zzz", ["math", "ses"])
    'there are: math, ses'
    """
    names = [str(n) for n in names]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close:
        folded = {n.casefold(): n for n in names}
        close = [folded[name.casefold()]] if name.casefold() in folded else []
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"there are: {shown}"


def check_option(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise `OptionError` unless `value` is one of `allowed`.

    Examples
    --------
    >>> check_option("method", "group", ["grand", "group"])
    >>> check_option("method", "grp", ["grand", "group"])
    Traceback (most recent call last):
    teamlink.errors.OptionError: method='grp' is not offered; did you mean 'group'? Allowed: ...
    """
    if value in allowed:
        return
    shown = ", ".join(repr(a) for a in allowed)
    words = [a for a in allowed if isinstance(a, str)]
    close = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
    hint = f" did you mean {close[0]!r}?" if close else ""
    raise OptionError(f"{name}={value!r} is not offered;{hint} Allowed: {shown}")
