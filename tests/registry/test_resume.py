import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from teamlink.errors import OptionError
from teamlink.registry.replicate import replicate

KEY = "brookings-2012"
PROGRAM = f"import teamlink as tl; tl.replicate({KEY!r}, replicates=5000, resume={{path!r}})"


def rows(path: Path) -> list[dict[str, object]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process")
def test_a_run_that_is_killed_goes_on_without_losing_or_repeating(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    program = PROGRAM.format(path=str(path))
    process = subprocess.Popen([sys.executable, "-c", program], env=dict(os.environ))
    try:
        while len(rows(path)) < 4:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = rows(path)[1:]
    finished = 5 * len(left)
    asked = finished + 10
    again = replicate(KEY, replicates=asked, resume=path)
    alone = replicate(KEY, replicates=asked)
    pd.testing.assert_frame_equal(again.runs, alone.runs, check_exact=True)
    assert json.dumps(again.to_dict()) == json.dumps(alone.to_dict())
    firsts = [row["first"] for row in rows(path)[1:]]
    assert firsts == list(range(0, asked, 5))
    assert rows(path)[1 : len(left) + 1] == left


def test_another_seed_does_not_continue(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    replicate(KEY, replicates=5, resume=path)
    with pytest.raises(OptionError, match="belongs to another run"):
        replicate(KEY, seed=2, replicates=5, resume=path)
