"""A progress bar that appears once a job has taken long enough to ask for one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


def _unseen(done: int) -> None:
    """Advance a bar that nobody sees."""


@contextmanager
def progress_bar(
    total: int, progress: bool | None, label: str, patience: float
) -> Iterator[Callable[[int], None]]:
    """Show how much is done, on standard error.

    Parameters
    ----------
    total : int
        How much there is to do.
    progress : bool, optional
        Show the bar from the start or never; None shows it on a terminal once `patience` is over.
    label : str
        What the bar counts.
    patience : float
        Seconds before the bar appears: a job that is over by then needs none.

    Yields
    ------
    callable
        Takes the amount done so far.
    """
    wanted = sys.stderr.isatty() if progress is None else progress
    if not wanted:
        yield _unseen
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=progress is None
    )
    task = bar.add_task(label, total=total)
    begun, shown = time.monotonic(), progress is True
    if shown:
        bar.start()

    def advance(done: int) -> None:
        nonlocal shown
        if not shown and time.monotonic() - begun > patience:
            bar.start()
            shown = True
        bar.update(task, completed=done)

    try:
        yield advance
    finally:
        if shown:
            bar.stop()
